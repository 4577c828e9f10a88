"""A small DiT as facebookresearch/DiT publishes its networks, and what diffusers' network answers with the same weights.

The state dict has the original's keys (DiT-XL-2-256x256.pt has them too) and is saved by torch.save. It is renamed as diffusers'
scripts/convert_dit_to_diffusers.py of v0.15 does: queries, keys and values in three, the embeddings of time and class copied into every
block. That the network takes the outcome, no key missing and none left, proves the names.
"""

from collections import OrderedDict
from pathlib import Path

import diffusers
import torch
from diffusers import DiTTransformer2DModel
from safetensors.torch import save_file

DEPTH, WIDTH, CLASSES, CHANNELS, SIDE = 2, 16, 10, 4, 8
generator = torch.Generator().manual_seed(0)


def original():
    def random(*shape):
        scale = 0.25 if len(shape) == 1 else torch.Size(shape[1:]).numel() ** -0.5
        return torch.randn(shape, generator=generator) * scale

    shapes = {"x_embedder.proj": (WIDTH, CHANNELS, 2, 2), "t_embedder.mlp.0": (WIDTH, 256), "t_embedder.mlp.2": (WIDTH, WIDTH)}
    for i in range(DEPTH):
        shapes |= {f"blocks.{i}.attn.qkv": (3 * WIDTH, WIDTH), f"blocks.{i}.attn.proj": (WIDTH, WIDTH)}
        shapes |= {f"blocks.{i}.mlp.fc1": (4 * WIDTH, WIDTH), f"blocks.{i}.mlp.fc2": (WIDTH, 4 * WIDTH)}
        shapes |= {f"blocks.{i}.adaLN_modulation.1": (6 * WIDTH, WIDTH)}
    shapes |= {"final_layer.adaLN_modulation.1": (2 * WIDTH, WIDTH), "final_layer.linear": (2 * 2 * 2 * CHANNELS, WIDTH)}
    state = OrderedDict(pos_embed=torch.zeros(1, (SIDE // 2) ** 2, WIDTH))
    for name, shape in shapes.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = random(*shape), random(shape[0])
    state["y_embedder.embedding_table.weight"] = random(CLASSES + 1, WIDTH)
    return state


NAMES = {"attn.proj": "attn1.to_out.0", "mlp.fc1": "ff.net.0.proj", "mlp.fc2": "ff.net.2", "adaLN_modulation.1": "norm1.linear"}
ENDS = {"x_embedder.proj": "pos_embed.proj", "final_layer.adaLN_modulation.1": "proj_out_1", "final_layer.linear": "proj_out_2"}
ONCE = {"t_embedder.mlp.0": "timestep_embedder.linear_1", "t_embedder.mlp.2": "timestep_embedder.linear_2"}
ONCE |= {"y_embedder.embedding_table": "class_embedder.embedding_table"}


def converted(state):
    out = {}
    for key, value in state.items():
        name, _, end = key.rpartition(".")
        if name in ENDS:
            out[f"{ENDS[name]}.{end}"] = value
        elif name in ONCE:
            for i in range(DEPTH):
                out[f"transformer_blocks.{i}.norm1.emb.{ONCE[name]}.{end}"] = value
        elif name.startswith("blocks."):
            _, i, own = name.split(".", 2)
            if own == "attn.qkv":
                for letter, part in zip("qkv", value.chunk(3), strict=True):
                    out[f"transformer_blocks.{i}.attn1.to_{letter}.{end}"] = part
            else:
                out[f"transformer_blocks.{i}.{NAMES[own]}.{end}"] = value
    return out


here = Path(__file__).parent / "fixtures" / "dit-original"
here.mkdir(exist_ok=True)
state = original()
torch.save(state, here / "model.pt")
model = DiTTransformer2DModel(
    num_attention_heads=1, attention_head_dim=WIDTH, in_channels=CHANNELS, out_channels=2 * CHANNELS, num_layers=DEPTH, sample_size=SIDE,
    num_embeds_ada_norm=CLASSES,
).eval()
model.load_state_dict(converted(state), strict=True)
sample = torch.randn(2, CHANNELS, SIDE, SIDE, generator=generator)
timestep, labels = torch.tensor([700, 31]), torch.tensor([3, CLASSES])
with torch.no_grad():
    out = model(sample, timestep, labels).sample
provenance = {"diffusers": diffusers.__version__, "torch": torch.__version__, "script": "parity/dit_original.py"}
save_file({"sample": sample, "timestep": timestep.float(), "labels": labels, "out": out}, here / "out.safetensors", provenance)
