"""Checkpoints as Python's safetensors and diffusers write them, as fixtures for src/checkpoints."""

import json
import shutil
from pathlib import Path

import diffusers
import safetensors
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import save_file

SEED = 0
here = Path(__file__).parent / "fixtures" / "checkpoints"
shutil.rmtree(here, ignore_errors=True)
here.mkdir(parents=True)
versions = {"safetensors": safetensors.__version__, "torch": torch.__version__, "diffusers": diffusers.__version__}
# One entry: the reference writes several in an arbitrary order, and bytes are compared.
provenance = {"provenance": json.dumps({**versions, "seed": SEED, "script": "parity/checkpoints.py"}, sort_keys=True)}

steps = torch.arange(6)
floats = steps / 4 - 0.5
dtypes = {
    # Keys chosen so that order by dtype, by UTF-8 bytes and by UTF-16 units all differ.
    "z.f32": floats.reshape(2, 3),
    "y.f16": floats.to(torch.float16).reshape(3, 2),
    "x.bf16": floats.to(torch.bfloat16).reshape(1, 6),
    "w.i32": steps.to(torch.int32) * 1000003 - 7,
    "v.i64": steps * 2**40 - 7,
    "u.u8": (steps * 50).to(torch.uint8),
    "t.bool": steps % 3 == 0,
    "scalar": torch.tensor(3.25),
    "empty": torch.zeros(0, 3),
    "": torch.tensor([1.0]),
    "__proto__": torch.tensor([2.0]),
    "quote\" backslash\\ tab\t bell\u0007 delete\u007f line\u2028": torch.tensor([3.0]),
    "\uffff": torch.tensor([4.0]),
    "\U0001f600": torch.tensor([5.0]),
}
save_file(dtypes, here / "dtypes.safetensors", metadata=provenance)
save_file({}, here / "empty.safetensors")
save_file({"a": torch.arange(3, dtype=torch.uint8)}, here / "plain.safetensors")

torch.manual_seed(SEED)
unet = UNet2DModel(
    sample_size=4,
    block_out_channels=(4, 4),
    layers_per_block=1,
    norm_num_groups=2,
    attention_head_dim=2,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
)
DDPMPipeline(unet, DDPMScheduler(num_train_timesteps=10)).save_pretrained(here / "ddpm")
# Folders carry their origin in a file of its own, with the order of the keys, which decides where shards part.
origin = {**versions, "seed": SEED, "keys": list(unet.state_dict())}
(here / "ddpm" / "provenance.json").write_text(json.dumps(origin) + "\n")
unet.save_pretrained(here / "sharded", max_shard_size=8000)
unet.half().save_pretrained(here / "half", variant="fp16")
