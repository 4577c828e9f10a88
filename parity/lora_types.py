"""Adapters of other types than plain LoRA, merged: DoRA by peft itself; OFT, BOFT and GLoRA by their papers' formulas in PyTorch.

Each case has a base weight, the adapter's tensors with their keys, and the merged weight.
"""

import json
from pathlib import Path

import peft
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn

SEED = 11
generator = torch.Generator().manual_seed(SEED)
out = {}


def randn(*shape):
    return torch.randn(shape, generator=generator)


def keep(name, base, merged, parts):
    out[f"{name} base"] = base.detach().clone().contiguous()
    out[f"{name} merged"] = merged.detach().clone().contiguous()
    for key, value in parts.items():
        out[f"{name} part {key}"] = value.detach().clone().contiguous()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 6)
        self.conv = nn.Conv2d(4, 6, 3)
        self.plain = nn.Linear(4, 6)


def dora(scale):
    torch.manual_seed(SEED)
    net = Net()
    base = {k: v.detach().clone() for k, v in net.state_dict().items()}
    config = LoraConfig(r=2, lora_alpha=3, target_modules=["linear", "conv"], use_dora=True, init_lora_weights=False)
    model = get_peft_model(net, config)
    for module in model.modules():
        if hasattr(module, "lora_magnitude_vector"):
            for vector in module.lora_magnitude_vector.values():
                vector.weight.data *= 1 + 0.3 * torch.rand(vector.weight.shape, generator=generator)
            module.scaling["default"] *= scale
    state = {k.removeprefix("base_model.model."): v.clone() for k, v in get_peft_model_state_dict(model).items()}
    model.merge_adapter()
    merged = model.base_model.model
    for name in ("linear", "conv"):
        parts = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(name)}
        keep(f"dora {name} {scale}", base[f"{name}.weight"], getattr(merged, name).base_layer.weight, {**parts, "alpha": torch.tensor(3.0)})


dora(1)
dora(0.5)


def bias():
    torch.manual_seed(SEED)
    net = Net()
    base = net.plain.bias.detach().clone()
    model = get_peft_model(net, LoraConfig(r=2, lora_alpha=3, target_modules=["plain"], lora_bias=True, init_lora_weights=False))
    state = {k.removeprefix("base_model.model.plain."): v.clone() for k, v in get_peft_model_state_dict(model).items()}
    model.merge_adapter()
    keep("bias", base, model.base_model.model.plain.base_layer.bias, {**state, "alpha": torch.tensor(3.0)})


bias()


def cayley(blocks, constraint=0.0):
    q = blocks - blocks.transpose(-1, -2)
    norm = q.norm() + 1e-8
    if 0 < constraint < norm:
        q = q * constraint / norm
    eye = torch.eye(q.shape[-1], dtype=q.dtype)
    return (eye + q) @ torch.linalg.inv(eye - q)


for name, base in {"linear": randn(6, 4), "conv": randn(6, 4, 3, 3)}.items():
    blocks = randn(2, 3, 3)
    for label, alpha in {"": None, " constrained": 0.1}.items():
        r = cayley(blocks.double(), 6 * alpha if alpha else 0.0)
        w = base.double().reshape(2, 3, *base.shape[1:])
        merged = torch.einsum("k n m, k n ... -> k m ...", r, w).reshape(base.shape).float()
        keep(f"oft {name}{label}", base, merged, {"oft_blocks": blocks, **({"alpha": torch.tensor(alpha)} if alpha else {})})

    # BOFT: factor i multiplies blocks of rows that a butterfly of stride 2^i · b/2 brings together.
    base = randn(8, *base.shape[1:])
    blocks, rescale = randn(2, 2, 4, 4) * 0.3, 1 + 0.1 * randn(8, 1)
    x = base.double()
    for i, factor in enumerate(cayley(blocks.double())):
        k = 2**i * 2
        x = x.unflatten(0, (-1, 2, k)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, 4))
        x = torch.einsum("b i j, b j ... -> b i ...", factor, x)
        x = x.flatten(0, 1).unflatten(0, (-1, k, 2)).transpose(1, 2).flatten(0, 2)
    x = x * rescale.double().reshape(8, *[1] * (x.dim() - 1))
    keep(f"boft {name}", base, x.float(), {"oft_blocks": blocks, "rescale": rescale})

base = randn(6, 4)
a1, a2, b1, b2 = randn(2, 4), randn(4, 2), randn(2, 4), randn(6, 2)
keep("glora older", base, base + base @ (a2 @ a1) + b2 @ b1, {"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2})
keep("glora newer", base, base + base @ (a2 @ a1) + b2 @ b1, {"a1.weight": a2, "a2.weight": a1, "b1.weight": b2, "b2.weight": b1})

# LyCORIS' DoRA: one magnitude a column, or one a row.
down, up = randn(2, 4), randn(6, 2)
v = base + up @ down
columns, rows = torch.rand((1, 4), generator=generator) + 1, torch.rand((6, 1), generator=generator) + 1
keep("dora_scale columns", base, v * columns / v.norm(dim=0, keepdim=True), {"lora_down.weight": down, "lora_up.weight": up, "dora_scale": columns})
keep("dora_scale rows", base, v * rows / v.norm(dim=1, keepdim=True), {"lora_down.weight": down, "lora_up.weight": up, "dora_scale": rows})

provenance = {"peft": peft.__version__, "torch": torch.__version__, "seed": SEED, "script": "parity/lora_types.py"}
save_file(out, Path(__file__).parent / "fixtures" / "lora_types.safetensors", metadata={"provenance": json.dumps(provenance, sort_keys=True)})
