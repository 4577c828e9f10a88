"""A small variance-exploding score model in diffusers' folder layout and what diffusers samples from it, for src/pipelines/score-sde."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import ScoreSdeVePipeline, ScoreSdeVeScheduler, UNet2DModel
from safetensors.torch import save_file

diffusers.logging.set_verbosity_error()
torch.set_num_threads(1)
SEED = 0
STEPS = 20
BATCH = 3
SIGMA_MAX = 1.0
here = Path(__file__).parent / "fixtures" / "score-sde"
shutil.rmtree(here, ignore_errors=True)

torch.manual_seed(SEED)
unet = UNet2DModel(
    sample_size=8,
    block_out_channels=(8, 8),
    layers_per_block=1,
    norm_num_groups=2,
    time_embedding_type="fourier",
    add_attention=False,
    down_block_types=("SkipDownBlock2D", "SkipDownBlock2D"),
    up_block_types=("SkipUpBlock2D", "SkipUpBlock2D"),
)
scheduler = ScoreSdeVeScheduler(sigma_max=SIGMA_MAX)

# Pictures of one colour each, in [0, 1]: random weights would give saturated pictures, in which differences do not show.
optimizer = torch.optim.AdamW(unet.parameters(), lr=3e-3)
for step in range(400):
    clean = torch.rand(16, 3, 1, 1).expand(16, 3, 8, 8) * 0.4 + 0.3
    sigma = 0.01 * (SIGMA_MAX / 0.01) ** torch.rand(16)
    noise = torch.randn_like(clean)
    wide = sigma[:, None, None, None]
    loss = (unet(clean + wide * noise, sigma).sample * wide + noise).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("loss", loss.item())
ScoreSdeVePipeline(unet, scheduler).save_pretrained(here)

pipe = ScoreSdeVePipeline.from_pretrained(here)
pipe.set_progress_bar_config(disable=True)
images = pipe(batch_size=BATCH, generator=torch.Generator().manual_seed(SEED), num_inference_steps=STEPS).images
pictures = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
extreme = ((pictures == 0) | (pictures == 255)).float().mean().item()
print(tuple(pictures.shape), f"{extreme:.0%} of the values at an end", pictures.float().mean().item())
metadata = {
    "diffusers": diffusers.__version__,
    "torch": torch.__version__,
    "cpu": torch.backends.cpu.get_cpu_capability(),
    "seed": str(SEED),
    "steps": str(STEPS),
}
save_file({"pictures": pictures}, here / "pictures.safetensors", metadata=metadata)
(here / "provenance.json").write_text(json.dumps({**metadata, "script": "parity/score_sde.py"}, indent=2, sort_keys=True) + "\n")
