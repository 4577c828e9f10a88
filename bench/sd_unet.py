"""PyTorch's side of `langevin bench sd-unet`: python sd_unet.py sd-unet eager|channels_last|bfloat16 FOLDER.

Loads Stable Diffusion 1.5's U-Net, says so, then does one step of a guided 512×512 picture for each line on standard input
and writes one line of JSON for each. The first line has the time from opening the checkpoint to the end of the first step.
"""

import json
import resource
import sys
import time

import diffusers
import torch
from diffusers import UNet2DConditionModel

_, form, folder = sys.argv[1:]


def say(**line):
    print(json.dumps(line), flush=True)


say(ready=True, versions={"torch": torch.__version__, "diffusers": diffusers.__version__, "threads": torch.get_num_threads()})
dtype = torch.bfloat16 if form == "bfloat16" else torch.float32
layout = torch.channels_last if form == "channels_last" else torch.contiguous_format
torch.manual_seed(0)
x = torch.randn(2, 4, 64, 64, dtype=dtype).to(memory_format=layout)
context = torch.randn(2, 77, 768, dtype=dtype)
t = torch.full((2,), 500)
model = None
for _ in sys.stdin:
    before = time.perf_counter()
    first = model is None
    if first:
        model = UNet2DConditionModel.from_pretrained(folder, torch_dtype=dtype).eval().to(memory_format=layout)
    with torch.inference_mode():
        model(x, t, context).sample
    ms = (time.perf_counter() - before) * 1000
    figure = {"loadAndFirstStep": ms} if first else {"ms": ms}
    say(**figure, maxRss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
