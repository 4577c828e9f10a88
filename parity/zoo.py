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
from diffusers import DDIMPipeline, DDPMPipeline, DiTPipeline, StableDiffusionPipeline
from PIL import Image

diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
torch.set_num_threads(1)
root = Path(__file__).parent.parent
NUM, SEED, GAP, GUIDANCE = 4, 0, 2, 3
PROMPT = "a red fox and a slice of pizza on a blue background"
UNTOLD = [(DDPMPipeline, "ddpm", 25), (DDIMPipeline, "ddim", 20)]


def levels(images):
    return np.stack([np.asarray(image) for image in images]).astype(int)


def langevin(*arguments, **flags):
    """Runs a command with its flags by their names."""
    command = [root / "node_modules/.bin/node", root / "src/cli/main.ts", *arguments, "--no-draw"]
    flags = {"num": NUM, "seed": SEED, **flags}
    command += [part for key, value in flags.items() for part in (f"--{key}", value)]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def untold(folder, desk):
    """Pictures of a model without a condition: the pipeline's name, its steps, Python's pictures, and the command's grid cut up."""
    for pipeline, scheduler, steps in UNTOLD:
        pipe = pipeline.from_pretrained(folder, dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(SEED)
        theirs = levels(pipe(batch_size=NUM, generator=generator, num_inference_steps=steps).images)
        langevin("sample", folder, scheduler=scheduler, columns=NUM, steps=steps, out=desk / "grid.png")
        grid, size = levels([Image.open(desk / "grid.png")])[0], theirs.shape[2]
        ours = [grid[GAP : GAP + size, GAP + i * (size + GAP) :][:, :size] for i in range(NUM)]
        yield pipeline.__name__, steps, theirs, np.stack(ours)


def told(folder, desk, steps=20):
    """The same of a model that a prompt tells; Python gives each picture a generator, as the command does."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(SEED + k) for k in range(NUM)]
    theirs = pipe([PROMPT] * NUM, generator=generators, num_inference_steps=steps, guidance_scale=GUIDANCE).images
    langevin("generate", PROMPT, model=folder, guidance=GUIDANCE, steps=steps, out=desk / "picture.png")
    files = [desk / "picture.png", *(desk / f"picture-{k}.png" for k in range(1, NUM))]
    yield "StableDiffusionPipeline", steps, levels(theirs), levels(map(Image.open, files))


def by_class(folder, desk, steps=20):
    """The same of a model of classes: its first."""
    pipe = DiTPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    label = json.loads((folder / "model_index.json").read_text())["id2label"]["0"].split(",")[0]
    generators = [torch.Generator().manual_seed(SEED + k) for k in range(NUM)]
    ids = pipe.get_label_ids([label]) * NUM
    theirs = pipe(ids, generator=generators, num_inference_steps=steps, guidance_scale=GUIDANCE).images
    langevin("generate", label=label, model=folder, guidance=GUIDANCE, steps=steps, out=desk / "picture.png")
    files = [desk / "picture.png", *(desk / f"picture-{k}.png" for k in range(1, NUM))]
    yield "DiTPipeline", steps, levels(theirs), levels(map(Image.open, files))


kinds = {"StableDiffusionPipeline": told, "DiTPipeline": by_class}
folders = [Path(argument) for argument in sys.argv[1:]] or sorted(
    index.parent for index in root.glob("zoo/*/model_index.json")
)
worst = 0
for folder in folders:
    kind = json.loads((folder / "model_index.json").read_text())["_class_name"]
    with tempfile.TemporaryDirectory() as desk:
        for name, steps, theirs, ours in kinds.get(kind, untold)(folder, Path(desk)):
            difference = np.abs(theirs - ours)
            worst = max(worst, difference.max())
            print(
                f"{folder.name}, {name} {diffusers.__version__}, {NUM} pictures, {steps} steps: "
                f"max {difference.max()} of 255, {(difference > 0).mean():.2%} of the levels differ",
                flush=True,
            )
sys.exit(int(worst > 2))
