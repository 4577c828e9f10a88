"""Small checkpoints of every kind of Stable Diffusion, made of diffusers' and transformers' own classes with random weights.

`build(folder, size)` writes them as `save_pretrained` does, in fp16. A `Size` says how wide and deep they are.
"""

import json
import math
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, T2IAdapter, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_kohya
from ip_adapter import adapter as ip_adapter
from networks import set_weights
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

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
        """A pipeline's folder as save_pretrained writes it."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        getattr(diffusers, pipeline)(**parts, **options).save_pretrained(path)
        # A tokenizer comes as one file here; in all but one folder, as published ones have it: a vocabulary and its merges.
        for whole in path.glob("tokenizer*/tokenizer.json"):
            if name == "sd1" and not self.size.shift:
                continue
            saved = json.loads(whole.read_text())
            if "merges" not in saved["model"]:
                continue
            merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in saved["model"]["merges"]]
            (whole.parent / "vocab.json").write_text(json.dumps(saved["model"]["vocab"], ensure_ascii=False))
            (whole.parent / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
            if (self.size.shift + len(name)) % 2 == 0:
                whole.unlink()
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

    def vision(self):
        size = self.size
        config = CLIPVisionConfig(
            hidden_size=size.text_2,
            intermediate_size=2 * size.text_2,
            num_hidden_layers=size.text_layers,
            num_attention_heads=size.text_heads,
            image_size=24,
            patch_size=6,
            projection_dim=size.text,
            hidden_act="gelu",
        )
        return self.made(CLIPVisionModelWithProjection(config), 15)

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


    def tiny_autoencoder(self):
        widths = (self.size.groups * 2,) * len(self.size.autoencoder)
        model = AutoencoderTiny(
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            num_encoder_blocks=[1] * len(widths),
            num_decoder_blocks=[1] * len(widths),
        )
        self.made(model, 21)
        with torch.no_grad():
            model.decoder.layers[-1].weight *= 0.3
        model.save_pretrained(self.folder / "tiny-vae")

    def loras(self, unet):
        """Low-rank changes of linear layers and convolutions, under the keys of diffusers and of kohya's scripts; the network keeps
        them. None of the text encoder: diffusers 0.42 cannot load one into a text encoder of transformers 5.
        """
        path = self.folder / "loras"
        layers = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.0.proj", "conv1", "conv_shortcut"]
        unet.add_adapter(LoraConfig(r=3, lora_alpha=3, target_modules=layers))
        generator = torch.Generator().manual_seed(self.size.seed + 80)
        state = {}
        for key, value in sorted(get_peft_model_state_dict(unet).items()):
            state[key] = (torch.randn(value.shape, generator=generator) / math.sqrt(value[0].numel())).half()
        diffusers.StableDiffusionPipeline.save_lora_weights(path, unet_lora_layers=state, weight_name="diffusers.safetensors")
        kohya = convert_state_dict_to_kohya({f"unet.{key}": value.flip(0) for key, value in state.items()})
        for key in kohya:
            if key.endswith(".alpha"):
                kohya[key] = torch.tensor(2.0)
        save_file({key: value.contiguous() for key, value in kohya.items()}, path / "kohya.safetensors")

    def inversions(self, width):
        path = self.folder / "inversions"
        path.mkdir(exist_ok=True)
        generator = torch.Generator().manual_seed(self.size.seed + 90)
        learnt = torch.randn((3, width), generator=generator)
        save_file({"<moonlit>": learnt[0]}, path / "moonlit.safetensors")
        save_file({"emb_params": learnt[1:]}, path / "ink.safetensors")


def scheduler(kind, fields):
    return getattr(diffusers, kind)(**fields)


unchecked = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def build_sd1(b):
    """Version 1, and what shares its text encoder and autoencoder; with ControlNets, a tiny autoencoder and adapters for it."""
    tokenizer = b.tokenizer("<|endoftext|>")
    text = b.text(tokenizer, b.size.text, eos_token_id=2)
    parts = {"tokenizer": tokenizer, "text_encoder": text, "vae": b.autoencoder(), "scheduler": scheduler(*pndm)}
    unet = b.unet(0)
    b.save("sd1", "StableDiffusionPipeline", {**parts, "unet": unet}, **unchecked)
    # As the oldest folders have it: the pipelines put these options right.
    old = scheduler("PNDMScheduler", {**betas, "steps_offset": 0, "skip_prk_steps": False})
    b.save("sd1-inpaint", "StableDiffusionInpaintPipeline", {**parts, "scheduler": old, "unet": b.unet(1, in_channels=9)}, **unchecked)
    instruct = {**parts, "scheduler": scheduler(*ancestral), "unet": b.unet(2, in_channels=8)}
    b.save("instruct", "StableDiffusionInstructPix2PixPipeline", instruct, **unchecked)
    latent = {**parts, "scheduler": scheduler(*lcm), "unet": b.unet(3, time_cond_proj_dim=2 * b.size.text)}
    b.save("lcm", "LatentConsistencyModelPipeline", latent, **unchecked)
    b.controlnet("controlnet-a", 0)
    b.controlnet("controlnet-b", 1, controlnet_conditioning_channel_order="bgr")
    b.tiny_autoencoder()
    b.loras(unet)
    b.inversions(b.size.text)


def build_sd2(b):
    """Version 2: the state before the last of its text layers, exact GELUs, projections as linear layers, v-prediction."""
    tokenizer = b.tokenizer("!")
    text = b.text(tokenizer, b.size.text, salt=1, hidden_act="gelu", num_hidden_layers=b.size.text_layers + 1)
    parts = {"tokenizer": tokenizer, "text_encoder": text, "vae": b.autoencoder()}
    linear = {"use_linear_projection": True, "attention_head_dim": b.size.heads}
    own = {**parts, "scheduler": scheduler(*ddim_v), "unet": b.unet(4, **linear)}
    b.save("sd2", "StableDiffusionPipeline", own, **unchecked)
    depth = {**parts, "scheduler": scheduler(*pndm), "unet": b.unet(5, **linear, in_channels=5)}
    b.save("depth", "StableDiffusionDepth2ImgPipeline", {**depth, "depth_estimator": None, "feature_extractor": None})
    every = ["CrossAttnDownBlock2D", "CrossAttnUpBlock2D"]
    levels = len(b.size.channels)
    unet = b.unet(
        6,
        in_channels=7,
        num_class_embeds=400,
        use_linear_projection=True,
        down_block_types=["DownBlock2D"] + [every[0]] * (levels - 1),
        up_block_types=[every[1]] * (levels - 1) + ["UpBlock2D"],
        only_cross_attention=[True] * (levels - 1) + [False],
    )
    v = scheduler("DDIMScheduler", {**upscaling, "beta_schedule": "scaled_linear", "prediction_type": "v_prediction"})
    upscaler = {**parts, "scheduler": v, "low_res_scheduler": scheduler(*low_res), "unet": unet}
    upscaler["vae"] = b.autoencoder(levels=3, scaling_factor=0.08333)
    b.save("upscaler", "StableDiffusionUpscalePipeline", upscaler, max_noise_level=350)


def build_xl(b):
    """XL's base, refiner, in-painting and a ControlNet."""
    tokenizer, tokenizer_2 = b.tokenizer("<|endoftext|>"), b.tokenizer("!")
    text = b.text(tokenizer, b.size.text, eos_token_id=2)
    text_2 = b.text(tokenizer_2, b.size.text_2, CLIPTextModelWithProjection, salt=2, hidden_act="gelu", eos_token_id=2)
    refined = {"tokenizer_2": tokenizer_2, "text_encoder_2": text_2, "vae": b.autoencoder(scaling_factor=0.13025, force_upcast=True)}
    parts = {**refined, "tokenizer": tokenizer, "text_encoder": text, "scheduler": scheduler(*euler)}
    fields = b.xl_fields(b.size.text + b.size.text_2)
    b.save("xl", "StableDiffusionXLPipeline", {**parts, "unet": b.unet(7, **fields)}, force_zeros_for_empty_prompt=True)
    painting = {**parts, "unet": b.unet(8, **fields, in_channels=9)}
    b.save("xl-inpaint", "StableDiffusionXLInpaintPipeline", painting, force_zeros_for_empty_prompt=True)
    only = {**refined, "tokenizer": None, "text_encoder": None, "scheduler": scheduler(*euler)}
    only["unet"] = b.unet(9, **b.xl_fields(b.size.text_2, ids=5))
    b.save("xl-refiner", "StableDiffusionXLImg2ImgPipeline", only, requires_aesthetics_score=True, force_zeros_for_empty_prompt=False)
    b.controlnet("controlnet-xl", 2, **fields)


def build_pictures(b):
    """What sees pictures: CLIP's other half, IP-Adapters in the layout of published ones, T2I-Adapters, variations."""
    path = b.folder / "ip-adapter"
    encoder = b.vision()
    encoder.save_pretrained(path / "image_encoder")
    fields = b.xl_fields(b.size.text + b.size.text_2)
    models = {"sd1": UNet2DConditionModel(**b.unet_config()), "xl": UNet2DConditionModel(**b.unet_config(**fields))}
    for salt, (name, kind, unet) in enumerate([("plain", "plain", "sd1"), ("plus", "plus", "sd1"), ("xl", "plain", "xl")]):
        sizes = {"embed": encoder.config.projection_dim, "state": encoder.config.hidden_size}
        tensors = ip_adapter(kind, models[unet], b.size.seed + 100 + salt, **sizes)
        save_file({key: value.half() for key, value in tensors.items()}, path / f"{name}.safetensors")
    factor = 2 ** (len(b.size.autoencoder) - 1)
    for salt, (name, kind) in enumerate({"t2i-adapter": "full_adapter", "t2i-adapter-xl": "full_adapter_xl"}.items()):
        scale = factor if kind == "full_adapter" else 2 * factor
        sizes = {"channels": b.size.channels, "num_res_blocks": 1, "downscale_factor": scale}
        b.made(T2IAdapter(adapter_type=kind, **sizes), 110 + salt).save_pretrained(b.folder / name)
    own = {"vae": b.autoencoder(), "scheduler": scheduler(*pndm), "image_encoder": encoder, "unet": b.unet(10)}
    side = encoder.config.image_size
    own["feature_extractor"] = CLIPImageProcessor(size=side, crop_size=side)
    b.save("variation", "StableDiffusionImageVariationPipeline", own, safety_checker=None, requires_safety_checker=False)


builders = {"sd1": build_sd1, "sd2": build_sd2, "xl": build_xl, "pictures": build_pictures}


def build(folder, size=Size(), only=None):
    torch.set_num_threads(1)
    b = Builder(folder, size)
    for name, make in builders.items():
        if only is None or name in only:
            make(b)
