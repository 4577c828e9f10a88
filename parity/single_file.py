"""Single-file originals of Stable Diffusion by diffusers' own conversion, as fixtures for src/checkpoints/single-file.ts.

An original's keys are made from a small network of diffusers; that diffusers' conversion of them gives back exactly the network's
keys and shapes proves them right. Every element has a value of its own: what becomes of it is told by a tensor's first, second
and last element.
"""

import json
import re
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as reference
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

here = Path(__file__).parent / "fixtures"
RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0"}
RESNET |= {"conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0"}
ENDS |= {"conv_norm_out": "out.0", "conv_out": "out.2", "class_embedding": "label_emb"}
ENDS |= {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn": "attn"}


def renamed(key, table):
    for ours, original in table.items():
        if key == ours or key.startswith(ours + "."):
            return original + key[len(ours) :]
    return key


def unet_original(model):
    layers = model.config.layers_per_block
    out = {}
    for key, value in model.state_dict().items():
        name = renamed(key, ENDS)
        if found := re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", key):
            side, block, part, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
            first = block * (layers + 1) + (side == "down")
            head = "input_blocks" if side == "down" else "output_blocks"
            attended = any(k.startswith(f"up_blocks.{block}.attentions") for k in model.state_dict())
            if part == "downsamplers":
                name = f"{head}.{first + layers}.0.op.{rest.removeprefix('conv.')}"
            elif part == "upsamplers":
                name = f"{head}.{first + layers}.{2 if attended else 1}.{rest}"
            else:
                name = f"{head}.{first + layer}.{int(part == 'attentions')}.{renamed(rest, RESNET) if part == 'resnets' else rest}"
        elif found := re.match(r"mid_block\.(\w+)\.(\d+)\.(.+)", key):
            place = 1 if found[1] == "attentions" else 2 * int(found[2])
            name = f"middle_block.{place}.{renamed(found[3], RESNET) if found[1] == 'resnets' else found[3]}"
        out["model.diffusion_model." + name] = list(value.shape)
    return out


def vae_original(model):
    levels = len(model.config.block_out_channels)
    out = {}
    for key, value in model.state_dict().items():
        shape = list(value.shape)
        name = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        if found := re.match(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|\w+samplers)\.(\d+)\.(.+)", name):
            level = levels - 1 - int(found[3]) if found[2] == "up" else int(found[3])
            part = f"block.{found[5]}" if found[4] == "resnets" else f"{found[2]}sample"
            name = f"{found[1]}.{found[2]}.{level}.{part}.{found[6]}"
        elif found := re.match(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)", name):
            name = f"{found[1]}.mid.attn_1.{renamed(found[2], ATTENTION)}"
            shape = shape if len(shape) == 1 else [*shape, 1, 1]
        else:
            name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        out["first_stage_model." + name] = shape
    return out


def open_original(model, prefix):
    out = {}
    for key, value in model.state_dict().items():
        shape = list(value.shape)
        name = key.removeprefix("text_model.")
        if found := re.match(r"encoder\.layers\.(\d+)\.(.+)", name):
            name = f"transformer.resblocks.{found[1]}.{renamed(found[2], OPEN)}"
            if re.search(r"attn\.[kv]_proj", name):
                continue
            if ".q_proj." in name:
                name = name.replace(".q_proj.", ".in_proj_")
                shape = [3 * shape[0], *shape[1:]]
        table = {"embeddings.position_embedding.weight": "positional_embedding", "embeddings.token_embedding": "token_embedding"}
        table |= {"final_layer_norm": "ln_final", "text_projection.weight": "text_projection"}
        name = renamed(name, table)
        out[prefix + name] = shape[::-1] if name == "text_projection" else shape
    return {**out, prefix + "logit_scale": []}


def unet(**fields):
    base = {"block_out_channels": (4, 8, 8), "norm_num_groups": 2, "attention_head_dim": 2, "cross_attention_dim": 6}
    base |= {"down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")}
    base |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), "sample_size": 8}
    return UNet2DConditionModel(**{**base, **fields})


def vae(levels=3):
    widths = (4, 4, 8, 8)[:levels]
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=2,
        norm_num_groups=2,
        latent_channels=4,
    )


def text(width, layers, projection):
    config = {"vocab_size": 9, "max_position_embeddings": 5, "num_attention_heads": 2, "intermediate_size": 3 * width}
    return CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=width, num_hidden_layers=layers, projection_dim=projection, **config))


xl = {"use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 4}
attended = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")}
attended |= {"up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}
upscaler = {**attended, "in_channels": 7, "num_class_embeds": 10, "use_linear_projection": True, "only_cross_attention": [True, True, False]}
deep = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
refiner = {**xl, "block_out_channels": (4, 8, 8, 12), "down_block_types": deep, "transformer_layers_per_block": 2}
refiner |= {"up_block_types": tuple(name.replace("Down", "Up") for name in deep), "projection_class_embeddings_input_dim": 20}
first = {"text_encoder": ("cond_stage_model.transformer.", "clip", 6, 2)}
kinds = {
    "sd1": (unet(), vae(), first),
    "sd1-inpaint": (unet(in_channels=9), None, first),
    "sd1-pix2pix": (unet(in_channels=8), None, first),
    "sd2": (unet(use_linear_projection=True), vae(4), {"text_encoder": ("cond_stage_model.model.", "open", 6, 24)}),
    "sd2-upscale": (unet(**upscaler), vae(), {"text_encoder": ("cond_stage_model.model.", "open", 6, 2)}),
    "xl-base": (
        unet(**xl, **attended, transformer_layers_per_block=(1, 2, 3), projection_class_embeddings_input_dim=24),
        None,
        {
            "text_encoder": ("conditioner.embedders.0.transformer.", "clip", 6, 2),
            "text_encoder_2": ("conditioner.embedders.1.model.", "open", 8, 2),
        },
    ),
    "xl-refiner": (unet(**refiner), None, {"text_encoder_2": ("conditioner.embedders.0.model.", "open", 8, 2)}),
}


def told(tensor):
    flat = tensor.reshape(-1)
    return [list(tensor.shape), *(int(flat[min(i, len(flat) - 1)]) for i in (0, 1)), int(flat[-1])]


def main():
    cases = {}
    for kind, (network, coder, encoders) in kinds.items():
        shapes = unet_original(network)
        if coder:
            shapes |= vae_original(coder)
        models = {}
        for name, (prefix, form, width, layers) in encoders.items():
            models[name] = text(width, layers, 7 if form == "open" else width)
            if form == "clip":
                body = {k: list(v.shape) for k, v in models[name].state_dict().items() if k.startswith("text_model.")}
                shapes |= {prefix + k: shape for k, shape in body.items()}
                shapes[prefix + "text_model.embeddings.position_ids"] = [1, 5]
            else:
                shapes |= open_original(models[name], prefix)
        shapes |= {"betas": [3], "model_ema.decay": []}
        original, offset = {}, 0
        for key, shape in shapes.items():
            size = torch.Size(shape).numel()
            original[key] = torch.arange(offset, offset + size, dtype=torch.float64).reshape(shape)
            offset += size
        assert offset < 2**24
        found = {"unet": reference.convert_ldm_unet_checkpoint(dict(original), dict(network.config))}
        if coder:
            found["vae"] = reference.convert_ldm_vae_checkpoint(dict(original), dict(coder.config))
        for name, (prefix, form, width, layers) in encoders.items():
            if form == "clip":
                own = reference.convert_ldm_clip_checkpoint(dict(original))
                own = {k: v for k, v in own.items() if not k.endswith("position_ids")}
            else:
                own = reference.convert_open_clip_checkpoint(models[name], dict(original), prefix=prefix)
            found[name] = own
        wanted = {"unet": network, "vae": coder, **models}
        for name, own in found.items():
            expected = {k: list(v.shape) for k, v in wanted[name].state_dict().items()}
            if kind == "sd2" and name == "text_encoder":
                expected = {k: shape for k, shape in expected.items() if ".layers.23." not in k}
            if "projection" not in str(own.keys()):
                expected.pop("text_projection.weight", None)
            assert {k: list(v.shape) for k, v in own.items() if v is not None} == expected, (kind, name)
        config = {k: list(v) if isinstance(v, tuple) else v for k, v in network.config.items() if not k.startswith("_")}
        cases[kind] = {"original": shapes, "components": {n: {k: told(v) for k, v in own.items()} for n, own in found.items()}, "unet": config}
        print(kind, len(shapes), offset)

    provenance = {"diffusers": diffusers.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    (here / "single_file.json").write_text(json.dumps({"provenance": provenance, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
