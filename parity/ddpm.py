"""A small DDPM in diffusers' folder layout and what diffusers samples from it, as fixtures for src/pipelines."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import save_file

diffusers.logging.set_verbosity_error()
torch.set_num_threads(1)
SEED = 0
STEPS = 20
BATCH = 3
here = Path(__file__).parent / "fixtures" / "ddpm"
shutil.rmtree(here, ignore_errors=True)

torch.manual_seed(SEED)
unet = UNet2DModel(
    sample_size=16,
    block_out_channels=(8, 16),
    layers_per_block=1,
    norm_num_groups=4,
    attention_head_dim=8,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
)
scheduler = DDPMScheduler()


def pictures(count):
    """Discs of a random colour, place and size on a plain ground."""
    rows = torch.arange(16.0)[None, :, None]
    x, y = torch.rand(2, count, 1, 1) * 8 + 4
    radius = torch.rand(count, 1, 1) * 3 + 2
    inside = ((rows - y) ** 2 + (rows.transpose(1, 2) - x) ** 2 < radius**2)[:, None].float()
    disc, ground = torch.rand(2, count, 3, 1, 1) * 1.6 - 0.8
    return inside * disc + (1 - inside) * ground


# Random weights would give saturated pictures, in which differences do not show: a few steps of training do not.
optimizer = torch.optim.AdamW(unet.parameters(), lr=2e-3)
for step in range(600):
    clean = pictures(32)
    noise = torch.randn_like(clean)
    t = torch.randint(0, 1000, (32,))
    loss = (unet(scheduler.add_noise(clean, noise, t), t).sample - noise).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("loss", loss.item())
DDPMPipeline(unet, scheduler).save_pretrained(here)

sampled = {
    "ddpm": (DDPMPipeline, {}),
    "ddim.0": (DDIMPipeline, {"eta": 0.0}),
    "ddim.1": (DDIMPipeline, {"eta": 1.0}),
}
tensors = {}
for name, (pipeline, options) in sampled.items():
    pipe = pipeline.from_pretrained(here)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(SEED)
    images = pipe(batch_size=BATCH, generator=generator, num_inference_steps=STEPS, **options).images
    tensors[name] = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    extreme = ((tensors[name] == 0) | (tensors[name] == 255)).float().mean().item()
    print(name, tuple(tensors[name].shape), f"{extreme:.0%} of the values at an end")
metadata = {
    "diffusers": diffusers.__version__,
    "torch": torch.__version__,
    "cpu": torch.backends.cpu.get_cpu_capability(),
    "seed": str(SEED),
    "steps": str(STEPS),
}
save_file(tensors, here / "pictures.safetensors", metadata=metadata)
(here / "provenance.json").write_text(json.dumps({**metadata, "script": "parity/ddpm.py"}, indent=2, sort_keys=True) + "\n")
