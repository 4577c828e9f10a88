"""ControlNets and T2I-Adapters as files of their own, with the original programs' keys, as fixtures for src/checkpoints/component-files.ts.

A ControlNet's original keys are made from a small network of diffusers'; that diffusers' own conversion gives back exactly the network's
keys proves them. A T2I-Adapter's come from a network that is built here as the original program builds it (all residual blocks in one
list), whose features equal those of diffusers' class with the renamed weights.
"""

import json
import re
from pathlib import Path

import diffusers
import torch
from diffusers import ControlNetModel, T2IAdapter
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from single_file import unet_original
from torch import nn

SEED = 3
torch.manual_seed(SEED)
here = Path(__file__).parent / "fixtures"


def controlnet_original(model):
    half = unet_original(model)
    out = {}
    for key, shape in half.items():
        name = key.removeprefix("model.diffusion_model.")
        if found := re.match(r"controlnet_down_blocks\.(\d+)\.(\w+)", name):
            name = f"zero_convs.{found[1]}.0.{found[2]}"
        elif found := re.match(r"controlnet_mid_block\.(\w+)", name):
            name = f"middle_block_out.0.{found[1]}"
        elif found := re.match(r"controlnet_cond_embedding\.(conv_in|conv_out|blocks\.(\d+))\.(\w+)", name):
            at = 0 if found[1] == "conv_in" else 2 * len(model.controlnet_cond_embedding.blocks) + 2
            name = f"input_hint_block.{2 * int(found[2]) + 2 if found[2] else at}.{found[3]}"
        out[name] = shape
    return out


def controlnet(**options):
    model = ControlNetModel(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=2,
        norm_num_groups=4,
        conditioning_embedding_out_channels=(4, 6, 8, 10),
        **options,
    )
    original = controlnet_original(model)
    weights = {f"control_model.{key}": torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape) + i for i, (key, shape) in enumerate(original.items())}
    converted = convert_controlnet_checkpoint(dict(weights), {"layers_per_block": 2})
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in model.state_dict().items()}
    return {
        "original": {key: list(value.shape) for key, value in weights.items()},
        # The number that each tensor begins with tells which one it was.
        "converted": {key: [list(value.shape), value.flatten()[0].item()] for key, value in converted.items()},
        "config": {k: v for k, v in model.config.items() if not k.startswith("_")},
    }


class Residual(nn.Module):
    def __init__(self, inputs, outputs, down, kernel):
        super().__init__()
        self.down = down
        self.in_conv = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None
        self.block1 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.block2 = nn.Conv2d(outputs, outputs, kernel, 1, kernel // 2)

    def forward(self, x):
        x = nn.functional.avg_pool2d(x, 2) if self.down else x
        x = self.in_conv(x) if self.in_conv else x
        return x + self.block2(torch.relu(self.block1(x)))


class Full(nn.Module):
    def __init__(self, channels, factor, halved):
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(factor)
        self.body = nn.ModuleList(
            Residual(channels[max(i - 1, 0)] if j == 0 else c, c, i in halved and j == 0, 1) for i, c in enumerate(channels) for j in range(2)
        )
        self.conv_in = nn.Conv2d(3 * factor**2, channels[0], 3, 1, 1)

    def forward(self, x):
        x = self.conv_in(self.unshuffle(x))
        out = []
        for i, block in enumerate(self.body):
            x = block(x)
            if i % 2:
                out.append(x)
        return out


def adapter(kind, factor, channels, halved):
    original = Full(channels, factor, halved)
    model = T2IAdapter(in_channels=3, channels=channels, num_res_blocks=2, downscale_factor=factor, adapter_type=kind)
    state = {}
    for key, value in original.state_dict().items():
        if found := re.match(r"body\.(\d+)\.(.+)", key):
            level, block = divmod(int(found[1]), 2)
            key = f"body.{level}.{found[2]}" if found[2].startswith("in_conv") else f"body.{level}.resnets.{block}.{found[2]}"
        state[f"adapter.{key}"] = value
    model.load_state_dict(state)
    x = torch.rand(1, 3, 64, 64)
    for a, b in zip(original(x), model(x), strict=True):
        assert (a - b).abs().max() < 1e-6
    shapes = {key: list(value.shape) for key, value in original.state_dict().items()}
    return {"original": shapes, "keys": {k: list(v.shape) for k, v in state.items()}, "config": {k: v for k, v in model.config.items() if not k.startswith("_")}}


cases = {
    "controlnet-sd1": controlnet(cross_attention_dim=768),
    "controlnet-sd2": controlnet(cross_attention_dim=1024, use_linear_projection=True, attention_head_dim=(1, 1)),
    "adapter": adapter("full_adapter", 8, [4, 6, 8, 8], (1, 2, 3)),
    "adapter-xl": adapter("full_adapter_xl", 16, [4, 6, 8, 8], (2,)),
}
versions = {"diffusers": diffusers.__version__, "torch": torch.__version__, "seed": SEED, "script": "parity/component_files.py"}
(here / "component_files.json").write_text(json.dumps({"provenance": versions, "cases": cases}) + "\n")
