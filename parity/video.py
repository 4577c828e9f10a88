"""diffusers' networks of films, as fixtures for src/models/latte, cogvideox and wan: outputs, gradients, and key sets."""

import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan, CogVideoXTransformer3DModel, LatteTransformer3DModel, WanTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from networks import SEED, keys_of, no_faint, published_keys, save_networks, set_weights

torch.set_num_threads(1)
latte = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "in_channels": 4, "patch_size": 2, "sample_size": 8}
latte |= {"caption_channels": 10, "cross_attention_dim": 16, "norm_type": "ada_norm_single", "video_length": 3}
latte |= {"attention_bias": True, "activation_fn": "gelu-approximate", "norm_elementwise_affine": False, "norm_eps": 1e-6}
cog = {"num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 4, "out_channels": 4, "time_embed_dim": 12, "text_embed_dim": 10}
cog |= {"num_layers": 2, "sample_width": 6, "sample_height": 4, "sample_frames": 9, "max_text_seq_length": 5}
rope = {"use_rotary_positional_embeddings": True}
wan = {"num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 3, "out_channels": 3, "text_dim": 10, "freq_dim": 8, "ffn_dim": 20}
wan |= {"num_layers": 2, "rope_max_seq_len": 16}
cog_vae = {"block_out_channels": (4, 4, 8), "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 2, "sample_height": 16, "sample_width": 16}
cog_vae |= {"down_block_types": ["CogVideoXDownBlock3D"] * 3, "up_block_types": ["CogVideoXUpBlock3D"] * 3}
wan_vae = {"base_dim": 4, "z_dim": 2, "dim_mult": [1, 2, 2], "num_res_blocks": 1, "latents_mean": [0.1, -0.2], "latents_std": [1.5, 0.7]}
wan_vae |= {"temperal_downsample": [True, True], "scale_factor_spatial": 4}
cases = {
    "latte": (LatteTransformer3DModel, {**latte, "out_channels": 8}, (2, 4, 3, 8, 6)),
    "latte_affine": (
        LatteTransformer3DModel,
        {**latte, "attention_bias": False, "activation_fn": "geglu", "norm_elementwise_affine": True, "norm_eps": 1e-5},
        (1, 4, 3, 4, 8),
    ),
    "cogvideox": (CogVideoXTransformer3DModel, cog, (2, 3, 4, 8, 4)),
    "cogvideox_rotary": (CogVideoXTransformer3DModel, {**cog, **rope, "attention_bias": False, "patch_bias": False}, (1, 3, 4, 8, 6)),
    "cogvideox_image": (
        CogVideoXTransformer3DModel,
        {**cog, **rope, "in_channels": 6, "use_learned_positional_embeddings": True, "flip_sin_to_cos": False, "freq_shift": 1},
        (1, 3, 6, 4, 6),
    ),
    "cogvideox_pairs": (
        CogVideoXTransformer3DModel,
        {**cog, **rope, "patch_size_t": 2, "ofs_embed_dim": 12, "norm_elementwise_affine": False, "activation_fn": "geglu", "out_channels": 2},
        (1, 4, 4, 4, 6),
    ),
    "wan": (WanTransformer3DModel, wan, (2, 3, 3, 4, 6)),
    "wan_pairs": (WanTransformer3DModel, {**wan, "patch_size": (2, 1, 2), "cross_attn_norm": False, "eps": 1e-3, "out_channels": 2}, (1, 3, 4, 3, 4)),
    "wan_image": (WanTransformer3DModel, {**wan, "text_dim": 4, "image_dim": 6, "added_kv_proj_dim": 24}, (1, 3, 1, 4, 4)),
    "cogvideox_vae": (AutoencoderKLCogVideoX, cog_vae, ((1, 4, 5, 2, 3), (1, 3, 9, 8, 12))),
    "cogvideox_vae_even": (
        AutoencoderKLCogVideoX,
        {**cog_vae, "temporal_compression_ratio": 2, "act_fn": "gelu", "norm_eps": 1e-3},
        ((1, 4, 4, 2, 2), (1, 3, 16, 8, 8)),
    ),
    "wan_vae": (AutoencoderKLWan, wan_vae, ((1, 2, 3, 2, 3), (1, 3, 9, 8, 12))),
    "wan_vae_residual": (
        AutoencoderKLWan,
        {**wan_vae, "is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12, "decoder_base_dim": 6, "temperal_downsample": [False, True]},
        ((1, 2, 3, 2, 2), (1, 3, 9, 16, 16)),
    ),
}
five_b = {"num_attention_heads": 48, "num_layers": 42, **rope}
wide = {"block_out_channels": (128, 256, 256, 512)}
published = {
    "Latte-1": (LatteTransformer3DModel, {**latte, "num_attention_heads": 16, "attention_head_dim": 72, "num_layers": 28, "sample_size": 64, "out_channels": 8, "caption_channels": 4096, "cross_attention_dim": 1152, "video_length": 16}),
    "CogVideoX-2b": (CogVideoXTransformer3DModel, {}),
    "CogVideoX-5b": (CogVideoXTransformer3DModel, five_b),
    "CogVideoX-5b-I2V": (CogVideoXTransformer3DModel, {**five_b, "in_channels": 32, "use_learned_positional_embeddings": True}),
    "CogVideoX1.5-5B-I2V": (CogVideoXTransformer3DModel, {**five_b, "in_channels": 32, "ofs_embed_dim": 512, "patch_size_t": 2, "sample_width": 170, "sample_height": 96, "sample_frames": 81, "patch_bias": False}),
    "Wan2.1-T2V-1.3B": (WanTransformer3DModel, {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960}),
    "Wan2.1-I2V-14B": (WanTransformer3DModel, {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}),
    "AutoencoderKLCogVideoX": (AutoencoderKLCogVideoX, wide),
    "AutoencoderKLWan": (AutoencoderKLWan, {}),
    "AutoencoderKLWan-2.2": (AutoencoderKLWan, {"base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48}),
}
tensors, found = {}, {}
generator = torch.Generator().manual_seed(SEED)


def randn(*shape):
    return torch.randn(shape, generator=generator)


def rotary(config, shape):
    _, frames, _, height, width = shape
    p, pt = config.get("patch_size", 2), config.get("patch_size_t")
    grid, base = (height // p, width // p), (config["sample_height"] // p, config["sample_width"] // p)
    if pt is None:
        crop = get_resize_crop_region_for_grid(grid, base[1], base[0])
        return get_3d_rotary_pos_embed(config["attention_head_dim"], crop, grid, frames)
    frames = (frames + pt - 1) // pt
    return get_3d_rotary_pos_embed(config["attention_head_dim"], None, grid, frames, grid_type="slice", max_size=base)


for name, (kind, config, shape) in cases.items():
    model = kind(**config).eval()
    found[name] = {"config": {"_class_name": kind.__name__, **config}, **keys_of(model)}
    set_weights(model)
    calls, leaves = {}, ("sample", "context", "image", "z", "x")
    if "vae" in name:
        given = {"z": randn(*shape[0]) * 0.7, "x": randn(*shape[1]).clamp(-1, 1)}
        calls["decoded"] = lambda g: model.decode(g["z"]).sample
        calls["moments"] = lambda g: model.encode(g["x"]).latent_dist.parameters
    else:
        B = shape[0]
        given = {"sample": randn(*shape), "timestep": torch.tensor([7.0, 432.0])[:B]}
        tokens = 5 if "text_dim" not in config or "image_dim" not in config else 512
        width = config.get("caption_channels") or config.get("text_embed_dim") or config.get("text_dim")
        given["context"] = randn(B, tokens, width)
        if kind is LatteTransformer3DModel:
            call = lambda g, **more: model(g["sample"], timestep=g["timestep"], encoder_hidden_states=g["context"], **more).sample
            calls = {"made": call, "still": lambda g: call(g, enable_temporal_attentions=False)}
        elif kind is CogVideoXTransformer3DModel:
            more = {"image_rotary_emb": rotary(config, shape)} if "use_rotary_positional_embeddings" in config else {}
            if "ofs_embed_dim" in config:
                more["ofs"] = torch.tensor([2.0])
            calls["made"] = lambda g: model(g["sample"], g["context"], g["timestep"], **more).sample
        else:
            if "image_dim" in config:
                given["image"] = randn(B, 3, 6)
            calls["made"] = lambda g: model(g["sample"], g["timestep"], g["context"], g.get("image")).sample
    if name == "latte_affine":
        del calls["still"]
    leaves = {key: value.clone().requires_grad_() if key in leaves else value for key, value in given.items()}
    outputs = {key: call(leaves) for key, call in calls.items()}
    cotangents = {key: randn(*value.shape) for key, value in outputs.items()}
    sum((outputs[key] * cotangents[key]).sum() for key in outputs).backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    if name == "cogvideox":
        # A constant added to every key leaves the softmax alone, unless positions turn it.
        gradients = {key: value for key, value in gradients.items() if not key.endswith("norm_k.bias")}
    if "vae" not in name:
        no_faint(name, gradients)
    # Some of the small ones: an error in any layer reaches those before it.
    small = [item for item in gradients.items() if item[1].numel() <= 100]
    kept = dict(small[:: 5 if "vae" in name else 2])
    tensors |= {f"{name}.{key}": value.detach().clone() for key, value in {**given, **outputs}.items()}
    tensors |= {f"{name}.cotangent {key}": value for key, value in cotangents.items()}
    tensors |= {f"{name}.grad {key}": value for key, value in kept.items()}
    tensors |= {f"{name}.grad {key}": value.grad for key, value in leaves.items() if value.grad is not None}
    inside = (outputs["decoded"].abs() < 1).float().mean() if "decoded" in outputs else 1
    print(name, {key: list(value.shape) for key, value in outputs.items()}, len(kept), "of", len(gradients), float(inside))

whole = published_keys(published)
for name, (kind, config) in published.items():
    whole[name]["config"] = {"_class_name": kind.__name__, **config}
save_networks("video", tensors, found, whole)
