"""diffusers' pictures of a small latent upscaler: fixtures/latent-upscale/, for src/pipelines/latent-upscale.

Text encoder, tokenizer and autoencoder are those of fixtures/stable-diffusion/sd1; the tests draw the U-Net's weights again.
"""

import json
import shutil
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import EulerDiscreteScheduler, StableDiffusionLatentUpscalePipeline, StableDiffusionPipeline, UNet2DConditionModel
from networks import SEED, set_weights
from PIL import Image
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()
diffusers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
here = Path(__file__).parent / "fixtures"
out = here / "latent-upscale"
config = {
    "sample_size": 16,
    "in_channels": 8,
    "out_channels": 5,
    "act_fn": "gelu",
    "attention_head_dim": 16,
    "block_out_channels": [32, 64, 64],
    "conv_in_kernel": 1,
    "conv_out_kernel": 1,
    "cross_attention_dim": 16,
    "down_block_types": ["KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D"],
    "up_block_types": ["KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"],
    "layers_per_block": 1,
    "mid_block_type": None,
    "norm_num_groups": None,
    "resnet_time_scale_shift": "scale_shift",
    "time_cond_proj_dim": 128 + 16,
    "time_embedding_type": "fourier",
    "timestep_post_act": "gelu",
}
betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def given(w, h):
    y, x = np.mgrid[0:h, 0:w].astype("float64")
    return np.stack([np.sin(x / 4 + c) * np.cos(y / 3 - c) * 120 + 127 for c in range(3)], 2).round().astype("uint8")


def case(name, image, **options):
    return {"name": name, "image": image, "options": options}


cases = [
    case("plain", "square", prompt="a photo of a cat", steps=5, seed=0),
    case("negative", "square", prompt="a photo of a cat", negative="blurry", guidance=3.0, steps=4, seed=1),
    case("unguided", "odd", prompt="a photo of a cat", guidance=1.0, steps=4, seed=2),
    case("no prompt", "odd", prompt="a photo of a cat", guidance=0.0, steps=6, seed=3),
    case("heun", "square", prompt="a cat", guidance=2.0, steps=3, seed=4, scheduler="HeunDiscreteScheduler"),
]
names = {"negative": "negative_prompt", "steps": "num_inference_steps", "guidance": "guidance_scale"}
pictures = {"square": given(16, 16), "odd": given(21, 25)}


def run(pipe, options, image):
    options = dict(options)
    options.pop("scheduler", None)
    generator = torch.Generator().manual_seed(options.pop("seed"))
    options = {names.get(key, key): value for key, value in options.items()}
    return pipe(**options, image=image, generator=generator, output_type="np").images[0]


def main():
    shutil.rmtree(out, ignore_errors=True)
    base = StableDiffusionPipeline.from_pretrained(here / "stable-diffusion" / "sd1", torch_dtype=torch.float32, safety_checker=None)
    unet = UNet2DConditionModel(**config)
    set_weights(unet, SEED)
    with torch.no_grad():
        unet.conv_out.weight *= 0.1
    scheduler = EulerDiscreteScheduler(**betas, prediction_type="original_sample")
    parts = {"vae": base.vae, "text_encoder": base.text_encoder, "tokenizer": base.tokenizer}
    pipe = StableDiffusionLatentUpscalePipeline(unet=unet.eval(), scheduler=scheduler, **parts)
    pipe.set_progress_bar_config(disable=True)
    base.set_progress_bar_config(disable=True)
    pipe.save_pretrained(out / "x2")
    for part in ("vae", "text_encoder", "tokenizer"):
        shutil.rmtree(out / "x2" / part)
    (out / "x2" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    found = {f"given {name}": torch.from_numpy(picture) for name, picture in pictures.items()}
    first = {}
    for one in cases:
        name = one["options"].get("scheduler", "EulerDiscreteScheduler")
        fields = {"prediction_type": "sample"} if name != "EulerDiscreteScheduler" else {}
        pipe.scheduler = getattr(diffusers, name)(**{**betas, "prediction_type": "original_sample", **fields})
        floats = run(pipe, one["options"], Image.fromarray(pictures[one["image"]]))
        levels = (floats * 255).round().astype("uint8")
        print(one["name"], levels.shape, levels.std(), np.mean((floats > 0) & (floats < 1)))
        assert levels.std() > 8
        first[one["name"]] = levels
        found[one["name"]] = torch.from_numpy(levels)
    # What a text-to-image model hands over as latents.
    pipe.scheduler = scheduler
    latents = base("a fox", num_inference_steps=3, generator=torch.Generator().manual_seed(5), width=24, height=16, output_type="latent").images
    floats = run(pipe, {"prompt": "a fox", "steps": 3, "guidance": 2.0, "seed": 5}, latents)
    found["chain"] = torch.from_numpy((floats * 255).round().astype("uint8"))
    print("chain", found["chain"].shape)
    versions = {m.__name__: m.__version__ for m in (diffusers, transformers, torch)}
    found = {key: value.contiguous() for key, value in found.items()}
    save_file(found, out / "pictures.safetensors", {"versions": json.dumps(versions), "seed": str(SEED)})
    (out / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
