"""diffusers' unCLIP systems: the networks that only they have (fixtures/unclip.safetensors), and pictures of small checkpoints (fixtures/unclip/).

A checkpoint's folder holds configs alone: the tests draw its weights again, network by network, as `networks.set_weights` does with
the seed and the factors in `checkpoints.json`, and round them to float16. `--out DIR` writes whole folders instead, `--size N` others.
`cases.json` lists the pictures of `pictures.safetensors` (uint8 [H, W, 3]) and the options that made them.
"""

import argparse
import json
import random
import shutil
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    PriorTransformer,
    UnCLIPScheduler,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from diffusers.pipelines.deprecated.unclip import UnCLIPTextProjModel
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from networks import SEED, keys_of, published_keys, save_networks, set_weights, weight_gradients
from PIL import Image
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

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)
# diffusers 0.42 does not find these two by the names that it saves.
diffusers.UnCLIPTextProjModel = UnCLIPTextProjModel
diffusers.StableUnCLIPImageNormalizer = StableUnCLIPImageNormalizer
# Nor the parts of transformers 5's text encoder, where layers are skipped.
CLIPTextModel.text_model = property(lambda self: self)
here = Path(__file__).parent / "fixtures"
out = here / "unclip"

simple = {
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "resnet_time_scale_shift": "scale_shift",
}


def kandinsky(width, embed, levels=(8, 16), head=8, layers=1, inputs=4, groups=4, **fields):
    return {
        **simple,
        "in_channels": inputs,
        "out_channels": 8,
        "block_out_channels": levels,
        "layers_per_block": layers,
        "attention_head_dim": head,
        "cross_attention_dim": width,
        "encoder_hid_dim": embed,
        "encoder_hid_dim_type": "image_proj",
        "addition_embed_type": "image",
        "norm_num_groups": groups,
        **fields,
    }


def movq(widths=(32, 64), layers=1, codes=16):
    levels = len(widths)
    return {
        "block_out_channels": widths,
        "down_block_types": ["DownEncoderBlock2D"] * (levels - 1) + ["AttnDownEncoderBlock2D"],
        "up_block_types": ["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * (levels - 1),
        "layers_per_block": layers,
        "latent_channels": 4,
        "vq_embed_dim": 4,
        "num_vq_embeddings": codes,
        "norm_type": "spatial",
    }


def networks():
    """The networks by themselves: outputs, gradients, and key sets of the published ones."""
    generator = torch.Generator().manual_seed(SEED)
    randn = lambda *shape: torch.randn(shape, generator=generator)
    prior = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "embedding_dim": 12, "num_embeddings": 5}
    other = {**prior, "norm_in_type": "layer", "embedding_proj_norm_type": "layer", "time_embed_dim": 20, "embedding_proj_dim": 10}
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()
    cases = {
        "prior": (PriorTransformer, prior, {"sample": randn(2, 12), "text": randn(2, 12), "context": randn(2, 5, 12), "mask": mask}),
        "prior_other": (
            PriorTransformer,
            {**other, "clip_embed_dim": 14, "time_embed_act_fn": "gelu"},
            {"sample": randn(2, 12), "text": randn(2, 10), "context": randn(2, 5, 12), "mask": mask.flip(0)},
        ),
        "text": (
            UnCLIPTextProjModel,
            {"clip_embeddings_dim": 12, "time_embed_dim": 10, "cross_attention_dim": 6, "clip_extra_context_tokens": 3},
            {"image": randn(1, 12), "text": randn(2, 12), "context": randn(2, 5, 12)},
        ),
        "movq": (VQModel, movq((64, 64)), {"image": randn(1, 3, 8, 4), "latents": randn(1, 4, 4, 2)}),
        "hint": (
            UNet2DConditionModel,
            kandinsky(8, 6, inputs=8, addition_embed_type="image_hint"),
            {"sample": randn(2, 4, 4, 4), "embeds": randn(2, 6), "hint": randn(2, 3, 32, 32)},
        ),
    }
    tensors, found = {}, {}
    for name, (kind, config, given) in cases.items():
        model = kind(**config).eval()
        if name == "hint":
            # The first convolutions of a control image see little else than its own size of numbers.
            assert model.config.in_channels == 8
        found[name] = {"config": {"_class_name": kind.__name__, **config}, **keys_of(model)}
        set_weights(model)
        leaves = {k: v.clone().requires_grad_() if v.is_floating_point() else v for k, v in given.items()}
        t = torch.tensor([7, 432])
        if kind is PriorTransformer:
            made = model(leaves["sample"], t, leaves["text"], leaves["context"], leaves["mask"]).predicted_image_embedding
            outputs = {"made": made, "restored": model.post_process_latents(made)}
        elif kind is UnCLIPTextProjModel:
            context, time = model(
                image_embeddings=leaves["image"],
                prompt_embeds=leaves["text"],
                text_encoder_hidden_states=leaves["context"],
                do_classifier_free_guidance=True,
            )
            outputs = {"states": context, "time": time}
        elif kind is VQModel:
            model.quantize.requires_grad_(False)
            decoded = model.decode(leaves["latents"], force_not_quantize=True).sample
            outputs = {"encoded": model.encode(leaves["image"]).latents, "decoded": decoded}
        else:
            added = {"image_embeds": leaves["embeds"], "hint": leaves["hint"]}
            outputs = {"made": model(leaves["sample"], t, None, added_cond_kwargs=added).sample}
        if "timestep" not in given and kind in (PriorTransformer, UNet2DConditionModel):
            given["timestep"] = t
        cotangents = {key: randn(*value.shape) for key, value in outputs.items()}
        gradients = weight_gradients(name, model, outputs, cotangents)
        gradients = {k: g for k, g in gradients.items() if g.numel() <= 100 or k.endswith(("conv_y.weight", "proj_in.weight"))}
        gradients |= {k: v.grad for k, v in leaves.items() if v.requires_grad}
        tensors |= {f"{name}.{k}": v.float() for k, v in given.items()}
        tensors |= {f"{name}.{k}": v.detach() for k, v in outputs.items()}
        tensors |= {f"{name}.cotangent {k}": v for k, v in cotangents.items()}
        tensors |= {f"{name}.grad {k}": v for k, v in gradients.items()}
    # Configs as the published folders and diffusers' conversion scripts have them.
    decoder22 = {
        "in_channels": 4,
        "out_channels": 8,
        "down_block_types": ("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": (*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
        "block_out_channels": (384, 768, 1152, 1536),
        "layers_per_block": 3,
        "attention_head_dim": 64,
        "cross_attention_dim": 768,
        "encoder_hid_dim": 1280,
        "encoder_hid_dim_type": "image_proj",
        "addition_embed_type": "image",
        "resnet_time_scale_shift": "scale_shift",
    }
    karlo = {
        **decoder22,
        "in_channels": 3,
        "out_channels": 6,
        "block_out_channels": (320, 640, 960, 1280),
        "cross_attention_dim": 1536,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "addition_embed_type": None,
        "class_embed_type": "identity",
    }
    enlarging = {
        "in_channels": 6,
        "out_channels": 3,
        "block_out_channels": (320, 640, 960, 1280),
        "layers_per_block": 3,
        "down_block_types": ["ResnetDownsampleBlock2D"] * 4,
        "up_block_types": ["ResnetUpsampleBlock2D"] * 4,
        "add_attention": False,
    }
    published = {
        "karlo prior": (PriorTransformer, {}),
        "karlo decoder": (UNet2DConditionModel, karlo),
        "karlo text": (UnCLIPTextProjModel, {"time_embed_dim": 1280, "cross_attention_dim": 1536}),
        "karlo super-resolution": (UNet2DModel, enlarging),
        "kandinsky 2.2 prior": (PriorTransformer, {"embedding_dim": 1280}),
        "kandinsky 2.2 decoder": (UNet2DConditionModel, decoder22),
        "kandinsky 2.2 controlnet": (UNet2DConditionModel, {**decoder22, "in_channels": 8, "addition_embed_type": "image_hint"}),
        "movq": (VQModel, {**movq((128, 256, 256, 512), 2, 16384), "down_block_types": ["DownEncoderBlock2D"] * 3 + ["AttnDownEncoderBlock2D"]}),
    }
    described = {
        name: {"config": {"_class_name": kind.__name__, **config}, **keys}
        for (name, (kind, config)), keys in zip(published.items(), published_keys(published).values())
    }
    save_networks("unclip", tensors, found, described)


class Size:
    """How wide and deep the checkpoints are: those of the fixtures, or any others by a number."""

    def __init__(self, number=0):
        draw = random.Random(number).choice
        pick = lambda *values: draw(values) if number else values[0]
        self.seed = 100 * number
        self.embed = pick(16, 24, 32)
        self.text = pick(16, 24)
        """Width of Stable unCLIP's own text encoder."""
        self.layers = pick(2, 1, 3)
        self.heads = pick(2, 4, 1)
        self.prior = (pick(2, 1, 3), pick(8, 12))
        self.levels = pick((8, 16), (8, 8, 16), (16, 24))
        self.groups = pick(4, 2, 8)
        self.blocks = pick(1, 2)
        self.cross = pick(8, 12)
        self.side = pick(8, 16)
        self.movq = pick((32, 64), (32, 32, 64))
        self.vae = pick((8, 12), (8, 12, 12))
        self.merges = pick(1_000_000, 100)


class Builder:
    """Writes folders of any size; in each config alone, or with the weights."""

    def __init__(self, folder, size, whole):
        self.folder, self.size, self.whole = Path(folder), size, whole
        self.drawn = {}

    def made(self, model, salt, factors=None):
        set_weights(model, self.size.seed + salt)
        state = model.state_dict()
        for key, factor in (factors or {}).items():
            state[key].mul_(factor)
        self.drawn[id(model)] = {"seed": self.size.seed + salt, **({"factors": factors} if factors else {})}
        return model.half().eval()

    def save(self, name, kind, parts, **options):
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        getattr(diffusers, kind)(**parts, **options).save_pretrained(path)
        if self.whole:
            return
        drawn = {part: self.drawn[id(model)] for part, model in parts.items() if id(model) in self.drawn}
        (path / "drawn.json").write_text(json.dumps(drawn))

    def strip(self):
        """Leaves configs alone, which the tests draw weights for."""
        for file in [*self.folder.rglob("*.safetensors"), *self.folder.rglob("tokenizer*/*"), *self.folder.rglob("prior_tokenizer/*")]:
            if file.is_file() and file.name != "pictures.safetensors":
                file.unlink()

    def tokenizer(self):
        return CLIPTokenizer.from_pretrained(here / "tokenizer" / "sd1")

    def text(self, tokenizer, width, kind=CLIPTextModelWithProjection, salt=1):
        size = self.size
        config = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            projection_dim=width,
            eos_token_id=2,
        )
        return self.made(kind(config), salt)

    def vision(self):
        size = self.size
        config = CLIPVisionConfig(
            hidden_size=24,
            intermediate_size=48,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            image_size=24,
            patch_size=6,
            projection_dim=size.embed,
            hidden_act="gelu",
        )
        return self.made(CLIPVisionModelWithProjection(config), 2)

    def prior(self, salt=3, **fields):
        heads, head = self.size.prior
        config = {"num_attention_heads": heads, "attention_head_dim": head, "num_layers": self.size.layers, "embedding_dim": self.size.embed}
        # Embeddings about as spread as those of pictures.
        return self.made(PriorTransformer(**config, **fields), salt, {"clip_std": 4.0, "proj_to_clip_embeddings.weight": 1.5})

    def picture_reader(self):
        return CLIPImageProcessor(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})

    def unet(self, salt, **fields):
        size = self.size
        levels = len(size.levels)
        config = kandinsky(size.cross, size.embed, size.levels, size.groups, size.blocks, groups=size.groups)
        config |= {
            "down_block_types": ("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * (levels - 1)),
            "up_block_types": (*["SimpleCrossAttnUpBlock2D"] * (levels - 1), "ResnetUpsampleBlock2D"),
        }
        return self.made(UNet2DConditionModel(**{**config, **fields}), salt, {"conv_out.weight": 0.6})

    def decoder(self, kind, factor):
        return self.made(kind, 20, {"decoder.conv_out.weight": factor})


karlo_prior = {"variance_type": "fixed_small_log", "prediction_type": "sample", "clip_sample_range": 5.0}
linear = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear"}
learned = {**linear, "variance_type": "learned_range", "thresholding": True, "sample_max_value": 2.0, "clip_sample_range": 2.0}


def build(b):
    size = b.size
    tokenizer = b.tokenizer()
    text = b.text(tokenizer, size.embed)
    prior, vision, reader = b.prior(), b.vision(), b.picture_reader()
    identity = {
        "class_embed_type": "identity",
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "addition_embed_type": None,
    }
    decoder = b.unet(4, in_channels=3, out_channels=6, sample_size=size.side, **identity)
    levels = len(size.levels)
    enlarging = {
        "in_channels": 6,
        "out_channels": 3,
        "sample_size": 2 * size.side,
        "block_out_channels": size.levels,
        "layers_per_block": size.blocks,
        "norm_num_groups": size.groups,
        "down_block_types": ["ResnetDownsampleBlock2D"] * levels,
        "up_block_types": ["ResnetUpsampleBlock2D"] * levels,
        "add_attention": False,
    }
    projection = {"clip_embeddings_dim": size.embed, "time_embed_dim": 4 * size.levels[0], "cross_attention_dim": size.cross}
    common = {
        "tokenizer": tokenizer,
        "text_encoder": text,
        "text_proj": b.made(UnCLIPTextProjModel(**projection), 5),
        "decoder": decoder,
        "super_res_first": b.made(UNet2DModel(**enlarging), 6),
        "super_res_last": b.made(UNet2DModel(**enlarging), 7),
        "decoder_scheduler": UnCLIPScheduler(variance_type="learned_range"),
        "super_res_scheduler": UnCLIPScheduler(variance_type="fixed_small_log"),
    }
    b.save("karlo", "UnCLIPPipeline", {**common, "prior": prior, "prior_scheduler": UnCLIPScheduler(**karlo_prior)})
    b.save("karlo-variation", "UnCLIPImageVariationPipeline", {**common, "image_encoder": vision, "feature_extractor": reader})

    ddpm = {"beta_schedule": "squaredcos_cap_v2"}
    noising = {"image_normalizer": StableUnCLIPImageNormalizer(size.embed), "image_noising_scheduler": DDPMScheduler(**ddpm)}
    b.made(noising["image_normalizer"], 8, {"std": 3.0})
    latent = {
        "sample_size": size.side,
        "block_out_channels": size.levels,
        "layers_per_block": size.blocks,
        "norm_num_groups": size.groups,
        "attention_head_dim": (2,) * levels,
        "cross_attention_dim": size.text,
        "down_block_types": ["CrossAttnDownBlock2D"] * (levels - 1) + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (levels - 1),
        "use_linear_projection": True,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 2 * size.embed,
    }
    ends = len(size.vae)
    coder = {
        "block_out_channels": size.vae,
        "down_block_types": ["DownEncoderBlock2D"] * ends,
        "up_block_types": ["UpDecoderBlock2D"] * ends,
        "norm_num_groups": 4,
        "layers_per_block": 1,
    }
    stable = {
        **noising,
        "tokenizer": tokenizer,
        "text_encoder": b.text(tokenizer, size.text, CLIPTextModel, 9),
        "unet": b.made(UNet2DConditionModel(**latent), 10),
        "scheduler": DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction", clip_sample=False, steps_offset=1
        ),
        "vae": b.decoder(AutoencoderKL(**coder), 0.4),
    }
    priors = {
        "prior_tokenizer": tokenizer,
        "prior_text_encoder": text,
        "prior": prior,
        "prior_scheduler": DDPMScheduler(**ddpm, **karlo_prior, clip_sample=True),
    }
    b.save("stable", "StableUnCLIPPipeline", {**priors, **stable})
    b.save("stable-image", "StableUnCLIPImg2ImgPipeline", {**stable, "image_encoder": vision, "feature_extractor": reader})

    parts = {
        "tokenizer": tokenizer,
        "text_encoder": text,
        "prior": prior,
        "image_encoder": vision,
        "image_processor": reader,
        "scheduler": UnCLIPScheduler(**{**karlo_prior, "clip_sample_range": 10.0}),
    }
    b.save("kandinsky-prior", "KandinskyV22PriorPipeline", parts)
    b.save("kandinsky-emb2emb", "KandinskyV22PriorEmb2EmbPipeline", parts)
    coder = b.decoder(VQModel(**movq(size.movq)), 0.5)
    decoding = {"movq": coder, "scheduler": DDPMScheduler(**learned)}
    plain, hinted = b.unet(11), b.unet(12, in_channels=8, addition_embed_type="image_hint")
    b.save("kandinsky", "KandinskyV22Pipeline", {**decoding, "unet": plain})
    b.save("kandinsky-image", "KandinskyV22Img2ImgPipeline", {**decoding, "unet": plain})
    b.save("kandinsky-inpaint", "KandinskyV22InpaintPipeline", {**decoding, "unet": b.unet(13, in_channels=9)})
    b.save("kandinsky-control", "KandinskyV22ControlnetPipeline", {**decoding, "unet": hinted})
    b.save("kandinsky-control-image", "KandinskyV22ControlnetImg2ImgPipeline", {**decoding, "unet": hinted})
    prefixed = {f"prior_{name}": part for name, part in parts.items()}
    b.save("kandinsky-combined", "KandinskyV22CombinedPipeline", {**decoding, **prefixed, "unet": plain})


def painted(width, height, seed):
    """A picture to start from: smooth colours with an edge."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [np.sin(7 * x + seed) + np.cos(5 * y), np.cos(6 * x * y + seed), np.sin(9 * y - 2 * x)]
    levels = np.stack([127 + 60 * w + 60 * (x > y + 0.2) for w in waves], -1).clip(0, 255).astype("uint8")
    return Image.fromarray(levels)


def mask(width, height):
    levels = np.zeros((height, width), "uint8")
    levels[height // 4 : 3 * height // 4, width // 3 :] = 255
    return Image.fromarray(levels)


def inputs():
    """Pictures by the names that cases give them."""
    return {
        "fox": painted(40, 32, 0),
        "owl": painted(32, 48, 1),
        "wide": painted(96, 64, 2),
        "mask": mask(32, 32),
        "mask wide": mask(96, 64),
        "depth": painted(64, 64, 3).convert("L").convert("RGB"),
    }


def case(name, checkpoint, **options):
    return {"name": name, "checkpoint": checkpoint, "options": options}


prompt, other = "a photo of a red fox in the snow", "two frogs, blurry"
long = "a very long description of everything that can be seen in this picture of a fox " * 6
karlo_cases = [
    case("karlo", "karlo", prompt=prompt, priorSteps=5, steps=5, superResSteps=3, seed=0),
    case("karlo two", "karlo", prompt=other, num=2, priorSteps=3, steps=4, superResSteps=2, seed=5),
    case("karlo prior alone guided", "karlo", prompt=prompt, priorSteps=4, priorGuidance=2.5, guidance=1.0, steps=4, superResSteps=4, seed=1),
    case("karlo decoder alone guided", "karlo", prompt=prompt, priorSteps=4, priorGuidance=0.5, guidance=3.0, steps=4, superResSteps=2, seed=2),
    case("karlo unguided", "karlo", prompt=prompt, priorSteps=4, priorGuidance=1.0, guidance=1.0, steps=3, superResSteps=2, seed=3),
    case("karlo many steps", "karlo", prompt=long, priorSteps=9, steps=12, superResSteps=7, seed=4),
    case("variation", "karlo-variation", image="fox", steps=5, superResSteps=3, seed=0),
    case("variation two", "karlo-variation", image="owl", guidance=2.0, num=2, steps=4, superResSteps=2, seed=7),
    case("variation unguided", "karlo-variation", image="owl", guidance=1.0, steps=4, superResSteps=2, seed=1),
]
small = {"priorSteps": 4, "steps": 5}
stable_cases = [
    case("stable", "stable", prompt=prompt, seed=0, **small),
    case("stable noisy", "stable", prompt=prompt, noiseLevel=300, negative="blue", seed=1, **small),
    case("stable unguided", "stable", prompt=prompt, guidance=1.0, priorGuidance=1.0, seed=2, **small),
    case("stable two wide", "stable", prompt=other, num=2, width=32, height=16, priorSteps=3, steps=3, seed=3),
    case("stable clip skip", "stable", prompt=prompt, clipSkip=1, guidance=4.0, priorGuidance=2.0, seed=4, **small),
    case("stable eta", "stable", prompt=long, eta=0.7, seed=5, **small),
    case("stable euler", "stable", prompt=prompt, scheduler="EulerDiscreteScheduler", seed=6, **small),
    case("stable image", "stable-image", image="fox", prompt=prompt, steps=5, seed=0),
    case("stable image alone", "stable-image", image="owl", noiseLevel=100, steps=4, guidance=3.0, seed=1),
    case("stable image two", "stable-image", image="fox", prompt=prompt, negative="dark", num=2, noiseLevel=200, steps=3, seed=2),
]
size = {"width": 32, "height": 32}
kandinsky_cases = [
    case("kandinsky", "kandinsky", prompt=prompt, priorSteps=4, steps=5, seed=0, **size),
    case("kandinsky negative", "kandinsky", prompt=prompt, negative=other, priorSteps=4, steps=4, seed=1, **size),
    case("kandinsky empty negative", "kandinsky", prompt=prompt, negative="", priorSteps=3, steps=3, seed=1, **size),
    case("kandinsky unguided", "kandinsky", prompt=prompt, guidance=1.0, priorGuidance=1.0, priorSteps=4, steps=4, seed=2, **size),
    case("kandinsky prior unguided", "kandinsky", prompt=prompt, negative=other, priorGuidance=1.0, priorSteps=4, steps=4, seed=2, **size),
    case("kandinsky odd size", "kandinsky", prompt=prompt, priorSteps=3, steps=3, seed=3, width=50, height=29),
    case("kandinsky two", "kandinsky", prompt=other, num=2, priorSteps=3, steps=3, seed=4, **size),
    case("kandinsky ddim", "kandinsky", prompt=prompt, scheduler="DDIMScheduler", priorSteps=3, steps=4, seed=5, **size),
    case("kandinsky combined", "kandinsky-combined", prompt=prompt, guidance=2.0, priorGuidance=3.0, priorSteps=4, steps=5, seed=6, **size),
    case("kandinsky image", "kandinsky-image", image="fox", prompt=prompt, strength=0.5, priorSteps=3, steps=6, seed=0, **size),
    case("kandinsky image negative", "kandinsky-image", image="wide", prompt=prompt, negative=other, priorSteps=3, steps=10, seed=1, **size),
    case("kandinsky image whole", "kandinsky-image", image="owl", prompt=prompt, strength=1.0, num=2, priorSteps=3, steps=3, seed=2, **size),
    case("kandinsky inpaint", "kandinsky-inpaint", image="fox", mask="mask", prompt=prompt, priorSteps=3, steps=5, seed=0, **size),
    case("kandinsky inpaint wide", "kandinsky-inpaint", image="wide", mask="mask wide", prompt=prompt, negative=other, priorSteps=3, steps=4, seed=1, width=48, height=32),
    case("kandinsky inpaint two", "kandinsky-inpaint", image="owl", mask="mask", prompt=prompt, num=2, guidance=1.0, priorSteps=3, steps=3, seed=2, **size),
    case("kandinsky control", "kandinsky-control", control="depth", prompt=prompt, priorSteps=3, steps=4, seed=0, **size),
    case("kandinsky control unguided", "kandinsky-control", control="depth", prompt=prompt, guidance=1.0, negative=other, priorSteps=3, steps=4, seed=1, **size),
    case("kandinsky control image", "kandinsky-control-image", control="depth", image="fox", prompt=prompt, strength=0.6, priorSteps=3, steps=5, seed=0, **size),
    case("kandinsky emb2emb", "kandinsky-control-image", prior="kandinsky-emb2emb", control="depth", image="fox", prompt=prompt, strength=0.5, priorStrength=0.8, priorSteps=6, steps=4, seed=3, **size),
    case("kandinsky emb2emb negative", "kandinsky-image", prior="kandinsky-emb2emb", image="owl", prompt=prompt, negative=other, strength=0.7, priorSteps=8, steps=4, seed=4, **size),
]
cases = [*karlo_cases, *stable_cases, *kandinsky_cases]
# Those that the tests run; `--out` draws all of them.
kept = [
    *("karlo", "karlo two", "karlo prior alone guided", "variation two", "stable noisy", "stable image two"),
    *("kandinsky negative", "kandinsky combined", "kandinsky image", "kandinsky inpaint wide", "kandinsky control"),
    "kandinsky emb2emb",
]
# Pictures that differ in what one option does.
pairs = [
    ("karlo.0", "karlo prior alone guided.0"),
    ("kandinsky.0", "kandinsky negative.0"),
    ("kandinsky negative.0", "kandinsky empty negative.0"),
    ("kandinsky control.0", "kandinsky control image.0"),
    ("kandinsky control image.0", "kandinsky emb2emb.0"),
    ("stable.0", "stable noisy.0"),
    ("stable image alone.0", "stable image two.0"),
]
names = {
    "negative": "negative_prompt",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "priorSteps": "prior_num_inference_steps",
    "priorGuidance": "prior_guidance_scale",
    "superResSteps": "super_res_num_inference_steps",
    "noiseLevel": "noise_level",
    "num": "num_images_per_prompt",
    "clipSkip": "clip_skip",
}


def pipelines(folder, one, nudge):
    """A checkpoint's pipeline, and for a decoder of Kandinsky that of its prior."""
    name = one["checkpoint"]
    kind = json.loads((folder / name / "model_index.json").read_text())["_class_name"]
    found = [getattr(diffusers, kind).from_pretrained(folder / name, torch_dtype=torch.float32)]
    if name.startswith("kandinsky") and "combined" not in name:
        prior = one["options"].get("prior", "kandinsky-prior")
        kind = json.loads((folder / prior / "model_index.json").read_text())["_class_name"]
        found.append(getattr(diffusers, kind).from_pretrained(folder / prior, torch_dtype=torch.float32))
    generator = torch.Generator().manual_seed(11)
    for pipe in found:
        pipe.set_progress_bar_config(disable=True)
        for part in pipe.components.values():
            for p in part.parameters() if nudge and isinstance(part, torch.nn.Module) else []:
                p.data *= 1 + nudge * torch.randn(p.shape, generator=generator)
    return found


def pictures(folder, one, nudge=0.0):
    pipe, *prior = pipelines(folder, one, nudge)
    given = inputs()
    options = {**one["options"]}
    options.pop("prior", None)
    if scheduler := options.pop("scheduler", None):
        # Options that only the old class knows would go along, and the pipeline would act on them.
        fields = {k: v for k, v in pipe.scheduler.config.items() if k not in ("variance_type", "_class_name")}
        pipe.scheduler = getattr(diffusers, scheduler).from_config(fields)
    number = options.get("num", 1)
    seed = options.pop("seed")
    generator = [torch.Generator().manual_seed(seed + k) for k in range(number)]
    generator = generator if number > 1 else generator[0]
    named = {names.get(key, key): value for key, value in options.items()}
    for key in ("image", "mask", "control"):
        if key in named:
            named[{"mask": "mask_image"}.get(key, key)] = given[named.pop(key)]
    if one["checkpoint"].startswith("karlo"):
        for ours, theirs in (("num_inference_steps", "decoder_num_inference_steps"), ("guidance_scale", "decoder_guidance_scale")):
            if ours in named:
                named[theirs] = named.pop(ours)
    if not prior:
        return pipe(**named, generator=generator, output_type="np").images
    before = {
        "prompt": named.pop("prompt"),
        "negative_prompt": named.pop("negative_prompt", None),
        "num_images_per_prompt": named.pop("num_images_per_prompt", 1),
        "num_inference_steps": named.pop("prior_num_inference_steps", 25),
        "guidance_scale": named.pop("prior_guidance_scale", 4.0),
    }
    if "Emb2Emb" in type(prior[0]).__name__:
        before["image"] = named["image"]
        if "priorStrength" in named:
            before["strength"] = named.pop("priorStrength")
    made = prior[0](**before, generator=generator)
    after = {"image_embeds": made.image_embeds, "negative_image_embeds": made.negative_image_embeds}
    for key in ("image", "mask_image"):
        if key in named and number > 1:
            named[key] = [named[key]] * number
    if control := named.pop("control", None):
        # A control image is an eighth as large within the network, whatever the autoencoder's factor.
        factor = 8 // 2 ** (len(pipe.movq.config.block_out_channels) - 1)
        control = control.resize((named["width"] * factor, named["height"] * factor), Image.LANCZOS)
        named["hint"] = torch.from_numpy(np.array(control)).float().permute(2, 0, 1)[None] / 255
    return pipe(**named, **after, generator=generator, output_type="np").images


def draw(folder, chosen):
    found = {}
    for one in chosen:
        floats = pictures(folder, one)
        moved = np.abs(pictures(folder, one, 1e-6) - floats).max() * 255
        levels = (floats * 255).round().astype("uint8")
        one["expected"] = [f"{one['name']}.{i}" for i in range(len(levels))]
        inside = np.mean((levels > 0) & (levels < 255))
        print(f"{one['name']}: {levels.shape} mean {levels.mean():.0f} std {levels.std():.0f} inside {inside:.2f} rounding {moved:.3f}", flush=True)
        assert moved < 0.3 or folder != out, one["name"]
        for name, picture in zip(one["expected"], levels):
            found[name] = torch.from_numpy(picture.copy())
    return found


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--out")
    args.add_argument("--size", type=int, default=0)
    args.add_argument("--only", default="")
    args = args.parse_args()
    if args.out is None and not args.only:
        networks()
    folder = Path(args.out or out)
    shutil.rmtree(folder, ignore_errors=True)
    b = Builder(folder, Size(args.size), args.out is not None)
    build(b)
    chosen = [one for one in cases if args.only in one["name"] and (args.out or one["name"] in kept)]
    found = draw(folder, chosen)
    for a, c in pairs:
        if a in found and c in found:
            far = (found[a].float() - found[c].float()).abs().max().item()
            print(f"{a} and {c}: {far:.0f} levels apart")
            assert far > 4, (a, c)
    for name, picture in inputs().items():
        (folder / "inputs").mkdir(exist_ok=True)
        picture.save(folder / "inputs" / f"{name}.png")
    versions = {m.__name__: m.__version__ for m in (diffusers, transformers, torch)}
    save_file(found, folder / "pictures.safetensors", {"versions": json.dumps(versions)})
    (folder / "cases.json").write_text(json.dumps({"versions": versions, "cases": chosen}, indent=1))
    if args.out is None:
        b.strip()
    sizes = {p.name: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in folder.iterdir()}
    print(sizes, sum(sizes.values()))


if __name__ == "__main__":
    main()
