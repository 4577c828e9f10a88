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


if __name__ == "__main__":
    networks()
