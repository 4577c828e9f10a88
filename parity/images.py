"""Pillow's resizing and diffusers' rounding to 8 bits, as fixtures for src/images."""

from pathlib import Path

import diffusers
import numpy as np
import PIL
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from safetensors.torch import save_file

SEED = 0
SIZES = [(9, 7), (23, 17), (40, 31), (5, 60)]
FILTERS = {"box": Image.BOX, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}

rng = np.random.default_rng(SEED)
# Smooth waves, hard edges and noise: what ringing and rounding show on.
y, x = np.mgrid[0:17, 0:23]
waves = 127.5 + 127.5 * np.sin(np.stack([x / 3, y / 2, (x + y) / 4], -1))
source = np.clip(waves + rng.normal(0, 30, waves.shape), 0, 255).astype(np.uint8)
source[4:11, 6:14] = [255, 0, 40]

tensors = {"source": torch.from_numpy(source)}
for name, kernel in FILTERS.items():
    for width, height in SIZES:
        resized = Image.fromarray(source).resize((width, height), kernel)
        tensors[f"{name}.{width}x{height}"] = torch.from_numpy(np.array(resized))

processor = VaeImageProcessor()
levels = torch.arange(256, dtype=torch.float32)
values = torch.cat([
    (levels + 0.5) / 127.5 - 1,  # ties and their neighbours
    torch.nextafter((levels + 0.5) / 127.5 - 1, torch.tensor(2.0)),
    levels / 127.5 - 1,
    torch.linspace(-1.5, 1.5, 1280),
])
values = torch.cat([values, torch.rand(4096 - len(values), generator=torch.Generator().manual_seed(SEED)) * 2 - 1])
picture = values.reshape(1, 1, 64, 64).repeat(1, 3, 1, 1)
pixels = VaeImageProcessor.numpy_to_pil(VaeImageProcessor.pt_to_numpy(processor.denormalize(picture)))[0]
tensors["values"] = picture[0].contiguous()
tensors["levels"] = torch.from_numpy(np.array(pixels))
gradient = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, -1)
tensors["preprocessed"] = processor.preprocess(Image.fromarray(gradient), height=16, width=16)[0].contiguous()

metadata = {
    "pillow": PIL.__version__, "numpy": np.__version__, "diffusers": diffusers.__version__, "torch": torch.__version__,
    "seed": str(SEED),
}
save_file(tensors, Path(__file__).parent / "fixtures" / "images.safetensors", metadata=metadata)
