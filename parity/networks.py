"""What the fixtures of networks share: random weights that the tests draw again, and key sets."""

import hashlib
import json
import math

import torch

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


def no_faint(name, gradients):
    """Holds that every gradient matters, so that a path left out cannot go unseen.

    A constant added to every key leaves the softmax alone: that gradient is zero but for rounding. No other may be.
    """
    largest = {key: g.abs().max().item() for key, g in gradients.items()}
    faint = [key for key, g in largest.items() if g < 1e-3 * max(largest.values()) and not key.endswith(("to_k.bias", "k_proj.bias"))]
    assert not faint, f"{name}: no gradient to speak of for {faint}"
