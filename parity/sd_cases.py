"""The pictures that stable_diffusion.py asks diffusers for."""

CAT = "a photo of a cat sitting on a wooden table, soft morning light"


def case(name, checkpoint, pipeline, inputs=None, **fields):
    """Fields that are no option of the call: scheduler, controlnets, loras, inversions, tinyAutoencoder, refiner, paths."""
    own = ("scheduler", "controlnets", "loras", "inversions", "tinyAutoencoder", "refiner", "paths")
    options = {"prompt": CAT, "steps": 5, "seed": 0} | {key: value for key, value in fields.items() if key not in own}
    rest = {key: value for key, value in fields.items() if key in own}
    found = {"name": name, "checkpoint": checkpoint, "pipeline": pipeline, "options": options, **rest}
    return {**found, "inputs": inputs} if inputs else found


def cases_of(side):
    """@param side the pictures' side in pixels, where no other is asked for"""
    text = "StableDiffusionPipeline"
    return [
        case("sd1", "sd1", text, paths=True),
    ]
