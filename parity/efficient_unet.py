"""Imagen's Efficient U-Net put together of diffusers' layers, as fixtures for src/models/efficient-unet: outputs, gradients, key sets.

Nothing published is called by these keys. The layers are diffusers', the order that of Saharia et al. 2022, appendix B.1.
"""

import math

import torch
from diffusers.models.attention_processor import Attention, AttnAddedKVProcessor
from diffusers.models.embeddings import TextTimeEmbedding, TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from networks import SEED, keys_of, no_faint, save_networks, set_weights, weight_gradients
from torch import nn

torch.set_num_threads(1)


def resnet(inputs, outputs, config, width):
    return ResnetBlock2D(
        in_channels=inputs,
        out_channels=outputs,
        temb_channels=width,
        groups=config["norm_num_groups"],
        eps=1e-5,
        non_linearity=config["act_fn"],
        time_embedding_norm="scale_shift",
    )


def attention(channels, kind, config):
    if kind == "none":
        return None
    head = config["attention_head_dim"]
    layer = Attention(
        query_dim=channels,
        cross_attention_dim=channels,
        heads=channels // head,
        dim_head=head,
        added_kv_proj_dim=config["encoder_hid_dim"],
        norm_num_groups=config["norm_num_groups"],
        bias=True,
        upcast_softmax=True,
        only_cross_attention=kind == "text",
        cross_attention_norm="layer_norm",
        processor=AttnAddedKVProcessor(),
    )
    # diffusers gives this norm the width of the pixels, which fits where both are equal.
    layer.norm_cross = nn.LayerNorm(config["encoder_hid_dim"])
    return layer


class Level(nn.Module):
    def __init__(self, inputs, width, count, kind, config, time):
        super().__init__()
        self.resnets = nn.ModuleList([resnet(inputs if i == 0 else width, width, config, time) for i in range(count)])
        self.attention = attention(width, kind, config)

    def forward(self, x, time, context):
        for block in self.resnets:
            # diffusers' block applies the activation to the time itself.
            x = block(x, time)
        return x if self.attention is None else self.attention(x, encoder_hidden_states=context)


class EfficientUNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths, layers, kinds = config["block_out_channels"], config["layers_per_block"], config["attention"]
        first, time, deepest = widths[0], 4 * widths[0], len(widths) - 1
        self.encode = Timesteps(first, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(first, time)
        self.level_embedding = TimestepEmbedding(first, time) if config["class_embed_type"] else None
        self.text_embedding = TextTimeEmbedding(config["encoder_hid_dim"], time, config["addition_embed_type_num_heads"])
        self.conv_in = nn.Conv2d(config["in_channels"], first, 3, padding=1)
        self.down_blocks = nn.ModuleList([Level(w, w, layers[i], kinds[i], config, time) for i, w in enumerate(widths)])
        for i, block in enumerate(self.down_blocks):
            if i > 0:
                block.downsample = nn.Conv2d(widths[i - 1], widths[i], 3, stride=2, padding=1)
        bottom = widths[-1]
        self.mid_block = nn.ModuleDict({"0": nn.ModuleDict({"resnets": nn.ModuleList([resnet(bottom, bottom, config, time)])}), "1": nn.ModuleDict({"resnets": nn.ModuleList([resnet(bottom, bottom, config, time)])})})
        if kinds[-1] != "none":
            self.mid_block["attention"] = attention(bottom, kinds[-1], config)
        self.up_blocks = nn.ModuleList([Level(2 * widths[i], widths[i], layers[i], kinds[i], config, time) for i in range(deepest, -1, -1)])
        for i, block in enumerate(self.up_blocks):
            if i < deepest:
                block.upsample = nn.Conv2d(widths[deepest - i], widths[deepest - i - 1], 3, padding=1)
        self.conv_norm_out = nn.GroupNorm(config["norm_num_groups"], first, eps=1e-5)
        self.conv_out = nn.Conv2d(first, config["out_channels"], 3, padding=1)
        self.act = nn.GELU() if config["act_fn"] == "gelu" else nn.SiLU()

    def forward(self, sample, timestep, context, level=None):
        time = self.time_embedding(self.encode(timestep)) + self.text_embedding(context)
        if level is not None:
            time = time + self.level_embedding(self.encode(level))
        x, skips = self.conv_in(sample), []
        for i, block in enumerate(self.down_blocks):
            x = block(block.downsample(x) if i > 0 else x, time, context)
            skips.append(x)
        x = self.mid_block["0"]["resnets"][0](x, time)
        if "attention" in self.mid_block:
            x = self.mid_block["attention"](x, encoder_hidden_states=context)
        x = self.mid_block["1"]["resnets"][0](x, time)
        for i, block in enumerate(self.up_blocks):
            x = block(torch.cat([x, skips.pop() / math.sqrt(2)], 1), time, context)
            if hasattr(block, "upsample"):
                x = block.upsample(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv_out(self.act(self.conv_norm_out(x)))


small = {
    "in_channels": 6,
    "out_channels": 3,
    "block_out_channels": [8, 16],
    "layers_per_block": [1, 2],
    "attention": ["none", "text"],
    "attention_head_dim": 4,
    "norm_num_groups": 4,
    "encoder_hid_dim": 12,
    "addition_embed_type_num_heads": 3,
    "class_embed_type": "timestep",
    "act_fn": "silu",
}
cases = {
    "super_resolution": small,
    "base": {**small, "in_channels": 3, "class_embed_type": None, "attention": ["text", "text_and_pixels"], "act_fn": "gelu", "layers_per_block": [2, 1]},
}


def main():
    tensors, described = {}, {}
    for name, config in cases.items():
        model = EfficientUNet(config)
        set_weights(model)
        generator = torch.Generator().manual_seed(SEED + 1)
        randn = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
        given = {"sample": randn(2, config["in_channels"], 8, 12), "timestep": torch.tensor([981.0, 31.0]), "context": randn(2, 5, 12)}
        if config["class_embed_type"]:
            given["classLabels"] = torch.tensor([250.0, 7.0])
        leaves = {key: given[key].requires_grad_() for key in ("sample", "context")}
        output = model(given["sample"], given["timestep"], given["context"], given.get("classLabels"))
        cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(SEED + 2))
        of_weights = weight_gradients(name, model, {"output": output}, {"output": cotangent})
        of_inputs = {key: value.grad for key, value in leaves.items()}
        no_faint(name, of_inputs)
        tensors |= {f"{name}.{key}": value.detach() for key, value in given.items()}
        tensors |= {f"{name}.cotangent output": cotangent, f"{name}.output": output.detach()}
        kept = of_inputs | ({key: of_weights[key] for key in of_weights if ("mid_block" in key or "embedding" in key) and not key.endswith("k_proj.bias")} if name == "base" else {})
        tensors |= {f"{name}.grad {key}": value for key, value in kept.items()}
        described[name] = {"config": config, **keys_of(model)}
        print(name, described[name]["parameters"], output.square().mean().sqrt().item())
    save_networks("efficient_unet", tensors, described, {})


if __name__ == "__main__":
    main()
