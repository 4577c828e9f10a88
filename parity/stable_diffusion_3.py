"""Small checkpoints of Stable Diffusion 3 and diffusers' pictures of them, as fixtures for src/pipelines/stable-diffusion-3.

    python parity/stable_diffusion_3.py                  writes parity/fixtures/stable-diffusion-3/
    python parity/stable_diffusion_3.py --pictures       the pictures again, the checkpoints as they are

Folders as `save_pretrained` writes them, fp16 with random weights. `cases.json` lists the pictures: the checkpoint, the options of the
call, the input pictures (those of fixtures/stable-diffusion/inputs), and the expected ones in `pictures.safetensors` (uint8 [H, W, 3]).

Where diffusers and the pictures here differ on purpose:
- its in-painting decodes without the shift factor; these are decoded with it, as everywhere else;
- its ControlNets' latents come from the global generator, which is seeded here with the run's seed.
"""

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3ControlNetModel, SD3Transformer2DModel
from networks import set_weights
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from quiet import quiet
from safetensors.torch import save_file
from tiny_checkpoints import Builder, Size
from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

quiet()

fixtures = Path(__file__).parent / "fixtures"
folder = fixtures / "stable-diffusion-3"
inputs = fixtures / "stable-diffusion" / "inputs"
CLIP_L, CLIP_G, JOINT, LATENTS, SIDE = 8, 16, 32, 16, 12
b = Builder(folder, Size(merges=60, text_layers=3))
# What the other checkpoints share with the first lies there alone.
SHARED = ("scheduler", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")


def weighted(model, salt):
    """Random weights; tables of positions stay as they are."""
    table = model.pos_embed.pos_embed.clone() if getattr(getattr(model, "pos_embed", None), "pos_embed", None) is not None else None
    set_weights(model, b.size.seed + salt)
    if table is not None:
        model.pos_embed.pos_embed.copy_(table)
    return model.half().eval()


shape = {"num_attention_heads": 2, "attention_head_dim": 6, "patch_size": 2, "sample_size": SIDE, "in_channels": LATENTS, "out_channels": LATENTS}
shape |= {"caption_projection_dim": 12, "pooled_projection_dim": CLIP_L + CLIP_G, "pos_embed_max_size": 14}


def transformer(salt, **fields):
    return weighted(SD3Transformer2DModel(**{**shape, "num_layers": 3, "joint_attention_dim": JOINT, **fields}), salt)


def controlnet(name, salt, **fields):
    model = weighted(SD3ControlNetModel(**{**shape, "joint_attention_dim": JOINT, **fields}), salt)
    with torch.no_grad():
        for block in model.controlnet_blocks:
            block.weight *= 0.5
    model.save_pretrained(folder / name)


def autoencoder():
    config = {"block_out_channels": (4, 8), "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
    config |= {"layers_per_block": 1, "norm_num_groups": 2, "sample_size": 2 * SIDE, "latent_channels": LATENTS}
    config |= {"use_quant_conv": False, "use_post_quant_conv": False, "scaling_factor": 1.5305, "shift_factor": 0.0609}
    model = weighted(AutoencoderKL(**config), 20)
    with torch.no_grad():
        # Pictures of middling contrast; encoded pictures about as spread as the factor presumes, their samples not far from the mean.
        model.decoder.conv_out.weight *= 0.4
        model.encoder.conv_out.weight[:LATENTS] *= 0.5
        model.encoder.conv_out.weight[LATENTS:] *= 0.3
        model.encoder.conv_out.bias[LATENTS:] -= 3
    return model


def t5(tokenizer):
    config = T5Config(vocab_size=len(tokenizer), d_model=JOINT, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu")
    return b.made(T5EncoderModel(config), 17)


def build():
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer, tokenizer_2 = b.tokenizer("<|endoftext|>"), b.tokenizer("!")
    tokenizer_3 = T5Tokenizer.from_pretrained(fixtures / "t5-tokenizer")
    parts = {
        "vae": autoencoder(),
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer_2,
        "text_encoder": b.text(tokenizer, CLIP_L, CLIPTextModelWithProjection, eos_token_id=2),
        "text_encoder_2": b.text(tokenizer_2, CLIP_G, CLIPTextModelWithProjection, salt=2, hidden_act="gelu", eos_token_id=2),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
    }
    every = {**parts, "text_encoder_3": t5(tokenizer_3), "tokenizer_3": tokenizer_3}
    without = {**parts, "text_encoder_3": None, "tokenizer_3": None}
    medium = transformer(30)
    path = b.save("sd3", "StableDiffusion3Pipeline", {**every, "transformer": medium})
    # One of a tokenizer's two forms is enough, and the smaller.
    shutil.copy(fixtures / "t5-tokenizer" / "spiece.model", path / "tokenizer_3")
    for part in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        (path / part / "tokenizer.json").unlink(missing_ok=True)
    newer = transformer(31, qk_norm="rms_norm", dual_attention_layers=(0, 1))
    b.save("sd35", "StableDiffusion3Pipeline", {**without, "transformer": newer})
    painting = transformer(32, in_channels=2 * LATENTS + 1, num_layers=1)
    b.save("sd3-inpaint", "StableDiffusion3InpaintPipeline", {**without, "transformer": painting})
    controlnet("controlnet", 40, num_layers=2)
    controlnet("controlnet-inpaint", 42, num_layers=1, extra_conditioning_channels=1)
    large = {"joint_attention_dim": None, "use_pos_embed": False, "force_zeros_for_pooled_projection": False}
    controlnet("controlnet-8b", 43, num_layers=2, caption_projection_dim=2048, **large)
    for name in ("sd35", "sd3-inpaint"):
        for part in SHARED:
            shutil.rmtree(folder / name / part)
    lora(medium)


def whole(checkpoint):
    """A checkpoint's folder with what lies in the first one's."""
    if checkpoint == "sd3":
        return folder / checkpoint
    path = Path(tempfile.mkdtemp()) / checkpoint
    shutil.copytree(folder / checkpoint, path)
    for part in SHARED:
        shutil.copytree(folder / "sd3" / part, path / part)
    return path


def lora(model):
    model.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "add_v_proj", "to_out.0", "proj", "norm1.linear"]))
    generator = torch.Generator().manual_seed(b.size.seed + 80)
    state = {}
    for key, value in sorted(get_peft_model_state_dict(model).items()):
        state[key] = (torch.randn(value.shape, generator=generator) / math.sqrt(value[0].numel())).half()
    diffusers.StableDiffusion3Pipeline.save_lora_weights(folder / "loras", transformer_lora_layers=state, weight_name="diffusers.safetensors")


CAT = "a photo of a cat sitting on a wooden table, soft morning light"
FOX = "the quick brown fox doesn't jump; it's sleeping under the apple tree"
BAD = "blurry, low quality"
DYNAMIC = ["FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True, "base_shift": 0.4, "max_shift": 1.3}]
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
cases = []


def case(name, checkpoint, pipeline="", given=None, **fields):
    kept = {key: fields.pop(key) for key in ("scheduler", "controls", "loras") if key in fields}
    options = {"prompt": CAT, "steps": 4, "seed": 3, **fields}
    cases.append({"name": name, "checkpoint": checkpoint, "pipeline": f"StableDiffusion3{pipeline}Pipeline", "options": options, "inputs": given or {}, **kept})


for checkpoint in ("sd3", "sd35"):
    case(f"{checkpoint} plain", checkpoint)
    case(f"{checkpoint} negative", checkpoint, negative=BAD, guidance=4.5, seed=11)
    case(f"{checkpoint} every prompt", checkpoint, prompt2=FOX, prompt3="two frogs", negative=BAD, negative2="dark", negative3="noise")
    case(f"{checkpoint} short", checkpoint, maxLength=12, prompt=f"{FOX}, {CAT}")
    case(f"{checkpoint} skip", checkpoint, skipLayers=[1], steps=11, guidance=5.0)
case("long", "sd3", prompt=", ".join([CAT, FOX] * 8), maxLength=300, negative=", ".join([FOX] * 9))
case("unguided", "sd3", guidance=1.0)
case("clip skip", "sd3", clipSkip=1, negative=BAD)
case("several", "sd35", num=2, negative=BAD)
case("wide", "sd3", width=32, height=12)
case("skip more", "sd35", skipLayers=[0, 2], skipScale=1.5, skipStart=0.1, skipStop=0.7, steps=6)
case("dynamic", "sd3", scheduler=DYNAMIC, width=32)
case("dynamic mu", "sd35", scheduler=DYNAMIC, mu=0.9)
case("heun", "sd35", scheduler=["FlowMatchHeunDiscreteScheduler", {}])
case("dpm", "sd35", scheduler=["DPMSolverMultistepScheduler", FLOW], steps=6)
case("lora", "sd3", loras=[["diffusers.safetensors", 0.8]])
case("image", "sd3", "Img2Img", {"image": "picture"}, steps=6)
case("image little", "sd35", "Img2Img", {"image": "wide"}, steps=10, strength=0.33, width=32, negative=BAD)
case("image whole", "sd35", "Img2Img", {"image": "small"}, strength=1.0)
case("image several", "sd35", "Img2Img", {"image": "odd"}, num=2, strength=0.8)
case("image dynamic", "sd35", "Img2Img", {"image": "picture"}, scheduler=DYNAMIC, strength=0.7)
case("paint", "sd3", "Inpaint", {"image": "picture", "mask": "mask"}, steps=6)
case("paint whole", "sd35", "Inpaint", {"image": "picture", "mask": "soft-mask"}, strength=1.0)
case("paint several", "sd35", "Inpaint", {"image": "wide", "mask": "corner-mask"}, num=2, strength=0.9, width=32)
case("paint crop", "sd35", "Inpaint", {"image": "picture", "mask": "mask"}, maskPadding=4, strength=0.8)
case("paint seen", "sd3-inpaint", "Inpaint", {"image": "picture", "mask": "mask"}, strength=0.75)
case("paint seen whole", "sd3-inpaint", "Inpaint", {"image": "picture", "mask": "mask"}, strength=1.0, num=2)
control = lambda net, picture, **fields: {"net": net, "picture": picture, **fields}  # noqa: E731
case("control", "sd3", "ControlNet", controls=[control("controlnet", "edges")])
case("control unguided", "sd3", "ControlNet", controls=[control("controlnet", "wide", scale=0.6, start=0.2, end=0.8)], guidance=1.0, steps=6)
case("control 8b", "sd35", "ControlNet", controls=[control("controlnet-8b", "edges", scale=0.8)], negative=BAD)
case("control two", "sd35", "ControlNet", controls=[control("controlnet", "edges", scale=0.5), control("controlnet", "picture", scale=0.7, end=0.5)])
case("control several", "sd35", "ControlNet", controls=[control("controlnet", "edges")], num=2, width=32)
case("control paint", "sd3", "ControlNetInpainting", {"mask": "mask"}, controls=[control("controlnet-inpaint", "picture", scale=0.9)])
case("control paint several", "sd35", "ControlNetInpainting", {"mask": "soft-mask"}, controls=[control("controlnet-inpaint", "picture")], num=2)

names = {
    "negative": "negative_prompt",
    "prompt2": "prompt_2",
    "prompt3": "prompt_3",
    "negative2": "negative_prompt_2",
    "negative3": "negative_prompt_3",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "num": "num_images_per_prompt",
    "clipSkip": "clip_skip",
    "maxLength": "max_sequence_length",
    "maskPadding": "padding_mask_crop",
    "skipLayers": "skip_guidance_layers",
    "skipScale": "skip_layer_guidance_scale",
    "skipStart": "skip_layer_guidance_start",
    "skipStop": "skip_layer_guidance_stop",
}


def load(one):
    extra = {"text_encoder_3": None, "tokenizer_3": None} if not (folder / one["checkpoint"] / "text_encoder_3").exists() else {}
    if controls := one.get("controls"):
        nets = [SD3ControlNetModel.from_pretrained(folder / each["net"], torch_dtype=torch.float32) for each in controls]
        extra["controlnet"] = nets if len(nets) > 1 else nets[0]
    pipe = getattr(diffusers, one["pipeline"]).from_pretrained(whole(one["checkpoint"]), torch_dtype=torch.float32, **extra)
    pipe.set_progress_bar_config(disable=True)
    if wanted := one.get("scheduler"):
        kind, changes = wanted
        pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **changes)
        one["schedulerConfig"] = {"_class_name": kind, **{k: v for k, v in pipe.scheduler.config.items() if not k.startswith("_")}}
    for i, (file, _) in enumerate(one.get("loras", [])):
        pipe.load_lora_weights(folder / "loras", weight_name=file, adapter_name=f"lora{i}")
    if loras := one.get("loras"):
        pipe.set_adapters([f"lora{i}" for i in range(len(loras))], [weight for _, weight in loras])
    if "Inpaint" in one["pipeline"] and "Control" not in one["pipeline"]:
        decode = pipe.vae.decode
        pipe.vae.decode = lambda z, **options: decode(z + pipe.vae.config.shift_factor, **options)
    return pipe


def call(pipe, one):
    """→ float pictures [N, H, W, 3] in [0, 1]."""
    options = {names.get(key, key): value for key, value in one["options"].items()}
    seed, count = options.pop("seed"), options.get("num_images_per_prompt", 1)
    generator = [torch.Generator().manual_seed(seed + i) for i in range(count)] if count > 1 else torch.Generator().manual_seed(seed)
    picture = lambda name: Image.open(inputs / f"{name}.png")  # noqa: E731
    given = {key: picture(value) for key, value in one["inputs"].items()}
    if "mask" in given:
        given["control_mask" if "Control" in one["pipeline"] else "mask_image"] = given.pop("mask")
    if "Img2Img" in one["pipeline"] and count > 1:
        # A list of generators takes as many pictures.
        given["image"] = [given["image"]] * count
    if controls := one.get("controls"):
        listed = {
            "control_image": [picture(each["picture"]) for each in controls],
            "controlnet_conditioning_scale": [each.get("scale", 1.0) for each in controls],
            "control_guidance_start": [each.get("start", 0.0) for each in controls],
            "control_guidance_end": [each.get("end", 1.0) for each in controls],
        }
        given |= listed if len(controls) > 1 else {key: value[0] for key, value in listed.items()}
    torch.manual_seed(seed)
    if "padding_mask_crop" in options:
        made = pipe(**options, **given, generator=generator).images
        return np.stack([np.asarray(image, dtype=np.float32) / 255 for image in made])
    return pipe(**options, **given, generator=generator, output_type="np").images


def shaken(pipe):
    """A relative change of 10⁻⁶ of every weight of the networks."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name in ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3", "controlnet"):
            model = getattr(pipe, name, None)
            for value in model.parameters() if model is not None else ():
                value.mul_(1 + 1e-6 * torch.randn(value.shape, generator=generator))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", action="store_true")
    if not parser.parse_args().pictures:
        build()
    expected, floats = {}, {}
    for one in cases:
        pipe = load(one)
        made = call(pipe, one)
        one["expected"] = [f"{one['name']} {i}" for i in range(len(made))]
        expected |= {name: torch.from_numpy((image * 255).round().astype("uint8")).contiguous() for name, image in zip(one["expected"], made)}
        floats[one["name"]] = made
        shaken(pipe)
        moved = np.abs(call(pipe, one) - made).max() * 255
        assert moved < (1.01 if "maskPadding" in one["options"] else 0.3), f"{one['name']}: rounding moves {moved:.3f} levels"
        assert made.std() > 0.05 and (np.abs(made - 0.5) < 0.45).mean() > 0.5, f"{one['name']}: a picture without contrast, or cut off"
        print(f"{one['name']}: {list(made.shape)} deviation {made.std():.3f}, rounding moves {moved:.4f} levels")
    for a, other in [
        *[(f"{name} plain", f"{name} {changed}") for name in ("sd3", "sd35") for changed in ("negative", "every prompt", "short", "skip")],
        *[("sd3 plain", other) for other in ("long", "unguided", "clip skip", "lora", "control", "control paint")],
        *[("sd35 plain", other) for other in ("dynamic mu", "skip more", "heun", "control 8b", "control two")],
        *[("paint", "paint whole"), ("sd35 negative", "control 8b")],
    ]:
        apart = np.abs(floats[a][0] - floats[other][0]).max() * 255
        print(f"{a} / {other}: {apart:.1f} levels apart")
        assert apart > 4, "an option that does not show in the picture is not tested by it"
    versions = {"diffusers": diffusers.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    (folder / "cases.json").write_text(json.dumps({**versions, "seed": b.size.seed, "cases": cases}, indent=1) + "\n")
    save_file(expected, folder / "pictures.safetensors", metadata=versions)
    print(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()), "bytes")
