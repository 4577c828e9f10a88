"""Layers that diffusion transformers share, as diffusers and transformers compute them: results and gradients.

Written for src/nn/transformer-layers.test.ts. Values are drawn from one generator, in the order below.
"""

import json
from pathlib import Path

import diffusers
import torch
import torch.nn.functional as F
import transformers
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import (
    FluxPosEmbed,
    PatchEmbed,
    apply_rotary_emb,
    get_2d_sincos_pos_embed,
    get_timestep_embedding,
)
from diffusers.models.normalization import AdaLayerNormZero, RMSNorm
from safetensors.torch import save_file
from transformers.models.t5.modeling_t5 import T5Attention, T5DenseGatedActDense

SEED = 31
torch.manual_seed(SEED)
tensors = {}


def case(name, module, *inputs, apply=None):
    """Result of a module and, for a random cotangent, the gradients for its inputs and its parameters."""
    inputs = [x.requires_grad_() for x in inputs]
    y = (apply or module)(*inputs)
    cotangent = torch.randn(y.shape)
    parameters = dict(module.named_parameters()) if isinstance(module, torch.nn.Module) else {}
    wrt = [*inputs, *parameters.values()]
    gradients = torch.autograd.grad(y, wrt, cotangent)
    for i, x in enumerate(inputs):
        tensors[f"{name}/input{i}"] = x
        tensors[f"{name}/gradient{i}"] = gradients[i]
    for (key, value), gradient in zip(parameters.items(), gradients[len(inputs) :]):
        tensors[f"{name}/weight.{key}"] = value
        tensors[f"{name}/gradient.{key}"] = gradient
    tensors[f"{name}/result"] = y
    tensors[f"{name}/cotangent"] = cotangent


def perturbed(module):
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return module


x = lambda *shape: torch.randn(shape)
for kind in ("gelu", "gelu-approximate", "geglu", "swiglu"):
    case(f"feed-forward {kind}", perturbed(FeedForward(8, mult=2, activation_fn=kind)), x(2, 5, 8))
config = transformers.T5Config(d_model=8, d_ff=12, feed_forward_proj="gated-gelu", dropout_rate=0.0)
case("gated T5", perturbed(T5DenseGatedActDense(config)), x(2, 5, 8))
case("rms norm", perturbed(RMSNorm(8, eps=1e-6)), x(2, 5, 8))
case("plain layer norm", torch.nn.LayerNorm(8, eps=1e-6, elementwise_affine=False), x(2, 5, 8))


class Zero(torch.nn.Module):
    """The modulated norm, gate and residual of a DiT block."""

    def __init__(self):
        super().__init__()
        self.norm = AdaLayerNormZero(8)

    def forward(self, tokens, condition):
        y, gate, shift, scale, gate2 = self.norm(tokens, emb=condition)
        a = tokens + gate.unsqueeze(1) * y.tanh()
        normal = F.layer_norm(a, (8,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]
        return a + gate2.unsqueeze(1) * normal


case("modulation", perturbed(Zero()), x(2, 5, 8), x(2, 8))

patch = perturbed(PatchEmbed(height=6, width=8, patch_size=2, in_channels=3, embed_dim=8, pos_embed_type=None))
case("patches", patch, x(2, 3, 6, 8))


def unpatchify(y):
    y = y.reshape(2, 3, 4, 2, 2, 5)
    return torch.einsum("nhwpqc->nchpwq", y).reshape(2, 5, 6, 8)


case("unpatchify", None, x(2, 12, 20), apply=unpatchify)

for name, size, base, scale in [("square", (6, 6), 4, 1.0), ("wide", (4, 10), 6, 2.0)]:
    tensors[f"grid {name}"] = get_2d_sincos_pos_embed(16, size, base_size=base, interpolation_scale=scale, output_type="pt").float()

ids = torch.stack([torch.zeros(12), torch.arange(12) // 4 * 7.0, torch.arange(12) % 4 * 100.0], 1)
tensors["ids"] = ids
cos, sin = FluxPosEmbed(theta=10000, axes_dim=[2, 4, 6])(ids)
tensors["cos"], tensors["sin"] = cos[:, ::2].contiguous(), sin[:, ::2].contiguous()


def rotated(y):
    heads = y.reshape(2, 12, 2, 12).transpose(1, 2)
    return apply_rotary_emb(heads, (cos, sin)).transpose(1, 2).reshape(2, 12, 24)


case("rotary", None, x(2, 12, 24), apply=rotated)

distances = torch.arange(-700, 701)
for name, both in [("both", True), ("one", False)]:
    tensors[f"buckets {name}"] = T5Attention._relative_position_bucket(distances, bidirectional=both, num_buckets=32, max_distance=128).int()

t = torch.tensor([0.0, 1.0, 37.5, 999.0])
for shift in (0, 1):
    tensors[f"time {shift}"] = get_timestep_embedding(t, 256, flip_sin_to_cos=True, downscale_freq_shift=shift)

path = Path(__file__).parent / "fixtures" / "transformer-layers.safetensors"
metadata = {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__, "seed": str(SEED)}
save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, path, metadata=metadata)
print(f"{len(tensors)} tensors, {path.stat().st_size} bytes")
