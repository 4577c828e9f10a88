"""The pictures that stable_diffusion.py asks diffusers for."""

CAT = "a photo of a cat sitting on a wooden table, soft morning light"
FOX = "the quick brown fox doesn't jump; it's sleeping under the apple tree"
BAD = "blurry, low quality, worst quality"

# Each with the checkpoint's own options, or with others too.
schedulers = {
    "pndm": "PNDMScheduler",
    "ddim": ["DDIMScheduler", {"clip_sample": False}],
    "ddpm": "DDPMScheduler",
    "lms": "LMSDiscreteScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-karras": ["EulerDiscreteScheduler", {"use_karras_sigmas": True}],
    "euler-trailing": ["EulerDiscreteScheduler", {"timestep_spacing": "trailing"}],
    "euler-ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "kdpm2": "KDPM2DiscreteScheduler",
    "kdpm2-ancestral": "KDPM2AncestralDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "dpm++karras": ["DPMSolverMultistepScheduler", {"use_karras_sigmas": True}],
    "dpm++sde": ["DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}],
    "dpm++singlestep": "DPMSolverSinglestepScheduler",
    "deis": "DEISMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
    "tcd": "TCDScheduler",
    "sasolver": "SASolverScheduler",
}


def class_of(short):
    """diffusers' pipeline: its name is `StableDiffusion…Pipeline` but for latent consistency models."""
    if short.startswith("Latent"):
        return short.replace("Latent", "LatentConsistencyModel") + "Pipeline"
    return f"StableDiffusion{short}Pipeline"


def case(name, checkpoint, pipeline, inputs=None, **fields):
    """Fields that are no option of the call: scheduler, controls, adapters, imagePrompts, loras, inversions, tinyAutoencoder, refiner, pagLayers, freeU, paths."""
    own = ("scheduler", "controls", "adapters", "imagePrompts", "loras", "inversions", "tinyAutoencoder", "refiner", "pagLayers", "freeU", "paths")
    options = {} if pipeline == "ImageVariation" else {"prompt": CAT}
    options |= {"steps": 5, "seed": 0} | {key: value for key, value in fields.items() if key not in own}
    rest = {key: value for key, value in fields.items() if key in own}
    found = {"name": name, "checkpoint": checkpoint, "pipeline": class_of(pipeline), "options": options, **rest}
    return {**found, "inputs": inputs} if inputs else found


def cases_of(side):
    """@param side the pictures' side in pixels, where no other is asked for"""
    yield case("sd1", "sd1", "", paths=True)
    yield case("sd1-negative", "sd1", "", negative=BAD, guidance=5.5, seed=3)
    yield case("sd1-negative-guidance", "sd1", "", guidance=-2, seed=4)
    yield case("sd1-unguided", "sd1", "", guidance=1, seed=4)
    yield case("sd1-wide", "sd1", "", prompt=FOX, width=2 * side, height=side + side // 2, steps=3)
    yield case("sd1-long", "sd1", "", prompt=", ".join([CAT, FOX] * 6))
    yield case("sd1-empty", "sd1", "", prompt="")
    yield case("sd1-rescaled", "sd1", "", guidance=12, rescale=0.7)
    yield case("sd1-skip", "sd1", "", clipSkip=1)
    yield case("sd1-several", "sd1", "", num=2, seed=5)
    yield case("sd1-seeds", "sd1", "", num=3, seed=7, scheduler="EulerAncestralDiscreteScheduler")
    yield case("sd1-eta", "sd1", "", eta=0.8, seed=1, scheduler="DDIMScheduler")
    yield case("sd1-tiny-vae", "sd1", "", tinyAutoencoder="tiny-vae")
    yield case("sd1-lora", "sd1", "", loras=[["diffusers.safetensors", 0.8]])
    yield case("sd1-lora-kohya", "sd1", "", loras=[["kohya.safetensors", 1.0]])
    yield case("sd1-loras", "sd1", "", loras=[["diffusers.safetensors", 0.5], ["kohya.safetensors", -0.7]])
    yield case("sd1-inversion", "sd1", "", prompt="a photo of <moonlit> cats", inversions=["moonlit.safetensors"])
    yield case("pag", "sd1", "PAG", pagScale=3.0, pagLayers=["mid"], seed=2)
    yield case("pag-adaptive", "sd1", "PAG", pagScale=4.0, pagAdaptive=0.005, pagLayers=["down_blocks.0", "mid"], seed=1)
    yield case("pag-unguided", "sd1", "PAG", guidance=1, pagScale=2.5, pagLayers=["up_blocks.1.attentions.0"], seed=3)
    yield case("pag-rescaled", "sd1", "PAG", pagScale=3.0, rescale=0.6, pagLayers=["attn1"], seed=3)
    yield case("pag-img2img", "sd1", "PAGImg2Img", {"image": "picture"}, strength=0.6, steps=8, pagScale=3.0, pagLayers=["mid"])
    edged = [{"net": "controlnet-a", "picture": "edges"}]
    yield case("pag-control", "sd1", "ControlNetPAG", pagScale=3.0, pagLayers=["mid"], seed=5, controls=edged)
    yield case("pag-xl", "xl", "XLPAG", pagScale=3.0, pagLayers=["mid", "down_blocks.1"], negative=BAD, seed=4)
    yield case("freeu", "sd1", "", freeU={"b1": 1.5, "b2": 1.6, "s1": 0.9, "s2": 0.2}, seed=5)
    yield case("freeu-wide", "sd1", "", freeU={"b1": 1.2, "b2": 1.4, "s1": 0.6, "s2": 0.4}, width=2 * side, height=side + side // 2)
    yield case("freeu-xl", "xl", "XL", freeU={"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}, seed=5)
    yield case("own-timesteps", "sd1", "", timesteps=[999, 845, 730, 587, 443, 310, 193, 116, 53, 13], scheduler="DPMSolverMultistepScheduler", seed=6)
    yield case("own-sigmas", "sd1", "", sigmas=[14.0, 6.0, 2.5, 0.9, 0.2, 0.0], scheduler="EulerDiscreteScheduler", seed=5)
    own = {"timesteps": [999, 700, 500, 250, 100, 20], "scheduler": "EulerDiscreteScheduler"}
    yield case("own-timesteps-img2img", "sd1", "Img2Img", {"image": "picture"}, strength=0.7, **own)
    for name, scheduler in schedulers.items():
        yield case(f"scheduler-{name}", "sd1", "", prompt=FOX, steps=7, seed=11, scheduler=scheduler)

    yield case("sd1-img2img", "sd1", "Img2Img", {"image": "picture"}, strength=0.6, steps=8)
    yield case("sd1-img2img-resized", "sd1", "Img2Img", {"image": "odd"}, strength=0.5, seed=2)
    yield case("sd1-img2img-ancestral", "sd1", "Img2Img", {"image": "wide"}, scheduler="EulerAncestralDiscreteScheduler")
    yield case("sd1-img2img-several", "sd1", "Img2Img", {"image": "picture"}, num=2, scheduler="DPMSolverMultistepScheduler")
    for name in ("ddpm", "heun", "lms", "unipc", "lcm"):
        fields = {"strength": 0.7, "steps": 6, "scheduler": schedulers[name]}
        yield case(f"sd1-img2img-{name}", "sd1", "Img2Img", {"image": "picture"}, **fields)
    painted = {"image": "picture", "mask": "mask"}
    yield case("sd1-masked", "sd1", "Inpaint", painted, width=side, height=side)
    yield case("sd1-masked-strength", "sd1", "Inpaint", painted, strength=0.6, steps=6, width=side, height=side)
    cropped = {"image": "picture", "mask": "corner-mask"}
    yield case("sd1-masked-crop", "sd1", "Inpaint", cropped, maskPadding=4, strength=0.8, width=side, height=side)
    yield case("sd1-masked-euler", "sd1", "Inpaint", painted, width=side, height=side, scheduler="EulerDiscreteScheduler")
    yield case("sd1-inpaint", "sd1-inpaint", "Inpaint", painted, width=side, height=side, paths=True)
    soft = {"image": "odd", "mask": "soft-mask"}
    yield case("sd1-inpaint-strength", "sd1-inpaint", "Inpaint", soft, strength=0.7, seed=6, width=side, height=side)
    yield case("sd1-inpaint-several", "sd1-inpaint", "Inpaint", painted, num=2, negative=BAD, width=side, height=side)

    edges = [{"net": "controlnet-a", "picture": "edges"}]
    partly = [{**edges[0], "scale": 0.5, "start": 0.2, "end": 0.7}]
    two = [{**edges[0], "scale": 0.7}, {"net": "controlnet-b", "picture": "picture", "scale": 0.4, "start": 0.3, "end": 0.9}]
    yield case("control", "sd1", "ControlNet", controls=edges)
    yield case("control-scaled", "sd1", "ControlNet", controls=partly)
    yield case("control-guess", "sd1", "ControlNet", controls=edges, guess=True, guidance=3)
    yield case("control-unguided", "sd1", "ControlNet", controls=edges, guidance=1)
    yield case("controls", "sd1", "ControlNet", controls=two)
    yield case("controls-several", "sd1", "ControlNet", controls=two, num=2)
    yield case("control-img2img", "sd1", "ControlNetImg2Img", {"image": "picture"}, controls=edges, strength=0.7)
    yield case("control-inpaint", "sd1", "ControlNetInpaint", painted, controls=edges, width=side, height=side)
    yield case("control-inpaint-9", "sd1-inpaint", "ControlNetInpaint", painted, controls=edges, width=side, height=side)

    yield case("sd2", "sd2", "", paths=True)
    yield case("sd2-rescaled", "sd2", "", rescale=0.7, negative=BAD)
    yield case("sd2-skip", "sd2", "", clipSkip=2)
    for name in ("euler", "pndm", "dpm++", "unipc", "heun"):
        yield case(f"sd2-{name}", "sd2", "", scheduler=schedulers[name], seed=1)
    zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    yield case("sd2-zero-snr", "sd2", "", scheduler=["DDIMScheduler", zero], rescale=0.7)
    yield case("sd2-img2img", "sd2", "Img2Img", {"image": "picture"}, strength=0.7)
    yield case("sd2-masked", "sd2", "Inpaint", painted, strength=0.9, width=side, height=side)
    yield case("depth", "depth", "Depth2Img", {"image": "picture", "depth": "depth"}, strength=0.8, paths=True)
    yield case("upscale", "upscaler", "Upscale", {"image": "small"}, paths=True, steps=4)
    yield case("upscale-several", "upscaler", "Upscale", {"image": "small"}, num=2, steps=3)
    yield case("upscale-noise", "upscaler", "Upscale", {"image": "small"}, noiseLevel=200, negative=BAD, guidance=4, steps=3)
    yield case("instruct", "instruct", "InstructPix2Pix", {"image": "picture"}, prompt="make it autumn", paths=True)
    yield case("instruct-image", "instruct", "InstructPix2Pix", {"image": "picture"}, imageGuidance=2.2, guidance=5, negative=BAD)
    yield case("lcm", "lcm", "Latent", steps=4, guidance=8.5, paths=True)
    yield case("lcm-img2img", "lcm", "LatentImg2Img", {"image": "picture"}, steps=4, strength=0.5, guidance=4)

    yield case("xl", "xl", "XL", paths=True)
    yield case("xl-negative", "xl", "XL", negative=BAD, guidance=4, seed=3)
    yield case("xl-unguided", "xl", "XL", guidance=1)
    second = {"prompt2": FOX, "negative2": BAD, "clipSkip": 1}
    sizes = {"originalSize": [2 * side, side], "crop": [3, 5], "targetSize": [side, side]}
    yield case("xl-two-prompts", "xl", "XL", **second)
    yield case("xl-sizes", "xl", "XL", **sizes, negativeOriginalSize=[side, side // 2])
    yield case("xl-wide", "xl", "XL", width=2 * side, height=side, num=2, seed=8, steps=3)
    yield case("xl-rescaled", "xl", "XL", rescale=0.6, scheduler="DDIMScheduler")
    turbo = ["EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}]
    yield case("xl-turbo", "xl", "XL", steps=1, guidance=0, scheduler=turbo)
    for name in ("dpm++", "dpm++sde", "unipc", "heun"):
        yield case(f"xl-{name}", "xl", "XL", scheduler=schedulers[name], seed=1)
    yield case("xl-img2img", "xl", "XLImg2Img", {"image": "picture"}, strength=0.6)
    yield case("xl-masked", "xl", "XLInpaint", painted, strength=0.8, width=side, height=side)
    yield case("xl-inpaint", "xl-inpaint", "XLInpaint", painted, strength=0.99, width=side, height=side, paths=True)
    yield case("xl-refined", "xl", "XL", refiner="xl-refiner", switchAt=0.6, steps=10)
    whole = {"width": side, "height": side}
    yield case("xl-refined-inpaint", "xl", "XLInpaint", painted, refiner="xl-refiner", switchAt=0.6, steps=10, strength=0.99, **whole)
    yield case("xl-refiner", "xl-refiner", "XLImg2Img", {"image": "picture"}, strength=0.5, paths=True, steps=8)
    scores = {"aesthetic": 7.5, "negativeAesthetic": 1.5}
    yield case("xl-refiner-scores", "xl-refiner", "XLImg2Img", {"image": "picture"}, **scores, negative=BAD)
    deep = [{"net": "controlnet-xl", "picture": "edges", "scale": 0.6}]
    yield case("xl-control", "xl", "XLControlNet", controls=deep)
    pooled = [{**deep[0], "pooled": True}]
    yield case("xl-control-pooled", "xl", "XLControlNet", controls=pooled)
    yield case("xl-control-pooled-img2img", "xl", "XLControlNetImg2Img", {"image": "picture"}, controls=pooled, strength=0.7)
    yield case("xl-control-pooled-inpaint", "xl", "XLControlNetInpaint", painted, controls=pooled, strength=0.9, **whole)
    yield case("xl-control-img2img", "xl", "XLControlNetImg2Img", {"image": "picture"}, controls=deep, strength=0.7)
    yield case("xl-control-inpaint", "xl", "XLControlNetInpaint", painted, controls=deep, strength=0.9, width=side, height=side)

    plain, plus = ({"adapter": f"{kind}.safetensors", "picture": "odd", "scale": 0.7} for kind in ("plain", "plus"))
    yield case("image-prompt", "sd1", "", imagePrompts=[plain])
    yield case("image-prompt-plus", "sd1", "", imagePrompts=[plus], negative=BAD)
    yield case("image-prompts", "sd1", "", imagePrompts=[{**plain, "picture": "wide"}, {**plus, "scale": 0.4}], num=2)
    yield case("image-prompt-unguided", "sd1", "", imagePrompts=[plain], guidance=1)
    yield case("image-prompt-img2img", "sd1", "Img2Img", {"image": "picture"}, imagePrompts=[plus], strength=0.6)
    yield case("image-prompt-inpaint", "sd1-inpaint", "Inpaint", painted, imagePrompts=[plain], width=side, height=side)
    yield case("image-prompt-control", "sd1", "ControlNet", controls=edges, imagePrompts=[plain])
    deep = {"adapter": "xl.safetensors", "picture": "wide", "scale": 0.6}
    yield case("image-prompt-xl", "xl", "XL", imagePrompts=[deep])
    yield case("image-prompt-xl-img2img", "xl", "XLImg2Img", {"image": "picture"}, imagePrompts=[deep], strength=0.6)
    adapted = [{"net": "t2i-adapter", "picture": "edges", "scale": 0.8}]
    yield case("adapter", "sd1", "Adapter", adapters=adapted)
    yield case("adapters", "sd1", "Adapter", adapters=[*adapted, {**adapted[0], "picture": "picture", "scale": 0.3}], num=2)
    yield case("adapter-xl", "xl", "XLAdapter", adapters=[{**adapted[0], "net": "t2i-adapter-xl"}])
    yield case("variation", "variation", "ImageVariation", {"image": "odd"}, paths=True)
    yield case("variation-unguided", "variation", "ImageVariation", {"image": "wide"}, guidance=1, num=2, seed=4)
