"""Small checkpoints of DeepFloyd IF in diffusers' layout, and diffusers' pictures of them: fixtures/deepfloyd-if/.

`one` is a first stage, `two` a second one with a watermark. Their T5 is that of fixtures/transformers/pixart-sigma, which the tests put
beside. `cases.json` lists the pictures of `pictures.safetensors` (uint8 [H, W, 3]), the options that made them, and the pictures given.
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
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.pipelines.deepfloyd_if import IFWatermarker
from networks import set_weights
from PIL import Image
from quiet import quiet
from safetensors.torch import save_file
from transformers import T5EncoderModel, T5Tokenizer

quiet()
here = Path(__file__).parent / "fixtures"
out = here / "deepfloyd-if"
texts = here / "transformers" / "pixart-sigma"

shared = {
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "encoder_hid_dim": 16,
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 2,
    "act_fn": "gelu",
    "attention_head_dim": 8,
    "cross_attention_norm": "group_norm",
    "resnet_time_scale_shift": "scale_shift",
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "mid_block_scale_factor": 1.4142135,
    "out_channels": 6,
    "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
    "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"],
}
first = {**shared, "sample_size": 16, "block_out_channels": [8, 16]}
second = {
    **shared,
    "sample_size": 32,
    "in_channels": 6,
    "block_out_channels": [4, 8],
    "norm_num_groups": 2,
    "class_embed_type": "timestep",
    "only_cross_attention": [True, False],
    "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 1.4142135,
}
# As published.
scheduler = {
    "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": True,
    "dynamic_thresholding_ratio": 0.95,
    "sample_max_value": 1.5,
    "thresholding": True,
    "variance_type": "learned_range",
}


def save():
    shutil.rmtree(out, ignore_errors=True)
    tokenizer = T5Tokenizer.from_pretrained(here / "t5-tokenizer")
    text = T5EncoderModel.from_pretrained(texts / "text_encoder")
    parts = {"tokenizer": tokenizer, "text_encoder": text, "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    mark = IFWatermarker()
    square = torch.arange(62)
    mark.half()
    mark.watermark_image[:, :, 0] = 255
    mark.watermark_image[:, :, 1] = 4.0 * square
    mark.watermark_image[:, :, 3] = 4.0 * square[:, None]
    for name, config, kind, seed, more in [
        ("one", {"in_channels": 3, **first}, diffusers.IFPipeline, 1, {"watermarker": None}),
        ("two", second, diffusers.IFSuperResolutionPipeline, 2, {"watermarker": mark, "image_noising_scheduler": DDPMScheduler(beta_schedule="squaredcos_cap_v2")}),
    ]:
        unet = UNet2DConditionModel(**config)
        set_weights(unet, seed)
        with torch.no_grad():
            unet.conv_out.weight *= 0.12
        kind(unet=unet.half().eval(), scheduler=DDPMScheduler(**scheduler), **parts, **more).save_pretrained(out / name)
        for part in ("text_encoder", "tokenizer"):
            shutil.rmtree(out / name / part)


def given(name):
    """Smooth pictures of 8 bits, which need no file."""
    w, h, phase = {"wide": (40, 28, 0.0), "small": (16, 16, 1.0), "odd": (13, 11, 2.0), "mask": (40, 28, 0.5)}[name]
    y, x = np.mgrid[0:h, 0:w].astype("float64")
    planes = [np.sin(x / 5 + phase + c) * np.cos(y / 4 - c) * 120 + 127 for c in range(3)]
    if name == "mask":
        disc = (((x - 22) / 12) ** 2 + ((y - 14) / 9) ** 2) < 1
        planes = [disc * 255.0] * 3
    return np.stack(planes, 2).round().clip(0, 255).astype("uint8")


def case(name, checkpoint, kind, scheduler=None, **options):
    return {"name": name, "checkpoint": checkpoint, "class": kind, **({"scheduler": scheduler} if scheduler else {}), "options": options}


plain, img, inp = "IFPipeline", "IFImg2ImgPipeline", "IFInpaintingPipeline"
sr, img_sr, inp_sr = "IFSuperResolutionPipeline", "IFImg2ImgSuperResolutionPipeline", "IFInpaintingSuperResolutionPipeline"
prompt = "A photo of a Fox (oil painting) in the snow, see www.foxes.com #123"
fixed = {"_class_name": "DPMSolverMultistepScheduler", "variance_type": "fixed_small", "algorithm_type": "dpmsolver++"}
cases = [
    case("base", "one", plain, prompt=prompt, steps=6, seed=0),
    case("base negative", "one", plain, prompt=prompt, negative="blurry, dark", guidance=3.5, steps=5, seed=1, clean=False),
    case("base two", "one", plain, prompt="two frogs", num=2, steps=4, seed=5, width=24, height=16),
    case("base unguided", "one", plain, prompt="two frogs", guidance=1.0, steps=6, seed=2),
    case("base timesteps", "one", plain, prompt="two frogs", timesteps=[999, 800, 600, 400, 250, 120, 40], seed=2),
    case("base fixed", "one", plain, {"_class_name": "DDPMScheduler", "variance_type": "fixed_large"}, prompt="two frogs", steps=5, seed=3),
    case("base dpm", "one", plain, fixed, prompt="two frogs", steps=6, seed=3),
    case("base learned dpm", "one", plain, {"_class_name": "DPMSolverMultistepScheduler"}, prompt="two frogs", steps=6, seed=3),
    case("base ddim", "one", plain, {"_class_name": "DDIMScheduler", "variance_type": "fixed_small"}, prompt="a fox", guidance=3.0, steps=6, eta=0.5, seed=4),
    case("base euler", "one", plain, {"_class_name": "EulerDiscreteScheduler", "variance_type": "fixed_small"}, prompt="a fox", guidance=3.0, steps=5, seed=4),
    case("base heun", "one", plain, {"_class_name": "HeunDiscreteScheduler", "variance_type": "fixed_small"}, prompt="a fox", guidance=3.0, steps=4, seed=4),
    case("picture", "one", img, prompt=prompt, image="wide", steps=8, seed=0),
    case("picture two", "one", img, prompt=prompt, image="small", strength=0.4, guidance=5.0, num=2, steps=8, seed=3),
    case("picture timesteps", "one", img, prompt="a fox", guidance=2.0, image="odd", strength=0.6, timesteps=[999, 700, 500, 300, 100], seed=3),
    case("picture heun", "one", img, {"_class_name": "HeunDiscreteScheduler", "variance_type": "fixed_small"}, prompt="a fox", guidance=2.0, image="odd", strength=0.6, steps=5, seed=3),
    case("paint", "one", inp, prompt=prompt, image="wide", mask="mask", steps=5, seed=0),
    case("paint weak", "one", inp, prompt="a hat", negative="red", image="wide", mask="mask", strength=0.5, num=2, steps=8, seed=1),
    case("paint euler", "one", inp, {"_class_name": "EulerDiscreteScheduler", "variance_type": "fixed_small"}, prompt="a hat", image="wide", mask="mask", steps=5, seed=1),
    case("enlarged", "two", sr, prompt=prompt, image="small", steps=6, seed=0),
    case("enlarged plain", "two", sr, prompt="two frogs", negative="dark", image="odd", guidance=1.0, noiseLevel=0, width=24, height=40, steps=5, seed=1, watermark=False),
    case("enlarged two", "two", sr, prompt="two frogs", image="small", noiseLevel=700, num=2, steps=4, guidance=6.0, seed=2),
    case("enlarged ddim", "two", sr, {"_class_name": "DDIMScheduler", "variance_type": "fixed_small"}, prompt="a fox", guidance=2.0, image="small", steps=5, seed=4),
    case("enlarged euler", "two", sr, {"_class_name": "EulerDiscreteScheduler", "variance_type": "fixed_small"}, prompt="a fox", guidance=2.0, image="small", steps=5, seed=4),
    case("enlarged timesteps", "two", sr, prompt="two frogs", image="small", timesteps=[950, 600, 300, 100], seed=2),
    case("enlarged picture", "two", img_sr, prompt=prompt, image="small", original="wide", steps=6, seed=0),
    case("enlarged picture weak", "two", img_sr, prompt="a hat", image="odd", original="odd", strength=0.5, noiseLevel=100, num=2, steps=6, seed=0),
    case("enlarged paint", "two", inp_sr, prompt=prompt, image="small", original="wide", mask="mask", steps=6, seed=0),
    case("enlarged paint weak", "two", inp_sr, prompt="a hat", image="small", original="wide", mask="mask", strength=0.6, noiseLevel=300, guidance=2.0, steps=6, seed=7),
]
names = {
    "negative": "negative_prompt",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "num": "num_images_per_prompt",
    "clean": "clean_caption",
    "original": "original_image",
    "mask": "mask_image",
    "noiseLevel": "noise_level",
}


def opened(checkpoint, kind, scheduler=None, nudge=0.0):
    pipe = getattr(diffusers, kind).from_pretrained(
        out / checkpoint,
        torch_dtype=torch.float32,
        safety_checker=None,
        feature_extractor=None,
        tokenizer=T5Tokenizer.from_pretrained(here / "t5-tokenizer"),
        text_encoder=T5EncoderModel.from_pretrained(texts / "text_encoder", torch_dtype=torch.float32),
    )
    pipe.set_progress_bar_config(disable=True)
    if nudge:
        generator = torch.Generator().manual_seed(11)
        for part in (pipe.unet, pipe.text_encoder):
            for p in part.parameters():
                p.data *= 1 + nudge * torch.randn(p.shape, generator=generator)
    if scheduler:
        fields = dict(scheduler)
        pipe.scheduler = getattr(diffusers, fields.pop("_class_name")).from_config(pipe.scheduler.config, **fields)
        # Of classes that do not know the option, the pipelines read it all the same.
        if "variance_type" in fields:
            pipe.scheduler.register_to_config(variance_type=fields["variance_type"])
    return pipe


def pictures(one, nudge=0.0):
    scheduler = one.get("scheduler")
    kind = one["class"]
    pipe = opened(one["checkpoint"], kind, scheduler, nudge)
    if scheduler == {"_class_name": "DPMSolverMultistepScheduler"}:
        assert pipe.scheduler.config.variance_type == "learned_range"
    options = dict(one["options"])
    if not options.pop("watermark", True):
        pipe.watermarker = None
    for key in ("image", "original", "mask"):
        if key in options:
            options[key] = Image.fromarray(given(options[key]))
    seed, number = options.pop("seed"), options.get("num", 1)
    generator = [torch.Generator().manual_seed(seed + k) for k in range(number)]
    options = {names.get(key, key): value for key, value in options.items()}
    run = {**options, "generator": generator if number > 1 else generator[0]}
    if nudge:
        return pipe(**run, output_type="np").images
    generator = [torch.Generator().manual_seed(seed + k) for k in range(number)]
    floats = pipe(**run, output_type="np").images
    run["generator"] = generator if number > 1 else generator[0]
    return floats, np.stack([np.array(i) for i in pipe(**run).images])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def chain(nudge=0.0):
    """As in diffusers' guide floats go on unrounded, and the last stage is the x4 upscaler; here each stage begins with the seed."""
    two = {"prompt": "two frogs", "num_inference_steps": 5, "guidance_scale": 3.0}
    small = opened("one", plain, nudge=nudge)(**two, generator=seeded(3), output_type="pt").images
    middle = {**two, "image": small, "num_inference_steps": 4, "noise_level": 100}
    pipe = opened("two", sr, nudge=nudge)
    found = [pipe(**middle, generator=seeded(3), output_type=kind).images for kind in ("pil", "pt")]
    last = diffusers.StableDiffusionUpscalePipeline.from_pretrained(here / "stable-diffusion" / "upscaler", torch_dtype=torch.float32)
    last.set_progress_bar_config(disable=True)
    options = {"prompt": "two frogs", "image": found[1], "num_inference_steps": 3, "noise_level": 50, "guidance_scale": 2.0}
    large = [last(**options, generator=seeded(3), output_type=kind).images for kind in ("np", "pil")]
    return np.array(found[0][0]), large[0], np.array(large[1][0])


def picture_chain():
    """From a picture: later stages see it too."""
    image = Image.fromarray(given("wide"))
    two = {"prompt": "a hat", "guidance_scale": 3.0}
    small = opened("one", img)(**two, image=image, strength=0.5, num_inference_steps=6, generator=seeded(4), output_type="pt").images
    made = opened("two", img_sr)(**two, image=small, original_image=image, num_inference_steps=5, generator=seeded(4)).images[0]
    return np.array(made)


def main():
    save()
    found = {f"given {name}": torch.from_numpy(given(name)) for name in ("wide", "small", "odd", "mask")}
    for one in cases:
        floats, levels = pictures(one)
        moved = np.abs(pictures(one, 1e-6) - floats).max() * 255
        one["expected"] = [f"{one['name']}.{i}" for i in range(len(levels))]
        inside = np.mean((floats > 0) & (floats < 1))
        print(f"{one['name']}: {levels.shape} mean {levels.mean():.0f} std {levels.std():.0f} inside {inside:.2f} rounding {moved:.3f}")
        assert moved < 0.3 and inside > 0.1 and levels.std() > 8, one["name"]
        for name, picture in zip(one["expected"], levels):
            found[name] = torch.from_numpy(picture.copy())
    # What is said has to show.
    for name, change in [("base", {"prompt": "two frogs"}), ("base", {"clean": False}), ("base negative", {"negative": "a"}), ("enlarged", {"noiseLevel": 0}), ("enlarged", {"watermark": False}), ("enlarged", {"guidance": 1.0})]:
        one = next(c for c in cases if c["name"] == name)
        other = pictures({**one, "options": {**one["options"], **change}})[1][0]
        far = np.abs(other.astype(float) - found[one["expected"][0]].numpy()).max()
        print(name, change, far)
        assert far > 3, (name, change)
    middle, floats, last = chain()
    moved = np.abs(chain(1e-6)[1] - floats).max() * 255
    print("chain", middle.shape, middle.std(), last.shape, last.std(), moved)
    assert moved < 0.3
    found |= {"chain two": torch.from_numpy(middle), "chain three": torch.from_numpy(last[::2, ::2].copy())}
    found["chain picture"] = torch.from_numpy(picture_chain())
    versions = {m.__name__: m.__version__ for m in (diffusers, transformers, torch, bs4, ftfy)}
    save_file(found, out / "pictures.safetensors", {"versions": json.dumps(versions)})
    (out / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}, indent=1))
    sizes = {p.name: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in (out, *out.iterdir())}
    print(sizes)


if __name__ == "__main__":
    main()
