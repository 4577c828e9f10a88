"""Learning rates by diffusers and transformers, for src/training/train.test.ts."""

import json
import pathlib

import diffusers
import torch
import transformers
from diffusers.optimization import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup
from transformers.optimization import get_wsd_schedule

AT = [11, 55, 80, 90, 95, 100]


def rates(make):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    function = make(optimizer).lr_lambdas[0]
    return [function(step - 1) for step in AT]


out = {
    "versions": {"diffusers": diffusers.__version__, "transformers": transformers.__version__},
    "warmup": 10,
    "steps": 100,
    "decay": 20,
    "at": AT,
    "rates": {
        "linear": rates(lambda o: get_linear_schedule_with_warmup(o, 10, 100)),
        "cosine": rates(lambda o: get_cosine_schedule_with_warmup(o, 10, 100)),
        "warmup_stable_decay": rates(lambda o: get_wsd_schedule(o, num_warmup_steps=10, num_decay_steps=20, num_training_steps=100)),
    },
}
path = pathlib.Path(__file__).parent / "fixtures" / "learning_rates.json"
path.write_text(json.dumps(out, indent=2) + "\n")
