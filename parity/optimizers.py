"""Muon as PyTorch computes it, for src/training/optimizer.test.ts: a matrix, gradients of it, and where three steps lead."""

from pathlib import Path

import torch
from safetensors.torch import save_file

LR, WEIGHT_DECAY, STEPS = 0.02, 0.1, 3

# PyTorch's iteration rounds to bfloat16; in float32 it is the same arithmetic, told apart from other arithmetic more sharply.
torch.Tensor.bfloat16 = torch.Tensor.float

out = {}
generator = torch.Generator().manual_seed(0)
for name, shape in {"wide": (20, 44), "tall": (52, 18), "square": (16, 16)}.items():
    start = torch.randn(shape, generator=generator)
    gradients = torch.randn((STEPS, *shape), generator=generator)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Muon([parameter], lr=LR, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    out |= {f"{name}.start": start, f"{name}.gradients": gradients, f"{name}.end": parameter.detach()}
    print(name, (parameter - start).square().mean().sqrt().item())

save_file(out, Path(__file__).parent / "fixtures" / "optimizers.safetensors")
