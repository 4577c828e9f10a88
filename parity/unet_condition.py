"""diffusers' UNet2DConditionModel, as fixtures for src/models/unet-condition: outputs, gradients, and key sets."""

import torch
from diffusers import UNet2DConditionModel
from networks import SEED, keys_of, no_faint, published_keys, save_networks, set_weights, weight_gradients

torch.set_num_threads(1)

# Published networks, by the config.json of their repositories; those called like one have its shape from memory.
sd1_down = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
sd1_up = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
sd1 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
sd2 = {"sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
xl = {
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
deepfloyd = {
    "out_channels": 6,
    "layers_per_block": 3,
    "norm_num_groups": 32,
    "cross_attention_dim": 4096 // 2,
    "encoder_hid_dim": 4096,
    "encoder_hid_dim_type": "text_proj",
    "addition_embed_type": "text",
    "act_fn": "gelu",
    "cross_attention_norm": "group_norm",
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "mid_block_scale_factor": 1.414213562373095,
    "resnet_time_scale_shift": "scale_shift",
}
published = {
    "stable-diffusion-v1-5": sd1,
    "stable-diffusion-inpainting": {**sd1, "in_channels": 9},
    "instruct-pix2pix": {**sd1, "in_channels": 8},
    "LCM_Dreamshaper_v7": {**sd1, "time_cond_proj_dim": 256},
    "stable-diffusion-2-1": sd2,
    "stable-diffusion-2-depth": {**sd2, "in_channels": 5},
    "stable-diffusion-x4-upscaler": {
        **sd2,
        "sample_size": 128,
        "attention_head_dim": 8,
        "in_channels": 7,
        "num_class_embeds": 1000,
        "block_out_channels": [256, 512, 512, 1024],
        "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 3,
        "up_block_types": ["CrossAttnUpBlock2D"] * 3 + ["UpBlock2D"],
        "only_cross_attention": [True, True, True, False],
    },
    "stable-diffusion-xl-base-1.0": xl,
    "stable-diffusion-xl-refiner-1.0": {
        **xl,
        "block_out_channels": [384, 768, 1536, 1536],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": 4,
        "attention_head_dim": [6, 12, 24, 24],
        "cross_attention_dim": 1280,
        "projection_class_embeddings_input_dim": 2560,
    },
    "deepfloyd-if-i-like": {
        **deepfloyd,
        "sample_size": 64,
        "in_channels": 3,
        "block_out_channels": [704, 1408, 2112, 2816],
        "attention_head_dim": 64,
        "addition_embed_type_num_heads": 64,
        "down_block_types": ["ResnetDownsampleBlock2D"] + ["SimpleCrossAttnDownBlock2D"] * 3,
        "up_block_types": ["SimpleCrossAttnUpBlock2D"] * 3 + ["ResnetUpsampleBlock2D"],
    },
    "deepfloyd-if-ii-like": {
        **deepfloyd,
        "sample_size": 256,
        "in_channels": 6,
        "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": 64,
        "class_embed_type": "timestep",
        "resnet_skip_time_act": True,
        "resnet_out_scale_factor": 1.414213562373095,
        "only_cross_attention": [True, True, True, False],
        "down_block_types": ["ResnetDownsampleBlock2D"] * 2 + ["SimpleCrossAttnDownBlock2D"] * 2,
        "up_block_types": ["SimpleCrossAttnUpBlock2D"] * 2 + ["ResnetUpsampleBlock2D"] * 2,
    },
    "x2-latent-upscaler-like": {
        "in_channels": 8,
        "out_channels": 5,
        "act_fn": "gelu",
        "attention_head_dim": 64,
        "block_out_channels": [384, 384, 768, 768],
        "conv_in_kernel": 1,
        "conv_out_kernel": 1,
        "cross_attention_dim": 768,
        "down_block_types": ["KDownBlock2D"] + ["KCrossAttnDownBlock2D"] * 3,
        "up_block_types": ["KCrossAttnUpBlock2D"] * 3 + ["KUpBlock2D"],
        "layers_per_block": 4,
        "mid_block_type": None,
        "norm_num_groups": None,
        "resnet_time_scale_shift": "scale_shift",
        "time_cond_proj_dim": 896,
        "time_embedding_type": "fourier",
        "timestep_post_act": "gelu",
    },
}

# Small networks that together take every branch.
two = {
    "sample_size": 8,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "attention_head_dim": 4,
}
all_cross = {"down_block_types": ["CrossAttnDownBlock2D"] * 2, "up_block_types": ["CrossAttnUpBlock2D"] * 2}
simple = {
    "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
}
k = {
    "sample_size": 8,
    "in_channels": 8,
    "out_channels": 5,
    "act_fn": "gelu",
    "attention_head_dim": 16,
    "conv_in_kernel": 1,
    "conv_out_kernel": 1,
    "cross_attention_dim": 12,
    "layers_per_block": 2,
    "mid_block_type": None,
    "norm_num_groups": None,
    "resnet_time_scale_shift": "scale_shift",
    "time_cond_proj_dim": 10,
    "time_embedding_type": "fourier",
    "timestep_post_act": "gelu",
}
text_time = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 6,
    "projection_class_embeddings_input_dim": 46,
}
cases = {
    "sd1": two,
    "sd2": {**two, **all_cross, "use_linear_projection": True, "attention_head_dim": [2, 4], "layers_per_block": 2},
    "xl": {
        **two,
        **text_time,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2],
        "attention_head_dim": [2, 4],
        "use_linear_projection": True,
    },
    "inpaint": {**two, "in_channels": 9},
    "upscaler": {
        **two,
        **all_cross,
        "in_channels": 7,
        "num_class_embeds": 40,
        "only_cross_attention": [True, False],
        "use_linear_projection": True,
    },
    "lcm": {**two, "time_cond_proj_dim": 10, "norm_eps": 1e-6},
    # As DeepFloyd IF: text attended to together with the pixels, and pooled into the time.
    "simple": {
        **two,
        **simple,
        "in_channels": 6,
        "out_channels": 5,
        "block_out_channels": [32, 64],
        "cross_attention_dim": 64,
        "encoder_hid_dim": 20,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 4,
        "class_embed_type": "timestep",
        "act_fn": "gelu",
        "attention_head_dim": [8, 16],
        "cross_attention_norm": "group_norm",
        "resnet_time_scale_shift": "scale_shift",
        "resnet_out_scale_factor": 1.5,
        "mid_block_scale_factor": 1.41421356237,
    },
    # As Kandinsky 2.2 and 2.1: a picture's embedding in place of text, or beside it.
    "image": {
        **two,
        **simple,
        "encoder_hid_dim": 14,
        "encoder_hid_dim_type": "image_proj",
        "addition_embed_type": "image",
        "only_cross_attention": True,
        "resnet_skip_time_act": True,
    },
    "text_image": {
        **two,
        "layers_per_block": [1, 2],
        "encoder_hid_dim": 9,
        "encoder_hid_dim_type": "text_image_proj",
        "addition_embed_type": "text_image",
        "transformer_layers_per_block": [[2], [1, 2]],
        "reverse_transformer_layers_per_block": [[1, 2, 1], [2, 1]],
        "down_block_types": ["AttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "AttnUpBlock2D"],
        "attention_head_dim": [4, 8],
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 7,
    },
    # A size that does not halve twice, tokens that are not seen, and what else published networks do not use together.
    "odd": {
        **two,
        "sample_size": [7, 9],
        "block_out_channels": [8, 8, 16],
        "down_block_types": ["UNetResCrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
        "mid_block_type": "UNetMidBlock2D",
        "up_block_types": ["UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"],
        "center_input_sample": True,
        "downsample_padding": 0,
        "time_embedding_type": "fourier",
        "flip_sin_to_cos": False,
        "time_embedding_act_fn": "silu",
        "timestep_post_act": "mish",
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 5,
        "class_embeddings_concat": True,
        "conv_in_kernel": 1,
        "conv_out_kernel": 5,
    },
    # As DeepFloyd IF's second stage.
    "super_resolution": {
        **two,
        **simple,
        "in_channels": 6,
        "out_channels": 6,
        "cross_attention_dim": 64,
        "encoder_hid_dim": 12,
        "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2,
        "class_embed_type": "timestep",
        "act_fn": "gelu",
        "attention_head_dim": 8,
        "cross_attention_norm": "group_norm",
        "only_cross_attention": [True, False],
        "resnet_time_scale_shift": "scale_shift",
        "resnet_skip_time_act": True,
        "resnet_out_scale_factor": 1.41421356237,
    },
    # As Stability's latent upscaler: the deepest block of attention leaves no skips, the one above narrows.
    "k": {
        **k,
        "block_out_channels": [32, 64, 64],
        "down_block_types": ["KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D"],
        "up_block_types": ["KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"],
    },
    "k_plain": {
        **k,
        "block_out_channels": [32, 48],
        "layers_per_block": 1,
        "time_embedding_type": "positional",
        "down_block_types": ["KCrossAttnDownBlock2D", "KDownBlock2D"],
        "up_block_types": ["KUpBlock2D", "KCrossAttnUpBlock2D"],
    },
    "control": {**two, "layers_per_block": 2},
    "adapter": two,
    "adapter_xl": {**two, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"]},
}
# The whole tensors of every gradient would be large: these have theirs kept, the others only those of their inputs.
all_gradients = ["sd1", "xl"]


def inputs_of(name, config):
    """What the network is called with, by the names that the tests use."""
    generator = torch.Generator().manual_seed(SEED + 1)
    randn = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    size = config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    given = {
        "sample": randn(2, config.get("in_channels", 4), height, width),
        "timestep": torch.tensor([0.5, 3.0] if config.get("time_embedding_type") == "fourier" else [981.0, 31.0]),
        "context": randn(2, 5, config.get("encoder_hid_dim") or config["cross_attention_dim"]),
    }
    kind = config.get("class_embed_type")
    if config.get("num_class_embeds"):
        given["classLabels"] = torch.tensor([20, 3])
    elif kind == "timestep":
        given["classLabels"] = torch.tensor([250.0, 7.0])
    elif kind:
        given["classLabels"] = randn(2, config["projection_class_embeddings_input_dim"])
    if config.get("time_cond_proj_dim"):
        given["timestepCondition"] = randn(2, config["time_cond_proj_dim"])
    addition = config.get("addition_embed_type")
    if addition == "text_time":
        given["textEmbeds"] = randn(2, 10)
        given["timeIds"] = torch.tensor([[1024, 768, 0, 16, 512, 640], [512, 512, 64, 0, 1024, 1024]]).float()
    if addition == "text_image":
        given["textEmbeds"] = randn(2, config["cross_attention_dim"])
    if addition in ("image", "text_image"):
        given["imageEmbeds"] = randn(2, config["encoder_hid_dim"] if addition == "image" else config["cross_attention_dim"])
    if name in ("odd", "simple"):
        given["contextMask"] = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).float()
    half = (height // 2, width // 2)
    if name == "control":
        for i, (channels, side) in enumerate([(8, (8, 8))] * 3 + [(8, half)] + [(16, half)] * 2):
            given[f"downResiduals.{i}"] = randn(2, channels, *side)
        given["midResidual"] = randn(2, 16, *half)
    if name == "adapter":
        given["adapterFeatures.0"] = randn(2, 8, height, width)
        given["adapterFeatures.1"] = randn(2, 16, *half)
    if name == "adapter_xl":
        given["adapterFeatures.0"] = randn(2, 8, *half)
        given["adapterFeatures.1"] = randn(2, 16, *half)
        given["adapterFeatures.2"] = randn(2, 16, *half)
    return given


def run(model, given):
    listed = lambda name: [value for key, value in given.items() if key.startswith(f"{name}.")]  # noqa: E731
    added = {"text_embeds": "textEmbeds", "time_ids": "timeIds", "image_embeds": "imageEmbeds"}
    return model(
        given["sample"],
        given["timestep"],
        given["context"],
        class_labels=given.get("classLabels"),
        timestep_cond=given.get("timestepCondition"),
        added_cond_kwargs={theirs: given[ours] for theirs, ours in added.items() if ours in given},
        encoder_attention_mask=given.get("contextMask"),
        down_block_additional_residuals=listed("downResiduals") or None,
        mid_block_additional_residual=given.get("midResidual"),
        down_intrablock_additional_residuals=listed("adapterFeatures") or None,
    ).sample


tensors = {}
described = {}
for name, config in cases.items():
    model = UNet2DConditionModel(**config)
    set_weights(model)
    given = inputs_of(name, config)
    still = ("timestep", "contextMask", "timeIds")
    leaves = {key: value for key, value in given.items() if value.is_floating_point() and key not in still}
    # With image_proj the text is not looked at.
    leaves = {key: value for key, value in leaves.items() if not (name == "image" and key == "context")}
    if config.get("class_embed_type") == "timestep":
        del leaves["classLabels"]
    for value in leaves.values():
        value.requires_grad_()
    output = run(model, given)
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(SEED + 2))
    of_weights = weight_gradients(name, model, {"output": output}, {"output": cotangent})
    of_inputs = {key: value.grad for key, value in leaves.items()}
    no_faint(name, of_inputs)
    with torch.no_grad():
        later = run(model, {**given, "timestep": given["timestep"] + torch.tensor([-300.0, 300.0])})
        moved = ((later - output).abs().max() / output.abs().max()).item()
        assert moved > 0.01, f"{name}: the time moves the output by {moved}"
    tensors |= {f"{name}.{key}": value.detach() for key, value in given.items()}
    tensors |= {f"{name}.cotangent output": cotangent, f"{name}.output": output.detach()}
    kept = of_inputs | of_weights if name in all_gradients else of_inputs
    tensors |= {f"{name}.grad {key}": value for key, value in kept.items()}
    described[name] = {"config": config, **keys_of(model)}
    print(name, described[name]["parameters"], "output rms", output.square().mean().sqrt().item())

defaults = {"down_block_types": sd1_down, "up_block_types": sd1_up}
published = {network: {**defaults, **config} for network, config in published.items()}
keys = published_keys({network: (UNet2DConditionModel, config) for network, config in published.items()})
checkpoints = {network: {"config": config, **keys[network]} for network, config in published.items()}
save_networks("unet_condition", tensors, described, checkpoints)
