"""PyTorch's files and safetensors' rarer types, as fixtures for src/checkpoints: each beside the values that PyTorch reads from it.

Every file `X.pt` has `X.expected.safetensors`, its tensors contiguous, f64 as f32 and fp8 as f16, under the keys that langevin gives.
"""

import argparse
import json
import os
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy
import safetensors
import torch
from safetensors.torch import save_file

SEED = 7
here = Path(__file__).parent / "fixtures" / "pickles"
shutil.rmtree(here, ignore_errors=True)
here.mkdir(parents=True)
versions = {"safetensors": safetensors.__version__, "torch": torch.__version__, "numpy": numpy.__version__}
provenance = {"provenance": json.dumps({**versions, "seed": SEED, "script": "parity/pickles.py"}, sort_keys=True)}
generator = torch.Generator().manual_seed(SEED)


def random(*shape):
    return torch.randn(shape, generator=generator)


def plain(tensor):
    """As langevin holds it."""
    wider = {
        torch.float64: torch.float32,
        torch.int16: torch.int32,
        torch.int8: torch.int32,
        torch.uint16: torch.int32,
        torch.uint32: torch.int64,
        torch.uint64: torch.int64,
        torch.float8_e4m3fn: torch.float16,
        torch.float8_e5m2: torch.float16,
    }
    return tensor.detach().to(wider.get(tensor.dtype, tensor.dtype)).contiguous().clone()


def expect(name, tensors):
    save_file({key: plain(value) for key, value in tensors.items()}, here / f"{name}.expected.safetensors", metadata=provenance)


def write(name, value, expected, **options):
    torch.save(value, here / f"{name}.pt", **options)
    expect(name, expected)


types = {
    "f64": random(3, 2).double() * 1e5,
    "i16": torch.tensor([-32768, -1, 0, 32767], dtype=torch.int16),
    "i8": torch.tensor([[-128, 127], [-1, 0]], dtype=torch.int8),
    "u16": torch.tensor([0, 1, 65535], dtype=torch.uint16),
    "u32": torch.tensor([0, 4294967295], dtype=torch.uint32),
    "u64": torch.tensor([0, 2**63 - 1], dtype=torch.uint64),
    "e4m3": torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn),
    "e5m2": torch.arange(256, dtype=torch.uint8).view(torch.float8_e5m2),
    "f32": random(5),
}
save_file(types, here / "types.safetensors", metadata=provenance)
expect("types", types)

base = random(4, 6)
dtypes = {
    **types,
    "f16": random(2, 3).half(),
    "bf16": random(7).bfloat16(),
    "i64": torch.tensor([-(2**62), 5]),
    "i32": torch.tensor([-5, 2**31 - 1], dtype=torch.int32),
    "u8": torch.tensor([0, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(3.25),
    "empty": torch.zeros(0, 3),
}
views = {"whole": base, "transposed": base.t(), "columns": base[:, 1:5:2], "rows": base[1:3], "expanded": base[:1].expand(3, 6)}
views["permuted"] = random(2, 3, 4).permute(2, 0, 1)
named = OrderedDict((f"body.{i}.weight", random(3, 3)) for i in range(3))
named._metadata = OrderedDict({"": {"version": 1}})

write("dtypes", dtypes, dtypes)
write("dtypes-legacy", {k: v for k, v in dtypes.items() if v.dtype not in (torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64)},
      {k: v for k, v in dtypes.items() if v.dtype not in (torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64)},
      _use_new_zipfile_serialization=False)
write("views", views, views)
write("views-legacy", views, views, _use_new_zipfile_serialization=False)
write("protocol4", dict(named), named, pickle_protocol=4)
write("params-ema", {"params": {"w": torch.zeros(2)}, "params_ema": named}, named)
module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
write("module", {"state_dict": module.state_dict(), "epoch": 3, "optimizer_states": [torch.optim.Adam(module.parameters()).state_dict()]}, module.state_dict())
parameters = dict(module.named_parameters())
write("parameters", parameters, parameters)
write("numpy-beside", {"model": named, "best": numpy.float64(0.5), "lr": 1e-3, "note": None, "shape": torch.Size([3, 4])}, named)
inversion = {"string_to_token": {"*": 265}, "string_to_param": {"*": random(2, 16).requires_grad_()}, "name": "my-cat", "step": 500, "sd_checkpoint": None, "sd_checkpoint_name": None}
write("inversion-a1111", inversion, {"string_to_param.*": inversion["string_to_param"]["*"]})
learned = {"<my-dog>": random(16)}
write("inversion-diffusers", learned, learned)
write("inversion-legacy", learned, learned, _use_new_zipfile_serialization=False)
nested = {"image_proj": {"proj.weight": random(4, 2)}, "ip_adapter": {"1.to_k_ip.weight": random(2, 2)}}
write("nested", nested, {f"{a}.{b}": v for a, own in nested.items() for b, v in own.items()})


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/langevin-pickle-ran",)


torch.save({"w": random(2), "x": Evil()}, here / "evil.pt")
torch.save({"w": random(2), "x": Evil()}, here / "evil-legacy.pt", _use_new_zipfile_serialization=False)
torch.save({"args": argparse.Namespace(a=1), "state_dict": named}, here / "namespace.pt")
torch.save(module, here / "whole-module.pt")
torch.save({"epoch": 3}, here / "no-tensors.pt")
torch.save(random(3), here / "tensor-alone.pt")
