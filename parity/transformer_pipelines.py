"""Small checkpoints of DiT and PixArt in diffusers' layout, and diffusers' pictures of them: fixtures/transformers/.

`dit` and `pixart-sigma` are whole folders. `dit-plain`, `pixart-alpha` and `pixart-alpha-1024` have only what differs from them: the tests
put the rest beside it. `cases.json` lists the pictures of `pictures.safetensors` (uint8 [H, W, 3]) and the options that made them.
Needs Beautiful Soup and ftfy, with which diffusers cleans captions.
"""

import json
import shutil
from pathlib import Path

import bs4
import diffusers
import ftfy
import numpy as np
import torch
from diffusers import AutoencoderKL, DiTPipeline, DiTTransformer2DModel, PixArtAlphaPipeline, PixArtSigmaPipeline, PixArtTransformer2DModel
from networks import set_weights
from quiet import quiet
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel, T5Tokenizer

quiet()
here = Path(__file__).parent / "fixtures"
out = here / "transformers"


def made(model, seed):
    set_weights(model, seed)
    return model.half().eval()


def autoencoder(widths, seed):
    levels = len(widths)
    config = {
        "block_out_channels": widths,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "mid_block_add_attention": levels < 4,
    }
    model = made(AutoencoderKL(**config), seed)
    with torch.no_grad():
        model.decoder.conv_out.weight *= 0.5
    return model


linear = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
ddim = {**linear, "clip_sample": False, "set_alpha_to_one": True}
# As published: two classes share a name, and there are synonyms.
labels = {0: "tench, Tinca tinca", 1: "goldfish, Carassius auratus", 134: "crane", 517: "crane", 999: "toilet tissue, toilet paper"}


def dit():
    shape = {"attention_head_dim": 8, "sample_size": 16, "num_embeds_ada_norm": 1000, "norm_eps": 1e-5, "patch_size": 2, "in_channels": 4}
    learned = DiTTransformer2DModel(**{**shape, "attention_head_dim": 6}, num_attention_heads=2, num_layers=2, out_channels=8)
    plain = DiTTransformer2DModel(**shape, num_attention_heads=1, num_layers=1, out_channels=4)
    vae = autoencoder((4, 8), 3)
    parts = {"vae": vae, "scheduler": diffusers.DDIMScheduler(**ddim)}
    DiTPipeline(transformer=made(learned, 1), **parts).save_pretrained(out / "dit")
    DiTPipeline(transformer=made(plain, 2), **parts).save_pretrained(out / "dit-plain")
    for name in ("dit", "dit-plain"):
        # diffusers reads the names and does not write them.
        index = out / name / "model_index.json"
        index.write_text(json.dumps({**json.loads(index.read_text()), "id2label": labels}, indent=2))


def pixart():
    tokenizer = T5Tokenizer.from_pretrained(here / "t5-tokenizer")
    config = {"vocab_size": 704, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "feed_forward_proj": "gated-gelu"}
    text = T5EncoderModel(T5Config(**config, relative_attention_max_distance=64))
    shape = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "cross_attention_dim": 24, "caption_channels": 16}
    # Layers of 24 channels, of which each size has a third.
    sigma = {"sample_size": 32, "patch_size": 2, "interpolation_scale": 0.5, "use_additional_conditions": False}
    # The published scheduler's config holds -Infinity, which JSON has not.
    solver = diffusers.DPMSolverMultistepScheduler(**linear, algorithm_type="dpmsolver++", solver_order=2)
    parts = {"tokenizer": tokenizer, "text_encoder": made(text, 5), "vae": autoencoder((4, 4, 4, 8), 6), "scheduler": solver}
    for name, kind, fields, seed in [
        ("pixart-sigma", PixArtSigmaPipeline, sigma, 7),
        ("pixart-alpha", PixArtAlphaPipeline, {"sample_size": 64, "patch_size": 4}, 8),
        ("pixart-alpha-1024", PixArtAlphaPipeline, {"sample_size": 128, "patch_size": 8}, 9),
    ]:
        transformer = made(PixArtTransformer2DModel(**shape, **fields), seed)
        kind(transformer=transformer, **parts).save_pretrained(out / name)
        for file in (out / name / "tokenizer").iterdir():
            file.unlink()
        # Published folders have the model alone.
        shutil.copy(here / "t5-tokenizer" / "spiece.model", out / name / "tokenizer" / "spiece.model")


def case(name, checkpoint, scheduler=None, **options):
    return {"name": name, "checkpoint": checkpoint, **({"scheduler": scheduler} if scheduler else {}), "options": options}


prompt = "A photo of a Fox (oil painting) in the snow, see www.foxes.com #123"
cases = [
    case("dit", "dit", label=["tench"], steps=6, seed=0),
    case("dit several", "dit", label=["toilet paper", "crane", 7], steps=4, guidance=2.5, seed=3),
    case("dit two of each", "dit", label=[1, 5], num=2, steps=3, seed=3),
    case("dit unguided", "dit", label=[1], steps=5, guidance=1.0, seed=1),
    case("dit dpm++", "dit", "DPMSolverMultistepScheduler", label=[1], steps=6, seed=2),
    case("dit euler", "dit", "EulerDiscreteScheduler", label=[2], steps=6, seed=2),
    case("dit heun", "dit", "HeunDiscreteScheduler", label=[3], steps=4, seed=2),
    case("dit pndm", "dit", "PNDMScheduler", label=[4], steps=6, seed=2),
    case("dit unipc", "dit", "UniPCMultistepScheduler", label=[517], steps=6, seed=2),
    case("dit plain", "dit-plain", label=[999], steps=6, seed=4),
    case("sigma", "pixart-sigma", prompt=prompt, steps=5, seed=0, width=64, height=48),
    case("sigma own size", "pixart-sigma", prompt="two frogs", negative="Blurry, dark", steps=3, seed=1),
    case("sigma as written", "pixart-sigma", prompt=prompt, clean=False, steps=4, seed=0, width=64, height=48),
    case("sigma short", "pixart-sigma", prompt=prompt, maxLength=8, steps=4, seed=0, width=48, height=64),
    case("sigma no bins", "pixart-sigma", prompt=prompt, binning=False, steps=5, seed=0, width=96, height=64),
    case("sigma unguided", "pixart-sigma", prompt=prompt, guidance=1.0, steps=4, seed=3, width=64, height=64),
    case("sigma two", "pixart-sigma", prompt=prompt, num=2, steps=3, seed=5, width=48, height=32),
    case("sigma euler", "pixart-sigma", "EulerDiscreteScheduler", prompt=prompt, steps=5, seed=5, width=64, height=32),
    case("sigma ddim eta", "pixart-sigma", "DDIMScheduler", prompt=prompt, eta=0.6, steps=5, seed=5, width=64, height=32),
    case("sigma ancestral", "pixart-sigma", "EulerAncestralDiscreteScheduler", prompt=prompt, steps=4, seed=5, width=64, height=32),
    case("sigma ddpm", "pixart-sigma", "DDPMScheduler", prompt=prompt, steps=4, seed=5, width=64, height=32),
    case("sigma wide", "pixart-sigma", prompt=prompt, steps=3, seed=6, width=128, height=20),
    case("alpha", "pixart-alpha", prompt=prompt, steps=4, seed=0, width=64, height=40),
    case("alpha no bins", "pixart-alpha", prompt=prompt, binning=False, steps=4, seed=0, width=64, height=96),
    case("alpha 1024", "pixart-alpha-1024", prompt=prompt, steps=3, seed=0, width=72, height=48),
    case("alpha 1024 no bins", "pixart-alpha-1024", prompt=prompt, negative="grey", binning=False, steps=3, seed=0, width=128, height=64),
    case("alpha one step", "pixart-alpha", "DDIMScheduler", prompt=prompt, steps=1, seed=0, width=64, height=40),
]
names = {
    "negative": "negative_prompt",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "num": "num_images_per_prompt",
    "clean": "clean_caption",
    "binning": "use_resolution_binning",
    "maxLength": "max_sequence_length",
}
kinds = {"dit": DiTPipeline, "pixart-sigma": PixArtSigmaPipeline, "pixart-alpha": PixArtAlphaPipeline}


def pictures(one, nudge=0.0):
    kind = next(k for name, k in kinds.items() if one["checkpoint"].startswith(name))
    pipe = kind.from_pretrained(out / one["checkpoint"], torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if nudge:
        generator = torch.Generator().manual_seed(11)
        for part in (pipe.transformer, pipe.vae, getattr(pipe, "text_encoder", None)):
            for p in part.parameters() if part else []:
                p.data *= 1 + nudge * torch.randn(p.shape, generator=generator)
    if scheduler := one.get("scheduler"):
        pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
    options = dict(one["options"])
    seed = options.pop("seed")
    if label := options.pop("label", None):
        ids = [i if isinstance(i, int) else pipe.get_label_ids([i])[0] for i in label]
        count = options.pop("num", 1)
        options["class_labels"] = [i for i in ids for _ in range(count)]
        number = len(options["class_labels"])
    else:
        number = options.get("num", 1)
    generator = [torch.Generator().manual_seed(seed + k) for k in range(number)]
    options = {names.get(key, key): value for key, value in options.items()}
    return pipe(**options, generator=generator if number > 1 else generator[0], output_type="np").images


def main():
    shutil.rmtree(out, ignore_errors=True)
    dit()
    pixart()
    found = {}
    for one in cases:
        floats = pictures(one)
        one |= {"every": 4} if floats.shape[1] > 128 else {}
        moved = np.abs(pictures(one, 1e-6) - floats).max() * 255
        levels = (floats * 255).round().astype("uint8")
        one["expected"] = [f"{one['name']}.{i}" for i in range(len(levels))]
        inside = np.mean((levels > 0) & (levels < 255))
        print(f"{one['name']}: {levels.shape} mean {levels.mean():.0f} std {levels.std():.0f} inside {inside:.2f} rounding {moved:.3f}")
        assert moved < 0.3 and inside > 0.6 and levels.std() > 8, one["name"]
        for name, picture in zip(one["expected"], levels):
            # Of a large picture every fourth pixel is kept.
            found[name] = torch.from_numpy(picture[:: one.get("every", 1), :: one.get("every", 1)].copy())
    shown = {name: found[name].float() for name in found}
    for a, b in [("sigma.0", "sigma as written.0"), ("dit several.1", "dit several.2")]:
        assert (shown[a] - shown[b]).abs().max() > 3, (a, b)
    versions = {m.__name__: m.__version__ for m in (diffusers, transformers, torch, bs4, ftfy)}
    save_file(found, out / "pictures.safetensors", {"versions": json.dumps(versions)})
    (out / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}, indent=1))
    for name in ("dit-plain", "pixart-alpha", "pixart-alpha-1024"):
        for part in ("vae", "text_encoder", "tokenizer", "scheduler"):
            shutil.rmtree(out / name / part, ignore_errors=True)
    sizes = {p.name: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in out.iterdir()}
    print(sizes, sum(sizes.values()))


if __name__ == "__main__":
    main()
