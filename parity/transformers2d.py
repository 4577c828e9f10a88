"""diffusers' image transformers, as fixtures for src/models/dit, pixart and mmdit: outputs, gradients, and key sets."""

import torch
from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel, SD3Transformer2DModel
from networks import SEED, keys_of, no_faint, published_keys, save_networks, set_weights

torch.set_num_threads(1)
large = {"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "pos_embed_max_size": 192}
medium = {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536}
published = {
    "DiT-XL-2-256": (DiTTransformer2DModel, {"in_channels": 4, "out_channels": 8, "sample_size": 32}),
    "PixArt-XL-2-1024-MS": (PixArtTransformer2DModel, {"caption_channels": 4096}),
    "PixArt-Sigma-XL-2-1024-MS": (PixArtTransformer2DModel, {"caption_channels": 4096, "use_additional_conditions": False}),
    "stable-diffusion-3-medium": (SD3Transformer2DModel, {**medium, "pos_embed_max_size": 192}),
    "stable-diffusion-3.5-medium": (
        SD3Transformer2DModel,
        {**medium, "pos_embed_max_size": 384, "qk_norm": "rms_norm", "dual_attention_layers": list(range(13))},
    ),
    "stable-diffusion-3.5-large": (SD3Transformer2DModel, {**large, "qk_norm": "rms_norm"}),
}
tiny = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "patch_size": 2, "sample_size": 8}
sd3 = {**tiny, "in_channels": 3, "out_channels": 3, "joint_attention_dim": 10, "caption_projection_dim": 16}
sd3 |= {"pooled_projection_dim": 6, "pos_embed_max_size": 6}
pixart = {**tiny, "attention_head_dim": 12, "in_channels": 4, "cross_attention_dim": 24, "caption_channels": 10}
cases = {
    "dit": (DiTTransformer2DModel, {**tiny, "in_channels": 4, "out_channels": 8, "num_embeds_ada_norm": 5}, (8, 8)),
    # DiT unpatchifies squares only; PixArt stretches each axis by itself.
    "dit_larger": (DiTTransformer2DModel, {**tiny, "patch_size": 1, "sample_size": 4, "in_channels": 2, "num_embeds_ada_norm": 3, "attention_bias": False}, (6, 6)),
    "pixart_alpha": (PixArtTransformer2DModel, {**pixart, "use_additional_conditions": True, "interpolation_scale": 2}, (6, 8)),
    "pixart_sigma": (PixArtTransformer2DModel, {**pixart, "cross_attention_dim": 24, "use_additional_conditions": False}, (8, 4)),
    "sd3": (SD3Transformer2DModel, {**sd3, "num_layers": 3}, (8, 6)),
    "sd35": (SD3Transformer2DModel, {**sd3, "qk_norm": "rms_norm", "dual_attention_layers": [0]}, (12, 4)),
}
tensors, found = {}, {}
generator = torch.Generator().manual_seed(SEED)


def randn(*shape):
    return torch.randn(shape, generator=generator)


for name, (kind, config, (height, width)) in cases.items():
    model = kind(**config).eval()
    found[name] = {"config": {"_class_name": kind.__name__, **config}, **keys_of(model)}
    set_weights(model)
    given = {"sample": randn(2, config["in_channels"], height, width), "timestep": torch.tensor([7.0, 432.5])}
    calls = {}
    if kind is DiTTransformer2DModel:
        given["timestep"] = torch.tensor([7.0, 432.0])
        given["labels"] = torch.tensor([1, config["num_embeds_ada_norm"]])
        calls["made"] = lambda g: model(g["sample"], timestep=g["timestep"], class_labels=g["labels"])
    elif kind is PixArtTransformer2DModel:
        given |= {"context": randn(2, 5, 10), "mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])}
        added = {"resolution": None, "aspect_ratio": None}
        if config["use_additional_conditions"]:
            given |= {"resolution": torch.tensor([[48.0, 64.0], [64.0, 64.0]]), "ratio": torch.tensor([[0.75], [1.0]])}
            added = {"resolution": given["resolution"], "aspect_ratio": given["ratio"]}
        calls["made"] = lambda g: model(
            g["sample"],
            timestep=g["timestep"],
            encoder_hidden_states=g["context"],
            encoder_attention_mask=g["mask"],
            added_cond_kwargs=added,
        )
    else:
        tokens = height * width // 4
        given |= {"context": randn(2, 5, 10), "pooled": randn(2, 6), "residual 0": randn(2, tokens, 16), "residual 1": randn(2, tokens, 16)}
        common = lambda g: {"encoder_hidden_states": g["context"], "pooled_projections": g["pooled"], "timestep": g["timestep"]}
        calls["made"] = lambda g: model(g["sample"], **common(g))
        calls["controlled"] = lambda g: model(
            g["sample"], **common(g), block_controlnet_hidden_states=[g["residual 0"], g["residual 1"]], skip_layers=[1]
        )
    leaves = {key: value.clone().requires_grad_() if key in ("sample", "context", "pooled") else value for key, value in given.items()}
    outputs = {key: call(leaves).sample for key, call in calls.items()}
    cotangents = {key: randn(*value.shape) for key, value in outputs.items()}
    sum((outputs[key] * cotangents[key]).sum() for key in outputs).backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    # Nobody sees what the last block's text tokens would have asked for.
    asked = f"transformer_blocks.{config['num_layers'] - 1}.attn."
    unseen = [f"{asked}{key}" for key in ("add_q_proj.weight", "add_q_proj.bias", "norm_added_q.weight")]
    gradients = {key: value for key, value in gradients.items() if key not in unseen}
    no_faint(name, gradients)
    kept = {key: value for key, value in gradients.items() if value.numel() <= 200}
    tensors |= {f"{name}.{key}": value.detach().clone() for key, value in {**given, **outputs}.items()}
    tensors |= {f"{name}.cotangent {key}": value for key, value in cotangents.items()}
    tensors |= {f"{name}.grad {key}": value for key, value in kept.items()}
    tensors |= {f"{name}.grad {key}": value.grad for key, value in leaves.items() if value.grad is not None}
    print(name, {key: list(value.shape) for key, value in outputs.items()}, len(kept), "of", len(gradients))

whole = published_keys(published)
for name, (kind, config) in published.items():
    whole[name]["config"] = {"_class_name": kind.__name__, **config}
save_networks("transformers2d", tensors, found, whole)
