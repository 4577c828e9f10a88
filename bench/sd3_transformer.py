"""PyTorch's side of `langevin bench sd3-transformer`: python sd3_transformer.py sd3-transformer eager|bfloat16 FOLDER.

Loads Stable Diffusion 3's transformer, says so, then does one step of a guided 512×512 picture for each line on standard input and
writes one line of JSON for each. The first line has the time from opening the checkpoint to the end of the first step.
"""

import json
import resource
import sys
import time

import diffusers
import torch
from diffusers import SD3Transformer2DModel

_, form, folder = sys.argv[1:]


def say(**line):
    print(json.dumps(line), flush=True)


say(ready=True, versions={"torch": torch.__version__, "diffusers": diffusers.__version__, "threads": torch.get_num_threads()})
dtype = torch.bfloat16 if form == "bfloat16" else torch.float32
torch.manual_seed(0)
x = torch.randn(2, 16, 64, 64, dtype=dtype)
t = torch.full((2,), 500.0)
model = None
for _ in sys.stdin:
    before = time.perf_counter()
    first = model is None
    if first:
        model = SD3Transformer2DModel.from_pretrained(folder, torch_dtype=dtype).eval()
        context = torch.randn(2, 77 + 256, model.config.joint_attention_dim, dtype=dtype)
        pooled = torch.randn(2, model.config.pooled_projection_dim, dtype=dtype)
    with torch.inference_mode():
        model(x, timestep=t, encoder_hidden_states=context, pooled_projections=pooled).sample
    ms = (time.perf_counter() - before) * 1000
    figure = {"loadAndFirstStep": ms} if first else {"ms": ms}
    say(**figure, maxRss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
