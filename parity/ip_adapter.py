"""diffusers' IP-Adapters, as fixtures for src/models/ip-adapter: tokens, and what the U-Net makes of them."""

import json
from pathlib import Path

import diffusers
import torch
from diffusers import UNet2DConditionModel
from networks import SEED, keys_of, set_weights
from safetensors.torch import save_file

torch.set_num_threads(1)
here = Path(__file__).parent / "fixtures"
EMBED, STATE, CONTEXT = 10, 14, 12
two = {
    "sample_size": 8,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": CONTEXT,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "attention_head_dim": 4,
}
xl = {
    **two,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2],
    "attention_head_dim": [2, 4],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 6,
    "projection_class_embeddings_input_dim": 46,
}


def adapter(kind, unet, seed, embed=EMBED, state=STATE):
    """A file's tensors in the published layout: the embedding's projection, then keys and values in the order of the attentions."""
    generator = torch.Generator().manual_seed(seed)
    context = unet.config.cross_attention_dim

    def randn(*shape):
        return torch.randn(shape, generator=generator) * (0.3 if len(shape) == 1 else shape[-1] ** -0.5)

    def norm(name, width):
        return {f"{name}.weight": 1 + randn(width), f"{name}.bias": randn(width)}

    if kind == "plain":
        found = {"proj.weight": randn(4 * context, embed), "proj.bias": randn(4 * context), **norm("norm", context)}
    elif kind == "full":
        found = {"proj.0.weight": randn(state, state), "proj.0.bias": randn(state)}
        found |= {"proj.2.weight": randn(context, state), "proj.2.bias": randn(context), **norm("proj.3", context)}
    else:
        width = 16
        found = {"latents": randn(1, 5, width), "proj_in.weight": randn(width, state), "proj_in.bias": randn(width)}
        found |= {"proj_out.weight": randn(context, width), "proj_out.bias": randn(context), **norm("norm_out", context)}
        for i in range(4):
            at, feed = f"layers.{i}.0", f"layers.{i}.1"
            found |= {**norm(f"{at}.norm1", width), **norm(f"{at}.norm2", width), **norm(f"{feed}.0", width)}
            found |= {f"{at}.to_q.weight": 2 * randn(128, width), f"{at}.to_kv.weight": 2 * randn(256, width)}
            found |= {f"{at}.to_out.weight": randn(width, 128)}
            found |= {f"{feed}.1.weight": randn(4 * width, width), f"{feed}.3.weight": randn(width, 4 * width)}
    ours = {f"image_proj.{key}": value for key, value in found.items()}
    number = 1
    for name, processor in unet.attn_processors.items():
        if name.endswith("attn2.processor"):
            at = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
            for one in ("to_k_ip", "to_v_ip"):
                ours[f"ip_adapter.{number}.{one}.weight"] = randn(*at) * (2 if one == "to_k_ip" else 1)
            number += 2
    return ours


def halves(tensors):
    """As load_ip_adapter reads a file."""
    return {
        half: {key.removeprefix(f"{half}."): value for key, value in tensors.items() if key.startswith(f"{half}.")}
        for half in ("image_proj", "ip_adapter")
    }


def main():
    cases = {
        "plain": (two, [("plain", 1.0)]),
        "plus": (two, [("plus", 0.6)]),
        "full": (two, [("full", 0.8)]),
        "several": (two, [("plain", 0.7), ("plus", 0.4)]),
        "xl": (xl, [("plain", 0.5)]),
        "xl_plus": (xl, [("plus", 1.0), ("plain", 0.0)]),
    }
    tensors, described = {}, {}
    for name, (config, wanted) in cases.items():
        unet = UNet2DConditionModel(**config)
        set_weights(unet)
        keys = keys_of(unet)
        files = [adapter(kind, unet, SEED + 10 + i) for i, (kind, _) in enumerate(wanted)]
        unet._load_ip_adapter_weights([halves(file) for file in files])
        for attention in unet.attn_processors.values():
            if hasattr(attention, "scale"):
                attention.scale = [scale for _, scale in wanted]
        generator = torch.Generator().manual_seed(SEED + 1)
        randn = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
        given = {"sample": randn(2, 4, 8, 8), "timestep": torch.tensor([981.0, 31.0]), "context": randn(2, 5, CONTEXT)}
        embeds = [randn(2, 1, EMBED) if kind == "plain" else randn(2, 1, 3, STATE) for kind, _ in wanted]
        added = {"image_embeds": embeds}
        if config is xl:
            given["textEmbeds"] = randn(2, 10)
            given["timeIds"] = torch.tensor([[1024, 768, 0, 16, 512, 640], [512, 512, 64, 0, 1024, 1024]]).float()
            added |= {"text_embeds": given["textEmbeds"], "time_ids": given["timeIds"]}
        with torch.no_grad():
            output = unet(given["sample"], given["timestep"], given["context"], added_cond_kwargs=added).sample
            tokens = unet.encoder_hid_proj(embeds)
            # What a scale of 0 leaves shows how much the pictures do.
            for attention in unet.attn_processors.values():
                if hasattr(attention, "scale"):
                    attention.scale = [0.0 for _ in wanted]
            alone = unet(given["sample"], given["timestep"], given["context"], added_cond_kwargs=added).sample
        share = ((output - alone).square().mean() / output.square().mean()).sqrt().item()
        assert share > 0.05, f"{name}: the pictures do not show: {share}"
        tensors |= {f"{name}.{key}": value for key, value in given.items()} | {f"{name}.output": output}
        for i, (embed, token) in enumerate(zip(embeds, tokens)):
            tensors |= {f"{name}.embeds {i}": embed[:, 0], f"{name}.tokens {i}": token[:, 0]}
            tensors |= {f"{name}.adapter {i} {key}": value for key, value in files[i].items()}
        described[name] = {"config": config, "adapters": [{"kind": kind, "scale": scale} for kind, scale in wanted], **keys}
        print(name, f"share of the pictures {share:.2f}")
    metadata = {"diffusers": diffusers.__version__, "torch": torch.__version__, "seed": str(SEED), "cases": json.dumps(described)}
    path = here / "ip_adapter.safetensors"
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, path, metadata=metadata)
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
