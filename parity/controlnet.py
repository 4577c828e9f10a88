"""diffusers' ControlNetModel and T2IAdapter, as fixtures for src/models/controlnet: residuals, features, and key sets."""

import torch
from diffusers import ControlNetModel, T2IAdapter
from networks import SEED, keys_of, published_keys, save_networks, set_weights, weight_gradients

torch.set_num_threads(1)

xl = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
sd2 = {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
published = {
    "sd-controlnet-canny": (ControlNetModel, {"cross_attention_dim": 768}),
    "controlnet-sd21-canny": (ControlNetModel, sd2),
    "controlnet-canny-sdxl-1.0": (ControlNetModel, xl),
    "t2iadapter_canny_sd15v2": (T2IAdapter, {"in_channels": 1}),
    "t2iadapter_color_sd14v1": (
        T2IAdapter,
        {"adapter_type": "light_adapter", "channels": [320, 640, 1280], "num_res_blocks": 4},
    ),
    "t2i-adapter-canny-sdxl-1.0": (T2IAdapter, {"adapter_type": "full_adapter_xl", "downscale_factor": 16}),
}
two = {
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "conditioning_embedding_out_channels": [4, 6],
}
cases = {
    "control": (ControlNetModel, two),
    "control_xl": (
        ControlNetModel,
        {
            **two,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
            "transformer_layers_per_block": [1, 2],
            "attention_head_dim": [2, 4],
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 6,
            "projection_class_embeddings_input_dim": 46,
            "conditioning_embedding_out_channels": [4, 6, 8],
        },
    ),
    "control_pooled": (
        ControlNetModel,
        {
            **two,
            "in_channels": 5,
            "conditioning_channels": 2,
            "controlnet_conditioning_channel_order": "bgr",
            "global_pool_conditions": True,
            "mid_block_type": "UNetMidBlock2D",
            "num_class_embeds": 6,
        },
    ),
    "full": (T2IAdapter, {"channels": [8, 12, 12], "num_res_blocks": 2, "downscale_factor": 2}),
    "full_xl": (
        T2IAdapter,
        {"adapter_type": "full_adapter_xl", "channels": [8, 10, 12, 12], "num_res_blocks": 1, "downscale_factor": 4},
    ),
    "light": (
        T2IAdapter,
        {"adapter_type": "light_adapter", "channels": [16, 24], "num_res_blocks": 2, "downscale_factor": 2, "in_channels": 1},
    ),
}
all_gradients = ["control", "full"]


def control(model, config, given, **options):
    added = {"text_embeds": given.get("textEmbeds"), "time_ids": given.get("timeIds")}
    down, mid = model(
        given["sample"],
        given["timestep"],
        given["context"],
        given["hint"],
        class_labels=given.get("classLabels"),
        added_cond_kwargs=added,
        return_dict=False,
        **options,
    )
    return {**{f"down.{i}": value for i, value in enumerate(down)}, "mid": mid}


tensors = {}
described = {}
for name, (kind, config) in cases.items():
    model = kind(**config)
    set_weights(model)
    generator = torch.Generator().manual_seed(SEED + 1)
    randn = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    if kind is ControlNetModel:
        halvings = len(config["conditioning_embedding_out_channels"]) - 1
        given = {
            "sample": randn(2, config.get("in_channels", 4), 6, 8),
            "timestep": torch.tensor([981.0, 31.0]),
            "context": randn(2, 5, 12),
            "hint": torch.rand((2, config.get("conditioning_channels", 3), 6 << halvings, 8 << halvings), generator=generator),
        }
        if "num_class_embeds" in config:
            given["classLabels"] = torch.tensor([4, 1])
        if "addition_embed_type" in config:
            given["textEmbeds"] = randn(2, 10)
            given["timeIds"] = torch.tensor([[1024, 768, 0, 16, 512, 640], [512, 512, 64, 0, 1024, 1024]]).float()
        outputs = control(model, config, given)
        with torch.no_grad():
            guessed = control(model, config, given, conditioning_scale=0.7, guess_mode=True)
        tensors |= {f"{name}.guessed {key}": value for key, value in guessed.items()}
    else:
        given = {"image": torch.rand((2, config.get("in_channels", 3), 16, 24), generator=generator)}
        outputs = {f"feature.{i}": value for i, value in enumerate(model(given["image"]))}
    cotangents = {key: randn(*value.shape) for key, value in outputs.items()}
    of_weights = weight_gradients(name, model, outputs, cotangents)
    tensors |= {f"{name}.{key}": value.detach() for key, value in (given | outputs).items()}
    if name in all_gradients:
        tensors |= {f"{name}.cotangent {key}": value for key, value in cotangents.items()}
        tensors |= {f"{name}.grad {key}": value for key, value in of_weights.items()}
    described[name] = {"config": {"_class_name": kind.__name__, **config}, **keys_of(model)}
    print(name, described[name]["parameters"], [round(value.square().mean().sqrt().item(), 3) for value in outputs.values()])

keys = published_keys(published)
checkpoints = {
    network: {"config": {"_class_name": kind.__name__, **config}, **keys[network]} for network, (kind, config) in published.items()
}
save_networks("controlnet", tensors, described, checkpoints)
