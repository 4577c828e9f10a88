"""Small checkpoints of Latte, CogVideoX and Wan in diffusers' layout, and diffusers' frames of them: fixtures/video/.

Latte and CogVideoX have the text encoder of fixtures/transformers/pixart-sigma, and Latte its autoencoder too; all CogVideoX have the
autoencoder of `cogvideox-2b`: the tests put them there. `cases.json` lists the films of `frames.safetensors` (uint8 [T, H/2, W/2, 3]: every second row and column) and the options that made them.
Needs Beautiful Soup and ftfy, with which diffusers cleans captions.
"""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    LattePipeline,
    LatteTransformer3DModel,
    WanPipeline,
    WanTransformer3DModel,
)
from networks import set_weights
from PIL import Image
from quiet import quiet
from safetensors.torch import load_file, save_file
from transformers import T5EncoderModel, T5Tokenizer, UMT5Config, UMT5EncoderModel

quiet()
torch.set_num_threads(1)
here = Path(__file__).parent / "fixtures"
out = here / "video"
pixart = here / "transformers" / "pixart-sigma"
linear = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
cog_ddim = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False, "rescale_betas_zero_snr": True}
cog_ddim |= {"timestep_spacing": "trailing", "prediction_type": "v_prediction", "set_alpha_to_one": True}


def made(model, seed):
    set_weights(model, seed)
    return model.half().eval()


def tokenizer():
    return T5Tokenizer.from_pretrained(here / "t5-tokenizer")


def latte():
    shape = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "in_channels": 4, "out_channels": 8, "patch_size": 2}
    shape |= {"sample_size": 8, "caption_channels": 16, "cross_attention_dim": 16, "norm_type": "ada_norm_single", "video_length": 4}
    shape |= {"attention_bias": True, "activation_fn": "gelu-approximate", "norm_elementwise_affine": False, "norm_eps": 1e-6}
    LattePipeline(
        tokenizer=tokenizer(),
        text_encoder=T5EncoderModel.from_pretrained(pixart / "text_encoder"),
        vae=AutoencoderKL.from_pretrained(pixart / "vae"),
        transformer=made(LatteTransformer3DModel(**shape), 1),
        scheduler=diffusers.DDIMScheduler(**linear, clip_sample=False),
    ).save_pretrained(out / "latte")


def cogvideox():
    shape = {"num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 4, "out_channels": 4, "time_embed_dim": 8, "text_embed_dim": 16}
    shape |= {"num_layers": 1, "sample_width": 6, "sample_height": 4, "sample_frames": 9, "max_text_seq_length": 12}
    rope = {"use_rotary_positional_embeddings": True}
    vae = {"block_out_channels": (4, 4, 4, 4), "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 2, "sample_height": 32, "sample_width": 48}
    for name, kind, fields, more, shift, seed in [
        ("cogvideox-2b", CogVideoXPipeline, {}, {}, 3.0, 2),
        ("cogvideox-5b", CogVideoXPipeline, rope, {"scaling_factor": 0.7}, 1.0, 3),
        ("cogvideox-1.5", CogVideoXPipeline, {**rope, "patch_size_t": 2, "sample_frames": 13}, {"scaling_factor": 0.7}, 1.0, 4),
        ("cogvideox-image", CogVideoXImageToVideoPipeline, {**rope, "in_channels": 8, "use_learned_positional_embeddings": True}, {}, 1.0, 5),
        (
            "cogvideox-1.5-image",
            CogVideoXImageToVideoPipeline,
            {**rope, "in_channels": 8, "patch_size_t": 2, "ofs_embed_dim": 8},
            {"scaling_factor": 0.7, "invert_scale_latents": True},
            1.0,
            6,
        ),
    ]:
        autoencoder = made(AutoencoderKLCogVideoX(**vae, **more), 7)
        with torch.no_grad():
            autoencoder.decoder.conv_out.conv.weight *= 0.3
        kind(
            tokenizer=tokenizer(),
            text_encoder=T5EncoderModel.from_pretrained(pixart / "text_encoder"),
            vae=autoencoder,
            transformer=made(CogVideoXTransformer3DModel(**{**shape, **fields}), seed),
            scheduler=diffusers.CogVideoXDDIMScheduler(**cog_ddim, snr_shift_scale=shift),
        ).save_pretrained(out / name)


def wan():
    text = {"vocab_size": 704, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "feed_forward_proj": "gated-gelu"}
    shape = {"num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 2, "out_channels": 2, "text_dim": 16, "freq_dim": 8, "ffn_dim": 20}
    shape |= {"num_layers": 2, "rope_max_seq_len": 32}
    vae = {"base_dim": 4, "z_dim": 2, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1, "latents_mean": [0.1, -0.2], "latents_std": [1.5, 0.7]}
    autoencoder = made(AutoencoderKLWan(**vae), 8)
    with torch.no_grad():
        autoencoder.decoder.conv_out.weight *= 0.5
    WanPipeline(
        tokenizer=tokenizer(),
        text_encoder=made(UMT5EncoderModel(UMT5Config(**text)), 9),
        vae=autoencoder,
        transformer=made(WanTransformer3DModel(**shape), 10),
        scheduler=diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    ).save_pretrained(out / "wan")


def case(name, checkpoint, scheduler=None, **options):
    return {"name": name, "checkpoint": checkpoint, **({"scheduler": scheduler} if scheduler else {}), "options": options}


prompt = "A fox (oil painting) moves left in the snow, see www.foxes.com"
small = {"width": 48, "height": 32}
dpm = "CogVideoXDPMScheduler"
cases = [
    case("latte", "latte", prompt=prompt, steps=4, seed=0, **small),
    case("latte negative", "latte", prompt="two frogs", negative="blurry, dark and long", steps=3, seed=1, **small),
    case("latte two", "latte", prompt=prompt, num=2, steps=2, seed=5, **small),
    case("latte as written", "latte", "EulerDiscreteScheduler", prompt=prompt, clean=False, guidance=1.0, steps=3, seed=2, **small),
    case("latte apart", "latte", prompt=prompt, temporal=False, frames=2, steps=3, seed=3, width=32, height=32),
    case("latte still", "latte", "DDIMScheduler", prompt=prompt, frames=1, eta=0.5, steps=3, seed=3, width=64, height=32),
    case("2b", "cogvideox-2b", prompt=prompt, steps=4, seed=0),
    case("2b longer and taller", "cogvideox-2b", prompt=prompt, negative="dark", frames=17, steps=2, seed=1, width=32, height=48),
    case("2b even", "cogvideox-2b", prompt=prompt, frames=5, steps=2, seed=1, **small),
    case("2b dpm", "cogvideox-2b", dpm, prompt=prompt, steps=5, seed=2, **small),
    case("2b dynamic", "cogvideox-2b", prompt=prompt, dynamic=True, steps=3, seed=2, **small),
    case("5b", "cogvideox-5b", dpm, prompt=prompt, steps=3, seed=3, width=64, height=32),
    case("5b tall", "cogvideox-5b", prompt=prompt, guidance=1.0, steps=3, seed=3, frames=1, width=32, height=64),
    case("1.5", "cogvideox-1.5", prompt=prompt, steps=3, seed=4, frames=9, **small),
    case("1.5 even", "cogvideox-1.5", prompt=prompt, steps=2, seed=4, **small),
    case("image", "cogvideox-image", prompt=prompt, steps=3, seed=5, image="fox", frames=9),
    case("1.5 image", "cogvideox-1.5-image", prompt=prompt, steps=3, seed=6, image="fox", frames=9, **small),
    case("wan", "wan", prompt=prompt, steps=5, seed=0, frames=9, **small),
    case("wan euler", "wan", "FlowMatchEulerDiscreteScheduler", prompt="  two &amp;amp;  frogs ", negative="dark", steps=3, seed=1, frames=5, width=32, height=48),
    case("wan two", "wan", prompt=prompt, num=2, guidance=1.0, steps=2, seed=3, frames=1, maxLength=16, **small),
]
names = {
    "negative": "negative_prompt",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "clean": "clean_caption",
    "temporal": "enable_temporal_attentions",
    "dynamic": "use_dynamic_cfg",
    "maxLength": "max_sequence_length",
    "frames": "num_frames",
    "num": "num_videos_per_prompt",
}


def films(one, nudge=0.0):
    path = out / one["checkpoint"]
    kind = getattr(diffusers, json.loads((path / "model_index.json").read_text())["_class_name"])
    pipe = kind.from_pretrained(path, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if nudge:
        generator = torch.Generator().manual_seed(11)
        for part in (pipe.transformer, pipe.vae, pipe.text_encoder):
            for p in part.parameters():
                p.data *= 1 + nudge * torch.randn(p.shape, generator=generator)
    if scheduler := one.get("scheduler"):
        pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
    options = dict(one["options"])
    seed, number = options.pop("seed"), options.get("num", 1)
    if "image" in options:
        options["image"] = Image.fromarray(load_file(out / "fox.safetensors")["picture"].numpy())
    options = {names.get(key, key): value for key, value in options.items()}
    if kind is LattePipeline:
        options = {{"num_frames": "video_length", "num_videos_per_prompt": "num_images_per_prompt"}.get(key, key): v for key, v in options.items()}
        options.setdefault("video_length", 4)
    elif kind is not WanPipeline:
        options["max_sequence_length"] = 12
    generator = [torch.Generator().manual_seed(seed + k) for k in range(number)]
    frames = pipe(**options, generator=generator if number > 1 else generator[0], output_type="np").frames
    return np.stack([np.asarray(film) for film in frames])


def main():
    shutil.rmtree(out, ignore_errors=True)
    latte()
    cogvideox()
    wan()
    y, x = np.mgrid[0:32, 0:48]
    fox = np.stack([x * 5, y * 7, (x + y) * 3 % 256], -1).astype("uint8")
    save_file({"picture": torch.from_numpy(fox)}, out / "fox.safetensors")
    found = {}
    for one in cases:
        floats = films(one)
        moved = np.abs(films(one, 1e-6) - floats).max() * 255
        levels = (floats * 255).round().astype("uint8")
        one["expected"] = [f"{one['name']}.{i}" for i in range(len(levels))]
        inside = np.mean((levels > 0) & (levels < 255))
        print(f"{one['name']}: {levels.shape} mean {levels.mean():.0f} std {levels.std():.0f} inside {inside:.2f} rounding {moved:.3f}")
        assert moved < 0.3 and inside > 0.4 and levels.std() > 8, one["name"]
        for name, film in zip(one["expected"], levels):
            # Every second row and column.
            found[name] = torch.from_numpy(film[:, ::2, ::2].copy())
    versions = {m.__name__: m.__version__ for m in (diffusers, transformers, torch)}
    save_file(found, out / "frames.safetensors", {"versions": json.dumps(versions)})
    (out / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}, indent=1))
    for path in out.iterdir():
        if not path.is_dir():
            continue
        shutil.rmtree(path / "tokenizer")
        if path.name != "wan":
            shutil.rmtree(path / "text_encoder")
        if path.name == "latte":
            shutil.rmtree(path / "vae")
        elif path.name not in ("wan", "cogvideox-2b"):
            # The same weights in all.
            (path / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    sizes = {p.name: sum(f.stat().st_size for f in [p, *p.rglob("*")] if f.is_file()) for p in out.iterdir()}
    print(sizes, sum(sizes.values()))


if __name__ == "__main__":
    main()
