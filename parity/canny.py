"""OpenCV's Canny on pictures of noise and of shapes, as a fixture for src/images/control."""

import cv2
import numpy as np
import torch
from pathlib import Path
from safetensors.torch import save_file

random = np.random.default_rng(0)
shapes = np.full((40, 56, 3), (200, 220, 240), np.uint8)
cv2.circle(shapes, (18, 20), 13, (60, 90, 200), -1)
cv2.rectangle(shapes, (26, 10), (50, 30), (90, 190, 70), 2)
cv2.line(shapes, (0, 39), (55, 4), (20, 20, 20), 1)
noise = cv2.resize(random.integers(0, 256, (12, 15, 3), dtype=np.uint8), (45, 36), interpolation=cv2.INTER_CUBIC)
pictures = {"shapes": shapes, "noise": noise, "grey": noise[:, :, :1].copy()}
thresholds = {"shapes": (100, 200), "noise": (100, 200), "grey": (40, 130)}
tensors = {}
for name, picture in pictures.items():
    tensors[name] = torch.from_numpy(picture)
    tensors[f"{name} edges"] = torch.from_numpy(cv2.Canny(picture, *thresholds[name]))
    print(name, (tensors[f"{name} edges"] > 0).float().mean().item())
path = Path(__file__).parent / "fixtures" / "canny.safetensors"
save_file(tensors, path, metadata={"opencv": cv2.__version__, "thresholds": str(thresholds)})
print(path.stat().st_size, "bytes")
