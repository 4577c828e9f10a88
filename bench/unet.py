"""PyTorch's side of `langevin bench`: python unet.py unet-inference|unet-training eager|channels_last FOLDER.

Gets ready, says so, then does one measured run for each line on standard input and writes one line of JSON for each.
"""

import json
import resource
import sys
import time

import diffusers
import torch
from diffusers import UNet2DModel

task, layout, folder = sys.argv[1:]


def say(**line):
    print(json.dumps(line), flush=True)


torch.manual_seed(0)
if task == "unet-inference":
    model = UNet2DModel.from_pretrained(folder)
else:
    model = UNet2DModel.from_config(UNet2DModel.load_config(folder))
memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
model = model.to(memory_format=memory)
x = torch.randn(8, 3, 32, 32).to(memory_format=memory)
noise = torch.randn(8, 3, 32, 32)
t = torch.full((8,), 10)

if task == "unet-inference":
    model.eval()

    def run():
        with torch.inference_mode():
            model(x, t).sample

else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def run():
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x, t).sample, noise).backward()
        optimizer.step()


say(ready=True, versions={"torch": torch.__version__, "diffusers": diffusers.__version__, "threads": torch.get_num_threads()})
for _ in sys.stdin:
    before = time.perf_counter()
    run()
    ms = (time.perf_counter() - before) * 1000
    say(ms=ms, maxRss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
