"""Stable Diffusion 3's transformer under the original program's keys, by diffusers' own conversion, for src/checkpoints/sd3-keys.ts.

The original's keys and shapes are put together from a small network of diffusers'; that the conversion gives back exactly its keys and
shapes proves them. Every element has a value of its own: a tensor's first, middle and last tell what became of it.
"""

import json
import re
from pathlib import Path

import diffusers
import torch
from diffusers import SD3Transformer2DModel
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

BLOCK = {"attn.to_out.0": "x_block.attn.proj", "attn.to_add_out": "context_block.attn.proj", "attn2.to_out.0": "x_block.attn2.proj"}
BLOCK |= {"norm1.linear": "x_block.adaLN_modulation.1", "norm1_context.linear": "context_block.adaLN_modulation.1"}
for ours, theirs in {"ff": "x_block", "ff_context": "context_block"}.items():
    BLOCK |= {f"{ours}.net.0.proj": f"{theirs}.mlp.fc1", f"{ours}.net.2": f"{theirs}.mlp.fc2"}
for letter in "qk":
    BLOCK |= {f"attn.norm_{letter}": f"x_block.attn.ln_{letter}", f"attn.norm_added_{letter}": f"context_block.attn.ln_{letter}"}
    BLOCK |= {f"attn2.norm_{letter}": f"x_block.attn2.ln_{letter}"}
ENDS = {"pos_embed.pos_embed": "pos_embed", "pos_embed.proj": "x_embedder.proj", "context_embedder": "context_embedder", "proj_out": "final_layer.linear"}
ENDS |= {"norm_out.linear": "final_layer.adaLN_modulation.1"}
for ours, theirs in {"timestep_embedder": "t_embedder", "text_embedder": "y_embedder"}.items():
    ENDS |= {f"time_text_embed.{ours}.linear_{n}": f"{theirs}.mlp.{2 * n - 2}" for n in (1, 2)}


def renamed(key, table):
    for ours, theirs in table.items():
        if key == ours or key.startswith(ours + "."):
            return theirs + key[len(ours) :]
    raise KeyError(key)


def original(model):
    out = {}
    for key, value in model.state_dict().items():
        shape = list(value.shape)
        found = re.match(r"transformer_blocks\.(\d+)\.(.+)", key)
        if not found:
            out[renamed(key, ENDS)] = shape
            continue
        joined = re.match(r"(attn2?)\.(to|add)_([qkv])(?:_proj)?\.(\w+)", found[2])
        if joined:
            side = "context_block" if joined[2] == "add" else "x_block"
            out[f"joint_blocks.{found[1]}.{side}.{joined[1]}.qkv.{joined[4]}"] = [3 * shape[0], *shape[1:]]
        else:
            out[f"joint_blocks.{found[1]}.{renamed(found[2], BLOCK)}"] = shape
    return out


cases = {}
for name, options in {"sd3": {}, "sd3.5-medium": {"qk_norm": "rms_norm", "dual_attention_layers": (0,)}}.items():
    model = SD3Transformer2DModel(
        sample_size=4, patch_size=2, in_channels=2, out_channels=2, num_layers=2, attention_head_dim=4, num_attention_heads=2,
        joint_attention_dim=5, caption_projection_dim=8, pooled_projection_dim=6, pos_embed_max_size=4, **options,
    )
    shapes, weights, offset = original(model), {}, 0
    for key, shape in shapes.items():
        size = torch.Size(shape).numel()
        weights[key] = torch.arange(offset, offset + size, dtype=torch.float32).reshape(shape)
        offset += size
    converted = convert_sd3_transformer_checkpoint_to_diffusers(dict(weights))
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in model.state_dict().items()}
    told = {k: [list(v.shape), *(v.flatten()[i].item() for i in (0, v.numel() // 2, -1))] for k, v in converted.items()}
    cases[name] = {"original": shapes, "converted": told}
provenance = {"diffusers": diffusers.__version__, "torch": torch.__version__, "script": "parity/sd3_keys.py"}
(Path(__file__).parent / "fixtures" / "sd3_keys.json").write_text(json.dumps({"provenance": provenance, "cases": cases}, separators=(",", ":")) + "\n")
