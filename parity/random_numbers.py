"""Random numbers of PyTorch's CPU generator, as fixtures for src/runtime/random.test.ts."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

SEEDS = [0, 1, 42, 2**31, 2**40 + 12345, -7]
SIZES = [1, 2, 5, 15, 16, 17, 31, 32, 33, 100, 1000]

tensors = {}
for seed in SEEDS:
    for size in SIZES:
        tensors[f"randn.{seed}.{size}"] = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    # One stream through everything: the second of a pair of normals is kept for the next call below 16.
    tensors[f"stream.{seed}.a"] = torch.randn(3, generator=generator)
    tensors[f"stream.{seed}.b"] = torch.randn(2, 20, generator=generator)
    tensors[f"stream.{seed}.c"] = torch.randn(2, generator=generator)
    tensors[f"stream.{seed}.d"] = torch.rand(700, generator=generator)
    tensors[f"stream.{seed}.e"] = torch.randint(-3, 1000, (50,), generator=generator)
    tensors[f"stream.{seed}.f"] = torch.randint(0, 2**40, (50,), generator=generator)
    tensors[f"stream.{seed}.g"] = torch.randperm(100, generator=generator)
    tensors[f"stream.{seed}.h"] = torch.randn(4, generator=generator)

here = Path(__file__).parent
metadata = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability(), "seeds": json.dumps(SEEDS)}
save_file(tensors, here / "fixtures" / "random.safetensors", metadata=metadata)
