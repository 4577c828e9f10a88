"""diffusers' UNet2DModel, as fixtures for src/models/unet: outputs, gradients of every parameter, and key sets."""

import torch
from diffusers import UNet2DModel
from networks import SEED, keys_of, published_keys, save_networks, set_weights, weight_gradients

torch.set_num_threads(1)

# Published networks, by the config.json of their repositories.
celebahq = ["DownBlock2D"] * 4 + ["AttnDownBlock2D", "DownBlock2D"]
ncsnpp = ["SkipDownBlock2D"] * 4 + ["AttnSkipDownBlock2D"] + ["SkipDownBlock2D"] * 2
ddpm = {
    "act_fn": "silu",
    "attention_head_dim": None,
    "center_input_sample": False,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "out_channels": 3,
    "time_embedding_type": "positional",
}


def mirrored(types):
    return [name.replace("Down", "Up") for name in reversed(types)]


def network(base, down, widths, **fields):
    return {**base, "down_block_types": down, "up_block_types": mirrored(down), "block_out_channels": widths, **fields}


sde = {
    **ddpm,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1.41421356237,
    "norm_num_groups": None,
    "time_embedding_type": "fourier",
}
cifar = ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"]
published = {
    "google/ddpm-cifar10-32": network(ddpm, cifar, [128, 256, 256, 256], sample_size=32),
    "google/ddpm-celebahq-256": network(ddpm, celebahq, [128, 128, 256, 256, 512, 512], sample_size=256),
    "google/ncsnpp-celebahq-256": network(sde, ncsnpp, [128, 128, 256, 256, 256, 256, 256], sample_size=256),
}

# Small networks that together take every branch.
small = {"attention_head_dim": None, "layers_per_block": 1}
cases = {
    "ddpm": network({**ddpm, **small, "norm_num_groups": 4}, ["DownBlock2D", "AttnDownBlock2D"], [16, 32], sample_size=8),
    "celebahq": network(
        {**ddpm, "norm_num_groups": 4, "attention_head_dim": 8},
        ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
        [8, 8, 16, 16],
        sample_size=16,
    ),
    "ncsnpp": network({**sde, **small}, ["SkipDownBlock2D", "AttnSkipDownBlock2D"], [32, 32], sample_size=8),
    "resnet": network(
        {**ddpm, **small, "norm_num_groups": 2, "downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0},
        ["AttnDownBlock2D", "ResnetDownsampleBlock2D", "DownBlock2D"],
        [8, 12, 16],
        sample_size=[8, 12],
        attention_head_dim=4,
        downsample_type="resnet",
        upsample_type="resnet",
        resnet_time_scale_shift="scale_shift",
        center_input_sample=True,
        in_channels=4,
        out_channels=6,
        time_embedding_dim=20,
        num_class_embeds=5,
        act_fn="mish",
    ),
    "learned": network(
        {**ddpm, **small, "norm_num_groups": 2},
        ["DownBlock2D", "DownBlock2D"],
        [8, 9 * 2],
        sample_size=8,
        time_embedding_type="learned",
        num_train_timesteps=40,
        class_embed_type="identity",
        attn_norm_num_groups=3,
        resnet_time_scale_shift="scale_shift",
        attention_head_dim=5,
        act_fn="gelu",
    ),
    "bare": network(
        {**ddpm, **small, "norm_num_groups": 2},
        ["DownBlock2D"],
        [6],
        sample_size=8,
        class_embed_type="timestep",
        add_attention=False,
        act_fn="relu",
        time_embedding_dim=7,
    ),
}
cases["ddpm"]["down_block_types"][0] = "UNetResDownBlock2D"


tensors = {}
described = {}
for name, config in cases.items():
    model = UNet2DModel(**config)
    set_weights(model)
    generator = torch.Generator().manual_seed(SEED + 1)
    size = config["sample_size"]
    shape = [2, config["in_channels"], *([size, size] if isinstance(size, int) else size)]
    sample = torch.randn(shape, generator=generator)
    timestep = torch.tensor([0.5, 30.0] if config["time_embedding_type"] == "fourier" else [3, 31])
    labels = None
    if config.get("class_embed_type") == "identity":
        labels = torch.randn((2, 4 * config["block_out_channels"][0]), generator=generator)
    elif config.get("class_embed_type") == "timestep":
        labels = torch.tensor([700.0, 2.0])
    elif config.get("num_class_embeds"):
        labels = torch.tensor([4, 1])
    sample.requires_grad_()
    output = model(sample, timestep, labels).sample
    cotangent = torch.randn(output.shape, generator=generator)
    gradients = weight_gradients(name, model, {"output": output}, {"output": cotangent})
    tensors[f"{name}.sample"] = sample.detach()
    tensors[f"{name}.timestep"] = timestep.float()
    if labels is not None:
        tensors[f"{name}.labels"] = labels
    tensors[f"{name}.cotangent"] = cotangent
    tensors[f"{name}.output"] = output.detach()
    tensors[f"{name}.grad sample"] = sample.grad
    tensors |= {f"{name}.grad {key}": g for key, g in gradients.items()}
    described[name] = {"config": config, **keys_of(model)}
    print(name, described[name]["parameters"], "output rms", output.square().mean().sqrt().item())

keys = published_keys({network: (UNet2DModel, config) for network, config in published.items()})
checkpoints = {network: {"config": config, **keys[network]} for network, config in published.items()}
save_networks("unet", tensors, described, checkpoints)
