"""PyTorch's side of `langevin bench t5`: python t5.py t5 eager|bfloat16 FOLDER.

Says that it is ready, then encodes one prompt of 256 tokens for each line on standard input and writes one line of JSON for each. The
first line has the time from opening the checkpoint to the end of the first prompt.
"""

import json
import resource
import sys
import time

import torch
import transformers
from transformers import T5EncoderModel

_, form, folder = sys.argv[1:]


def say(**line):
    print(json.dumps(line), flush=True)


say(ready=True, versions={"torch": torch.__version__, "transformers": transformers.__version__, "threads": torch.get_num_threads()})
dtype = torch.bfloat16 if form == "bfloat16" else torch.float32
torch.manual_seed(0)
model = None
for _ in sys.stdin:
    before = time.perf_counter()
    first = model is None
    if first:
        model = T5EncoderModel.from_pretrained(folder, dtype=dtype).eval()
        tokens = torch.randint(0, model.config.vocab_size, (1, 256))
    with torch.inference_mode():
        model(tokens).last_hidden_state
    ms = (time.perf_counter() - before) * 1000
    figure = {"loadAndFirstStep": ms} if first else {"ms": ms}
    say(**figure, maxRss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
