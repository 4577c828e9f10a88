"""Loads bundled models in diffusers and compares its pictures with langevin's, level by level.

    python parity/zoo.py [FOLDER ...]     all pipelines of zoo/ unless told
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDPMPipeline, StableDiffusionPipeline
from PIL import Image

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
torch.set_num_threads(1)
root = Path(__file__).parent.parent
NUM, SEED, GAP = 4, 0, 2
PROMPT = "a red fox and a slice of pizza on a blue background"
RUNS = [(DDPMPipeline, "ddpm", 25), (DDIMPipeline, "ddim", 20)]
TOLD = [(StableDiffusionPipeline, None, 20)]


def langevin(*arguments):
    command = [root / "node_modules/.bin/node", root / "src/cli/main.ts", *map(str, arguments), "--no-draw"]
    subprocess.run(command, check=True, capture_output=True)


def ours(folder, scheduler, steps, size):
    """The command's pictures."""
    with tempfile.TemporaryDirectory() as desk:
        file = Path(desk) / "picture.png"
        flags = {"num": NUM, "seed": SEED, "steps": steps, "out": file}
        if scheduler is None:
            flags |= {"model": folder, "guidance": 3}
            arguments = ["generate", PROMPT]
        else:
            flags |= {"scheduler": scheduler, "columns": NUM}
            arguments = ["sample", folder]
        langevin(*arguments, *(part for key, value in flags.items() for part in (f"--{key}", value)))
        if scheduler is None:
            files = [file, *(file.with_name(f"picture-{k}.png") for k in range(1, NUM))]
            return np.stack([np.asarray(Image.open(one)) for one in files]).astype(int)
        grid = np.asarray(Image.open(file)).astype(int)
    return np.stack([grid[GAP : GAP + size, GAP + i * (size + GAP) :][:, :size] for i in range(NUM)])


def theirs(pipe, scheduler, steps):
    """Python's; told pictures have a generator each."""
    pipe.set_progress_bar_config(disable=True)
    if scheduler is None:
        generators = [torch.Generator().manual_seed(SEED + k) for k in range(NUM)]
        images = pipe([PROMPT] * NUM, generator=generators, num_inference_steps=steps, guidance_scale=3).images
    else:
        images = pipe(batch_size=NUM, generator=torch.Generator().manual_seed(SEED), num_inference_steps=steps).images
    return np.stack([np.asarray(image) for image in images]).astype(int)


folders = [Path(argument) for argument in sys.argv[1:]] or sorted(
    index.parent for index in root.glob("zoo/*/model_index.json")
)
worst = 0
for folder in folders:
    told = json.loads((folder / "model_index.json").read_text())["_class_name"] == "StableDiffusionPipeline"
    for pipeline, scheduler, steps in TOLD if told else RUNS:
        made = theirs(pipeline.from_pretrained(folder, dtype=torch.float32), scheduler, steps)
        difference = np.abs(made - ours(folder, scheduler, steps, made.shape[2]))
        worst = max(worst, difference.max())
        print(
            f"{folder.name}, {pipeline.__name__} {diffusers.__version__}, {NUM} pictures, {steps} steps: "
            f"max {difference.max()} of 255, {(difference > 0).mean():.2%} of the levels differ",
            flush=True,
        )
sys.exit(int(worst > 2))
