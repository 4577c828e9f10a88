"""What upscalers are trained with, as fixtures for src/models/unet-discriminator and src/data/degradations: the discriminator in evaluation and
in training, blur kernels, filters, resizes and the unsharp mask, each on drawn numbers.

Clones of the repositories are read, as in upscalers.py:
    python parity/upscaler_training.py BasicSR Real-ESRGAN
of github.com/XPixelGroup/BasicSR (8d56e3a), github.com/xinntao/Real-ESRGAN (a4abfb2).
"""

import json
import sys
import types
from pathlib import Path

import cv2
import mpmath
import numpy as np
import torch
from networks import SEED, keys_of, save_networks, set_weights

torch.set_num_threads(1)
basicsr, realesrgan = map(Path, sys.argv[1:3])


def module(name, **members):
    """A stand-in for a package that the reference code imports."""
    sys.modules[name] = types.ModuleType(name)
    for key, value in members.items():
        setattr(sys.modules[name], key, value)


def load(path):
    found = types.ModuleType(path.stem)
    exec(compile(path.read_text(), str(path), "exec"), found.__dict__)
    return found


class Registry:
    def register(self):
        return lambda kind: kind


j1 = np.vectorize(lambda x: float(mpmath.besselj(1, x)))
module("basicsr")
module("basicsr.utils")
module("basicsr.utils.registry", ARCH_REGISTRY=Registry())
module("scipy", special=types.SimpleNamespace(j1=j1))
module("scipy.stats", multivariate_normal=None)
for name in ("torchvision", "torchvision.transforms"):
    module(name)
module("torchvision.transforms.functional", rgb_to_grayscale=None)
UNetDiscriminatorSN = load(realesrgan / "realesrgan/archs/discriminator_arch.py").UNetDiscriminatorSN
degradations = load(basicsr / "basicsr/data/degradations.py")
process = load(basicsr / "basicsr/utils/img_process_util.py")

tensors, found = {}, {}
generator = torch.Generator().manual_seed(SEED)

for name, skips, training in (("eval", True, False), ("train", True, True), ("plain", False, True)):
    config = {"num_in_ch": 3, "num_feat": 4, "skip_connection": skips}
    model = UNetDiscriminatorSN(**config).train(training)
    found[name] = {"config": config, "training": training, **keys_of(model)}
    set_weights(model)
    images = torch.rand((2, 3, 16, 8), generator=generator).requires_grad_()
    made = model(images)
    cotangent = torch.randn(made.shape, generator=generator)
    made.backward(cotangent)
    gradients = {key: value.grad for key, value in model.named_parameters()}
    # In evaluation random vectors make σ small, and every layer makes what comes through it as much larger.
    assert all(value.abs().max() > 1e-9 * images.grad.abs().max() for value in gradients.values()), name
    kept = {key: value for key, value in gradients.items() if value.numel() <= 600}
    tensors |= {f"{name}.images": images.detach(), f"{name}.made": made.detach(), f"{name}.cotangent made": cotangent}
    tensors |= {f"{name}.grad images": images.grad} | {f"{name}.grad {key}": value for key, value in kept.items()}
    print(name, made.std().item(), len(kept), "of", len(gradients), "gradients kept")
published = {"RealESRGAN_x4plus_netD": {"config": {}, **keys_of(UNetDiscriminatorSN(3))}}
assert published["RealESRGAN_x4plus_netD"]["parameters"] > 4_376_897  # Without the vectors.

drawn = {
    "iso": ("bivariate_Gaussian", [11, 1.7, 1.7, 0.0], True),
    "aniso": ("bivariate_Gaussian", [9, 2.6, 0.7, 1.1], False),
    "generalized_iso": ("bivariate_generalized_Gaussian", [7, 1.2, 1.2, 0.0, 0.6], True),
    "generalized_aniso": ("bivariate_generalized_Gaussian", [13, 2.9, 0.4, -2.3, 3.1], False),
    "plateau_iso": ("bivariate_plateau", [7, 0.9, 0.9, 0.0, 1.6], True),
    "plateau_aniso": ("bivariate_plateau", [15, 0.5, 2.2, 2.8, 1.2], False),
}
for name, (function, arguments, isotropic) in drawn.items():
    kernel = getattr(degradations, function)(*arguments, isotropic=isotropic)
    tensors[f"kernel.{name}"] = torch.tensor(kernel, dtype=torch.float32)
sincs = [[7, 1.3], [21, 2.9]]
for size, cutoff in sincs:
    tensors[f"kernel.sinc {size}"] = torch.tensor(degradations.circular_lowpass_kernel(cutoff, size, 21), dtype=torch.float32)

photo = torch.rand((1, 3, 14, 19), generator=generator)
smooth = torch.nn.functional.interpolate(photo[..., :5, :6], size=(60, 55), mode="bicubic", align_corners=False).clamp(0, 1)
tensors |= {"picture": photo, "edges": smooth[:, :1]}
tensors["filtered"] = process.filter2D(photo, tensors["kernel.aniso"][None])
tensors["sharpened"] = process.USMSharp()(smooth[:, :1])
resizes = []
for mode in ("area", "bilinear", "bicubic"):
    for to in ({"scale_factor": 0.37}, {"scale_factor": 1.43}, {"size": (9, 25)}):
        made = torch.nn.functional.interpolate(photo, mode=mode, **to)
        name = f"resized.{mode} {json.dumps(to)}"
        resizes.append({"name": name, "mode": mode, "factor": to.get("scale_factor"), "size": list(made.shape[-2:])})
        tensors[name] = made

cases = {"discriminators": found, "kernels": {name: arguments for name, (_, arguments, _) in drawn.items()}, "sincs": sincs}
cases |= {"resizes": resizes, "opencv": cv2.__version__}
save_networks("upscaler-training", tensors, cases, published)
