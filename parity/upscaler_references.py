"""The published upscalers' code, loaded from clones of their repositories (see upscalers.py), without the packages that it imports."""

import importlib.util
import sys
import types
from pathlib import Path

import torch
from torch import nn

basicsr, realesrgan, swinir, swin2sr = map(Path, sys.argv[1:5])


def module(name, **members):
    """A stand-in for a package that the reference code imports."""
    sys.modules[name] = types.ModuleType(name)
    for key, value in members.items():
        setattr(sys.modules[name], key, value)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = found
    spec.loader.exec_module(found)
    return found


class Registry:
    def register(self):
        return lambda kind: kind


def pair(x):
    return x if isinstance(x, tuple) else (x, x)


for name in ("basicsr", "basicsr.archs", "basicsr.utils", "timm", "timm.models", "models", "utils"):
    module(name)
module("basicsr.utils.registry", ARCH_REGISTRY=Registry())
module(
    "basicsr.archs.arch_util",
    default_init_weights=lambda *_: None,
    make_layer=lambda block, count, **options: nn.Sequential(*[block(**options) for _ in range(count)]),
    pixel_unshuffle=lambda x, scale: nn.functional.pixel_unshuffle(x, scale),
)
module("timm.models.layers", DropPath=lambda _: nn.Identity(), to_2tuple=pair, trunc_normal_=lambda *_, **__: None)

source = (basicsr / "basicsr/archs/rrdbnet_arch.py").read_text().replace("from .arch_util", "from basicsr.archs.arch_util")
rrdb = types.ModuleType("rrdbnet_arch")
exec(compile(source, "rrdbnet_arch.py", "exec"), rrdb.__dict__)
RRDBNet = rrdb.RRDBNet
SRVGGNetCompact = load(realesrgan / "realesrgan/archs/srvgg_arch.py").SRVGGNetCompact
SwinIR = load(swinir / "models/network_swinir.py").SwinIR
Swin2SR = load(swin2sr / "models/network_swin2sr.py").Swin2SR

classes = {"RRDBNet": RRDBNet, "SRVGGNetCompact": SRVGGNetCompact, "SwinIR": SwinIR, "Swin2SR": Swin2SR}

module("basicsr.utils.download_util", load_file_from_url=None)
module("requests")
module("utils.util_calculate_psnr_ssim")
sys.modules["utils"].util_calculate_psnr_ssim = sys.modules["utils.util_calculate_psnr_ssim"]
module("models.network_swinir", SwinIR=SwinIR)
RealESRGANer = load(realesrgan / "realesrgan/utils.py").RealESRGANer
swinir_test = load(swinir / "main_test_swinir.py").test
