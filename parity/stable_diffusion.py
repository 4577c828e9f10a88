"""Pictures of diffusers' pipelines for the small checkpoints of tiny_checkpoints.py, as fixtures for src/pipelines.

    python parity/stable_diffusion.py                              writes parity/fixtures/stable-diffusion/
    python parity/stable_diffusion.py --out DIR --size 3           the same kinds at another size with other weights
    python parity/stable_diffusion.py --only xl xl-refiner         some checkpoints' pictures again, the checkpoints as they are

`cases.json` lists the pictures: the checkpoint's folder, the options of the call, the names of its input pictures (PNG files),
and the names of the expected ones in `pictures.safetensors` (uint8 [H, W, 3]).
"""

import argparse
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image
from quiet import quiet
from safetensors.torch import load_file, save_file
from sd_cases import cases_of
from tiny_checkpoints import Size, build, drawn

quiet()

# What a kind of picture is called here, by what diffusers calls its pipeline.
kinds = {
    "Img2Img": "image-to-image",
    "Inpaint": "inpaint",
    "InstructPix2Pix": "instruct",
    "Upscale": "upscale",
    "Depth2Img": "depth-to-image",
    "ImageVariation": "variation",
}
names = {
    "negative": "negative_prompt",
    "prompt2": "prompt_2",
    "negative2": "negative_prompt_2",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "num": "num_images_per_prompt",
    "rescale": "guidance_rescale",
    "clipSkip": "clip_skip",
    "imageGuidance": "image_guidance_scale",
    "noiseLevel": "noise_level",
    "denoisingEnd": "denoising_end",
    "denoisingStart": "denoising_start",
    "guess": "guess_mode",
    "originalSize": "original_size",
    "crop": "crops_coords_top_left",
    "targetSize": "target_size",
    "negativeOriginalSize": "negative_original_size",
    "aesthetic": "aesthetic_score",
    "negativeAesthetic": "negative_aesthetic_score",
    "maskPadding": "padding_mask_crop",
    "originalSteps": "original_inference_steps",
    "pagScale": "pag_scale",
    "pagAdaptive": "pag_adaptive_scale",
}


def kind_of(pipeline):
    return next((kind for name, kind in kinds.items() if name in pipeline), "text-to-image")


def scheduler_for(pipe, wanted):
    """A class by its name, or `[class, {changed options}]`, with the checkpoint's own options else."""
    name, changes = (wanted, {}) if isinstance(wanted, str) else wanted
    return getattr(diffusers, name).from_config(pipe.scheduler.config, **changes)


def load(folder, case):
    kind = getattr(diffusers, case["pipeline"])
    extra = {"depth_estimator": None, "feature_extractor": None} if "Depth" in case["pipeline"] else {}
    if controls := case.get("controls"):
        nets = [diffusers.ControlNetModel.from_pretrained(folder / one["net"], torch_dtype=torch.float32) for one in controls]
        for one, net in zip(controls, nets):
            if one.get("pooled"):
                net.register_to_config(global_pool_conditions=True)
        extra["controlnet"] = nets if len(nets) > 1 else nets[0]
    if adapters := case.get("adapters"):
        nets = [diffusers.T2IAdapter.from_pretrained(folder / one["net"], torch_dtype=torch.float32) for one in adapters]
        extra["adapter"] = diffusers.MultiAdapter(nets) if len(nets) > 1 else nets[0]
    if tiny := case.get("tinyAutoencoder"):
        extra["vae"] = diffusers.AutoencoderTiny.from_pretrained(folder / tiny, torch_dtype=torch.float32)
    if layers := case.get("pagLayers"):
        extra["pag_applied_layers"] = layers
    pipe = kind.from_pretrained(folder / case["checkpoint"], torch_dtype=torch.float32, **extra)
    pipe.set_progress_bar_config(disable=True)
    if getattr(pipe, "text_encoder", None) and not hasattr(pipe.text_encoder, "text_model"):
        # Version 5 of transformers has no such part, and diffusers' clip_skip asks for it.
        pipe.text_encoder.__dict__["text_model"] = pipe.text_encoder
    if "scheduler" in case:
        pipe.scheduler = scheduler_for(pipe, case["scheduler"])
    for number, (name, weight) in enumerate(case.get("loras", [])):
        pipe.load_lora_weights(folder / "loras", weight_name=name, adapter_name=f"lora{number}")
    if prompts := case.get("imagePrompts"):
        files = [one["adapter"] for one in prompts]
        pipe.load_ip_adapter(folder / "ip-adapter", subfolder="", weight_name=files, image_encoder_folder="image_encoder")
        pipe.set_ip_adapter_scale([one.get("scale", 1.0) for one in prompts])
    if loras := case.get("loras"):
        pipe.set_adapters([f"lora{i}" for i in range(len(loras))], [weight for _, weight in loras])
    if factors := case.get("freeU"):
        pipe.enable_freeu(**factors)
    for name in case.get("inversions", []):
        pipe.load_textual_inversion(folder / "inversions" / name)
    return pipe


def picture_of(folder, name):
    return Image.open(folder / "inputs" / f"{name}.png")


def call(pipe, folder, case, **changes):
    """→ float pictures [N, H, W, 3] in [0, 1]."""
    options = {names.get(key, key): value for key, value in case["options"].items()}
    seed = options.pop("seed")
    # A generator a picture, of seeds that follow one another.
    count = options.get("num_images_per_prompt", 1)
    generator = [torch.Generator().manual_seed(seed + i) for i in range(count)] if count > 1 else torch.Generator().manual_seed(seed)
    for name, value in case.get("inputs", {}).items():
        picture = picture_of(folder, value)
        if name == "depth":
            picture = torch.tensor(np.asarray(picture.convert("L"), dtype=np.float32) / 255)[None]
        options[{"mask": "mask_image", "depth": "depth_map"}.get(name, name)] = picture
    if controls := case.get("controls"):
        listed = lambda key, default: [one.get(key, default) for one in controls]  # noqa: E731
        given = {
            "image" if kind_of(case["pipeline"]) == "text-to-image" else "control_image": [
                picture_of(folder, one["picture"]) for one in controls
            ],
            "controlnet_conditioning_scale": listed("scale", 1.0),
            "control_guidance_start": listed("start", 0.0),
            "control_guidance_end": listed("end", 1.0),
        }
        options |= given if len(controls) > 1 else {key: value[0] for key, value in given.items()}
    if prompts := case.get("imagePrompts"):
        options["ip_adapter_image"] = [picture_of(folder, one["picture"]) for one in prompts]
    if adapters := case.get("adapters"):
        pictures = [picture_of(folder, one["picture"]) for one in adapters]
        scales = [one.get("scale", 1.0) for one in adapters]
        several = len(adapters) > 1
        options |= {"image": pictures if several else pictures[0], "adapter_conditioning_scale": scales if several else scales[0]}
    if case.get("refiner"):
        return refined(pipe, folder, case, {**options, **changes}, seed)
    if "padding_mask_crop" in options:
        # Whole pictures of levels are all that diffusers gives here.
        pictures = pipe(**{**options, **changes}, generator=generator).images
        return np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])
    return pipe(**{**options, **changes}, generator=generator, output_type="np").images


def refined(pipe, folder, case, options, seed):
    """The base's first steps, then the refiner's last ones, with one generator each."""
    share = options.pop("switchAt")
    common = {key: value for key, value in options.items() if key not in ("width", "height")}
    latents = pipe(**options, denoising_end=share, generator=torch.Generator().manual_seed(seed), output_type="latent").images
    kind = "Inpaint" if "mask" in case.get("inputs", {}) else "Img2Img"
    refiner = load(folder, {"pipeline": f"StableDiffusionXL{kind}Pipeline", "checkpoint": case["refiner"]})
    generator = torch.Generator().manual_seed(seed)
    return refiner(**{**common, "image": latents}, denoising_start=share, generator=generator, output_type="np").images


levels = lambda pictures: (pictures * 255).round().astype(np.uint8)  # noqa: E731


def largest(a, b):
    return float(np.abs(a - b).max() * 255)


def mean(a, b):
    return float(np.abs(a - b).mean() * 255)


def every_path_shows(pipe, folder, case, pictures):
    """Text, time and skips each change the picture by half a level in the mean at least: many levels where they show most."""
    other = dict(case["options"])
    told = "prompt" if "prompt" in case["options"] else "image"
    another = "an oil painting of a lighthouse in a storm" if told == "prompt" else picture_of(folder, "picture")
    found = {told: mean(call(pipe, folder, case, **{told: another}), pictures)}
    forward = pipe.unet.forward
    pipe.unet.forward = lambda sample, t, *rest, **named: forward(sample, (t + 150) % 1000, *rest, **named)
    found["time"] = mean(call(pipe, folder, case), pictures)
    pipe.unet.forward = forward
    for i, block in enumerate(pipe.unet.up_blocks):
        weight = block.resnets[-1].conv1.weight
        kept = weight.data.clone()
        weight.data[:, weight.shape[0] :] = 0
        found[f"skip {i}"] = mean(call(pipe, folder, case), pictures)
        weight.data = kept
    assert case["options"] == other
    return found


def unstable(pipe, folder, case, pictures):
    """How many levels a relative change of 10⁻⁶ of every weight makes: rounding must not."""
    generator = torch.Generator().manual_seed(1)
    kept = {}
    for key, p in pipe.unet.named_parameters():
        kept[key] = p.data
        p.data = p.data * (1 + 1e-6 * torch.randn(p.shape, generator=generator))
    found = largest(call(pipe, folder, case), pictures)
    for key, p in pipe.unet.named_parameters():
        p.data = kept[key]
    return found


def write_inputs(folder, side, seed):
    """Smooth pictures with edges, masks and maps."""
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)

    def waves(height, width, channels=3):
        y, x = np.mgrid[0:height, 0:width] / side
        layers = []
        for _ in range(channels):
            a, b, c, d = draw.uniform(-6, 6, 4)
            layers.append(np.sin(a * x + b * y + c) * 0.4 + 0.5 + 0.2 * (np.sin(d * x * y * 3) > 0.3))
        return np.clip(np.stack(layers, -1), 0, 1)

    def save(name, array):
        Image.fromarray(levels(array) if array.ndim == 2 or array.shape[-1] > 1 else levels(array[..., 0])).save(
            folder / "inputs" / f"{name}.png", optimize=True
        )

    save("picture", waves(side, side))
    save("wide", waves(side, side + side // 2))
    save("odd", waves(side + 5, side + 11))
    save("small", waves(side // 2, side // 2))
    y, x = np.mgrid[0:side, 0:side] / side
    save("mask", ((x - 0.4) ** 2 + (y - 0.55) ** 2 < 0.09).astype(float))
    save("soft-mask", np.clip(1.3 - 3 * np.hypot(x - 0.5, y - 0.5), 0, 1))
    save("corner-mask", ((x > 0.55) & (x < 0.85) & (y > 0.6) & (y < 0.9)).astype(float))
    save("edges", np.repeat((np.abs(np.sin(9 * x + 3 * y)) > 0.9).astype(float)[..., None], 3, -1))
    save("depth", (x + y) / 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fixtures" / "stable-diffusion")
    parser.add_argument("--size", type=int)
    parser.add_argument("--only", nargs="*", help="prefixes of the cases' names")
    parser.add_argument("--build", nargs="*", help="the builders to run before, with --only")
    given = parser.parse_args()
    size = Size() if given.size is None else drawn(given.size)
    folder = given.out
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / "cases.json"
    before = {} if given.only is None else {c["name"]: c for c in json.loads(listing.read_text())["cases"]}
    kept = {} if given.only is None else load_file(folder / "pictures.safetensors")
    if given.only is None or given.build:
        build(folder, size, given.build)
    side = size.latent * 2 ** (len(size.autoencoder) - 1)
    write_inputs(folder, side, size.seed)
    expected, listed, chaotic = {}, [], []
    for case in cases_of(side):
        if given.only is not None and not case["name"].startswith(tuple(given.only)):
            listed.append(before[case["name"]])
            expected |= {name: kept[name] for name in listed[-1]["expected"]}
            continue
        pipe = load(folder, case)
        pictures = call(pipe, folder, case)
        assert np.isfinite(pictures).all(), case["name"]
        shaken = unstable(pipe, folder, case, pictures)
        # Where diffusers gives whole levels, one of them is a rounding.
        if shaken > 0.3 and "maskPadding" not in case["options"]:
            chaotic.append(case["name"])
            continue
        own = [f"{case['name']}.{i}" for i in range(len(pictures))]
        for name, picture in zip(own, levels(pictures)):
            expected[name] = torch.from_numpy(picture.copy())
        checked = case.pop("paths", False)
        entry = {"name": case["name"], "kind": kind_of(case["pipeline"]), **case, "expected": own}
        if "scheduler" in case:
            config = {"_class_name": type(pipe.scheduler).__name__, **pipe.scheduler.config}
            entry["schedulerConfig"] = {key: value for key, value in config.items() if key not in ("_diffusers_version", "_use_default_values")}
        listed.append(entry)
        paths = every_path_shows(pipe, folder, case, pictures) if checked else {}
        assert given.size is not None or min(paths.values(), default=1) > 0.5, f"{case['name']}: something does not show: {paths}"
        clipped = float(((pictures <= 0) | (pictures >= 1)).mean())
        print(f"{case['name']:36} rounding {shaken:.4f} levels, clipped {clipped:.2f}", {k: round(v, 1) for k, v in paths.items()}, flush=True)
    print("rounding shows, left out:", chaotic)
    assert not chaotic or given.size is not None, "give these another seed"
    provenance = {
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "seed": size.seed,
    }
    listing.write_text(json.dumps({"provenance": provenance, "cases": listed}, indent=1, ensure_ascii=False) + "\n")
    save_file(expected, folder / "pictures.safetensors", metadata={key: str(value) for key, value in provenance.items()})


main()
