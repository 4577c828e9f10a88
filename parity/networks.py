"""What the fixtures of networks share: random weights that the tests draw again, and key sets."""

import hashlib
import json
import math
from pathlib import Path

import diffusers
import torch
from safetensors.torch import save_file

SEED = 0


def keys_of(model):
    """What a checkpoint of the model has: count, elements, and a hash of the sorted lines `key shape`."""
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    lines = "".join(f"{key} {json.dumps(shapes[key])}\n" for key in sorted(shapes))
    elements = sum(math.prod(shape) for shape in shapes.values())
    return {"keys": len(shapes), "parameters": elements, "sha256": hashlib.sha256(lines.encode()).hexdigest()}


@torch.no_grad()
def set_weights(model, seed=SEED):
    """In the order of the keys, one stream of normals, scaled so that every path matters."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in sorted(model.state_dict().items()):
        normal = torch.randn(value.shape, generator=generator)
        if key == "time_proj.weight" and value.ndim == 1:
            value.copy_(normal)
        elif value.ndim <= 1:
            value.copy_(normal * 0.25 + (1.0 if key.endswith("weight") else 0.0))
        else:
            sharp = 2.0 if any(part in key for part in (".to_q.", ".to_k.", ".q_proj.", ".k_proj.")) else 1.0
            value.copy_(normal * (sharp / math.sqrt(value[0].numel())))


def no_faint(name, gradients, share=1e-3):
    """Holds that every gradient matters, so that a path left out cannot go unseen.

    A constant added to every key leaves the softmax alone: that gradient is zero but for rounding. No other may be.
    """
    largest = {key: g.abs().max().item() for key, g in gradients.items()}
    faint = [key for key, g in largest.items() if g < share * max(largest.values()) and not key.endswith(("to_k.bias", "k_proj.bias"))]
    assert not faint, f"{name}: no gradient to speak of for {faint}"


def weight_gradients(name, model, outputs, cotangents):
    """Runs back from the outputs by their cotangents: the gradient of every weight, none of them faint."""
    sum((outputs[key] * cotangents[key]).sum() for key in outputs).backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.requires_grad}
    no_faint(name, gradients)
    return gradients


def published_keys(published):
    """Of published networks, {name: (class, config)}, the config and what a checkpoint has; built without memory."""
    with torch.device("meta"):
        found = {name: keys_of(kind(**config)) for name, (kind, config) in published.items()}
    for name, keys in found.items():
        print(name, keys["keys"], keys["parameters"])
    return found


def save_networks(name, tensors, cases, published):
    """Writes fixtures/<name>.safetensors with what is needed to tell where the numbers come from."""
    metadata = {
        "diffusers": diffusers.__version__,
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "seed": str(SEED),
        "cases": json.dumps(cases),
        "published": json.dumps(published),
    }
    path = Path(__file__).parent / "fixtures" / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata=metadata)
    print(path.stat().st_size, "bytes")
