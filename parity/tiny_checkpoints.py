"""Small checkpoints of every kind of Stable Diffusion, made of diffusers' and transformers' own classes with random weights.

`build(folder, size)` writes them as `save_pretrained` does, in fp16. A `Size` says how wide and deep they are.
"""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from networks import set_weights
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

vocabulary = Path(__file__).parent / "fixtures" / "tokenizer" / "sd1"


@dataclass(frozen=True)
class Size:
    seed: int = 0
    channels: tuple = (8, 16)
    layers: int = 1
    groups: int = 4
    heads: tuple = (2, 4)
    depth: int = 2
    """Transformer blocks of XL's deeper level."""
    text: int = 16
    text_2: int = 24
    text_layers: int = 2
    text_heads: int = 2
    autoencoder: tuple = (8, 12)
    autoencoder_layers: int = 1
    latent: int = 16
    """Latent pixels a side; a picture has twice as many for each of the autoencoder's levels but the first."""
    merges: int = 1_000_000
    """Of the vocabulary, as many as there are."""
    time_ids: int = 4
    """Width of each of XL's sizes and crops."""
    shift: int = 0
    """Other choices where a checkpoint may be this or that."""


def drawn(seed):
    """Any size, of which the fixtures' is one."""
    draw = random.Random(seed)
    groups = draw.choice([2, 4])
    widths = sorted(draw.choice([8, 12, 16, 20, 24, 32]) for _ in range(draw.choice([2, 3])))
    heads = tuple(draw.choice([1, 2, 4]) for _ in widths)
    return Size(
        seed=1000 + seed,
        channels=tuple(widths),
        layers=draw.choice([1, 2]),
        groups=groups,
        heads=heads,
        depth=draw.choice([1, 2, 3]),
        text=draw.choice([16, 24, 32]),
        text_2=draw.choice([16, 32, 40]),
        text_layers=draw.choice([2, 3, 4]),
        text_heads=draw.choice([2, 4, 8]),
        autoencoder=tuple(sorted(draw.choice([8, 12, 16]) for _ in range(draw.choice([2, 3])))),
        autoencoder_layers=draw.choice([1, 2]),
        latent=16,
        merges=draw.choice([50, 150, 300]),
        time_ids=draw.choice([4, 8]),
        shift=seed,
    )


# The schedulers of the published checkpoints.
betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
clean = {**betas, "clip_sample": False, "set_alpha_to_one": False}
pndm = ("PNDMScheduler", {**betas, "set_alpha_to_one": False, "skip_prk_steps": True})
ddim_v = ("DDIMScheduler", {**clean, "prediction_type": "v_prediction"})
euler = ("EulerDiscreteScheduler", {**betas, "timestep_spacing": "leading"})
ancestral = ("EulerAncestralDiscreteScheduler", betas)
lcm = ("LCMScheduler", {**clean, "original_inference_steps": 50})
upscaling = {"beta_start": 0.0001, "beta_end": 0.02, "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False}
low_res = ("DDPMScheduler", {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"})


class Builder:
    def __init__(self, folder, size):
        self.folder = Path(folder)
        self.size = size

    def save(self, name, pipeline, parts, **options):
        """A pipeline's folder as save_pretrained writes it, from components given as (saving function)s."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        getattr(diffusers, pipeline)(**parts, **options).save_pretrained(path)
        return path

    def made(self, model, salt):
        set_weights(model, self.size.seed + salt)
        return model.half().eval()

    def tokenizer(self, pad):
        """CLIP's, with some of the small vocabulary's merges. `pad` is the end token for all but the second of XL."""
        vocab = json.loads((vocabulary / "vocab.json").read_text())
        _, *merges = (vocabulary / "merges.txt").read_text().splitlines()
        merges = merges[: self.size.merges]
        start, end = "<|startoftext|>", "<|endoftext|>"
        letters = [token for token, i in vocab.items() if i < 512]
        tokens = [*letters, *(merge.replace(" ", "") for merge in merges), start, end]
        path = self.folder / "vocabulary"
        path.mkdir(parents=True, exist_ok=True)
        (path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
        (path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
        config = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": pad, "model_max_length": 77}
        (path / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "CLIPTokenizer"}))
        made = CLIPTokenizer.from_pretrained(path)
        shutil.rmtree(path)
        return made

    def text(self, tokenizer, width, kind=CLIPTextModel, salt=0, **fields):
        size = self.size
        config = CLIPTextConfig(
            **{
                "vocab_size": len(tokenizer),
                "hidden_size": width,
                "intermediate_size": 2 * width,
                "num_hidden_layers": size.text_layers,
                "num_attention_heads": size.text_heads,
                "max_position_embeddings": 77,
                "projection_dim": width,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
                **fields,
            }
        )
        return self.made(kind(config), 10 + salt)

    def autoencoder(self, levels=None, **fields):
        widths = self.size.autoencoder if levels is None else (*self.size.autoencoder, *self.size.autoencoder)[:levels]
        config = {
            "block_out_channels": widths,
            "down_block_types": ["DownEncoderBlock2D"] * len(widths),
            "up_block_types": ["UpDecoderBlock2D"] * len(widths),
            "layers_per_block": self.size.autoencoder_layers,
            "norm_num_groups": self.size.groups,
            "sample_size": self.size.latent * 2 ** (len(widths) - 1),
            **fields,
        }
        model = self.made(AutoencoderKL(**config), 20)
        with torch.no_grad():
            # Pictures of middling contrast, and encoded pictures about as spread as published ones, which the factor presumes.
            model.decoder.conv_out.weight *= 0.5
            model.quant_conv.weight[:4] *= 1 / model.config.scaling_factor / 2
            model.quant_conv.weight[4:] *= 0.5
        return model

    def unet_config(self, **fields):
        size = self.size
        levels = len(size.channels)
        return {
            "sample_size": size.latent,
            "block_out_channels": size.channels,
            "layers_per_block": size.layers,
            "norm_num_groups": size.groups,
            "attention_head_dim": size.heads[0],
            "cross_attention_dim": size.text,
            "down_block_types": ["CrossAttnDownBlock2D"] * (levels - 1) + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (levels - 1),
            **fields,
        }

    def unet(self, salt, **fields):
        return self.made(UNet2DConditionModel(**self.unet_config(**fields)), 30 + salt)

    def xl_fields(self, context, ids=6):
        size = self.size
        levels = len(size.channels)
        return {
            "cross_attention_dim": context,
            "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * (levels - 1),
            "up_block_types": ["CrossAttnUpBlock2D"] * (levels - 1) + ["UpBlock2D"],
            "transformer_layers_per_block": [1] * (levels - 1) + [size.depth],
            "attention_head_dim": size.heads,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": size.time_ids,
            "projection_class_embeddings_input_dim": ids * size.time_ids + size.text_2,
        }

    def controlnet(self, name, salt, **fields):
        config = self.unet_config(**fields)
        for unused in ("sample_size", "up_block_types"):
            config.pop(unused)
        halvings = len(self.size.autoencoder) - 1
        widths = [self.size.groups, 2 * self.size.groups, 2 * self.size.groups, 3 * self.size.groups][: halvings + 1]
        model = ControlNetModel(**config, conditioning_embedding_out_channels=widths)
        self.made(model, 60 + salt).save_pretrained(self.folder / name)


def scheduler(kind, fields):
    return getattr(diffusers, kind)(**fields)


unchecked = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def build_sd1(b):
    tokenizer = b.tokenizer("<|endoftext|>")
    text = b.text(tokenizer, b.size.text, eos_token_id=2)
    parts = {"tokenizer": tokenizer, "text_encoder": text, "vae": b.autoencoder()}
    own = {**parts, "scheduler": scheduler(*pndm)}
    b.save("sd1", "StableDiffusionPipeline", {**own, "unet": b.unet(0)}, **unchecked)


builders = {"sd1": build_sd1}


def build(folder, size=Size(), only=None):
    torch.set_num_threads(1)
    b = Builder(folder, size)
    for name, make in builders.items():
        if only is None or name in only:
            make(b)
