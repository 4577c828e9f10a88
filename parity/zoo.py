"""Loads bundled models in diffusers and compares its pictures with langevin's, level by level.

    python parity/zoo.py [FOLDER ...]     all pipelines of zoo/ unless told
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDPMPipeline
from PIL import Image

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
torch.set_num_threads(1)
root = Path(__file__).parent.parent
NUM, SEED, GAP = 4, 0, 2
RUNS = [("ddpm", DDPMPipeline, 25), ("ddim", DDIMPipeline, 20)]


def ours(folder, scheduler, steps, size):
    """The command's grid, cut into its pictures."""
    with tempfile.TemporaryDirectory() as desk:
        file = Path(desk) / "grid.png"
        flags = {"num": NUM, "columns": NUM, "seed": SEED, "scheduler": scheduler, "steps": steps, "out": file}
        arguments = [str(part) for key, value in flags.items() for part in (f"--{key}", value)]
        command = [root / "node_modules/.bin/node", root / "src/cli/main.ts", "sample", folder, *arguments, "--no-draw"]
        subprocess.run(command, check=True, capture_output=True)
        grid = np.asarray(Image.open(file)).astype(int)
    return np.stack([grid[GAP : GAP + size, GAP + i * (size + GAP) :][:, :size] for i in range(NUM)])


folders = [Path(argument) for argument in sys.argv[1:]] or sorted(
    index.parent for index in root.glob("zoo/*/model_index.json")
)
worst = 0
for folder in folders:
    for scheduler, pipeline, steps in RUNS:
        pipe = pipeline.from_pretrained(folder, dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(SEED)
        images = pipe(batch_size=NUM, generator=generator, num_inference_steps=steps).images
        theirs = np.stack([np.asarray(image) for image in images]).astype(int)
        difference = np.abs(theirs - ours(folder, scheduler, steps, theirs.shape[2]))
        worst = max(worst, difference.max())
        print(
            f"{folder.name}, {pipeline.__name__} {diffusers.__version__}, {NUM} pictures, {steps} steps: "
            f"max {difference.max()} of 255, {(difference > 0).mean():.2%} of the levels differ",
            flush=True,
        )
sys.exit(int(worst > 2))
