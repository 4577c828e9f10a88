"""PyTorch's side of `langevin bench upscale-rrdb` and `upscale-swinir`: python upscale.py NAME eager|channels_last FOLDER.

The networks are the reference implementations', read from clones whose folders LANGEVIN_BASICSR and LANGEVIN_SWINIR name:
github.com/XPixelGroup/BasicSR (8d56e3a), github.com/JingyunLiang/SwinIR (6545850). Enlarges a picture of 256×256 pixels for each line on
standard input and writes one line of JSON for each. The first line has the time from opening the checkpoint to the end of the first picture.
"""

import json
import os
import resource
import sys
import time
import types
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

name, layout, folder = sys.argv[1:]


def module(name, **members):
    """A stand-in for a package that the reference code imports."""
    sys.modules[name] = types.ModuleType(name)
    for key, value in members.items():
        setattr(sys.modules[name], key, value)


def load(path, **replaced):
    source = path.read_text()
    for before, after in replaced.items():
        source = source.replace(f"from .{before}", f"from {after}")
    found = types.ModuleType(path.stem)
    exec(compile(source, str(path), "exec"), found.__dict__)
    return found


class Registry:
    def register(self):
        return lambda kind: kind


def network():
    config = json.loads((Path(folder) / "config.json").read_text())
    fields = {key: value for key, value in config.items() if not key.startswith("_")}
    if name == "upscale-rrdb":
        for package in ("basicsr", "basicsr.utils", "basicsr.archs"):
            module(package)
        module("basicsr.utils.registry", ARCH_REGISTRY=Registry())
        module(
            "basicsr.archs.arch_util",
            default_init_weights=lambda *_: None,
            make_layer=lambda block, count, **options: nn.Sequential(*[block(**options) for _ in range(count)]),
            pixel_unshuffle=lambda x, scale: nn.functional.pixel_unshuffle(x, scale),
        )
        path = Path(os.environ["LANGEVIN_BASICSR"]) / "basicsr/archs/rrdbnet_arch.py"
        return load(path, arch_util="basicsr.archs.arch_util").RRDBNet(**fields)
    pair = lambda x: x if isinstance(x, tuple) else (x, x)
    for package in ("timm", "timm.models"):
        module(package)
    module("timm.models.layers", DropPath=lambda _: nn.Identity(), to_2tuple=pair, trunc_normal_=lambda *_, **__: None)
    return load(Path(os.environ["LANGEVIN_SWINIR"]) / "models/network_swinir.py").SwinIR(**fields)


def say(**line):
    print(json.dumps(line), flush=True)


memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
torch.manual_seed(0)
x = torch.rand(1, 3, 256, 256).to(memory_format=memory)
network()  # That it is there is told before the first line.
say(ready=True, versions={"torch": torch.__version__, "threads": torch.get_num_threads()})
model = None
for _ in sys.stdin:
    before = time.perf_counter()
    first = model is None
    if first:
        model = network()
        weights = next(Path(folder).glob("*.safetensors"))
        model.load_state_dict(load_file(weights), strict=name == "upscale-rrdb")
        model = model.eval().to(memory_format=memory)
    with torch.inference_mode():
        model(x)
    ms = (time.perf_counter() - before) * 1000
    figure = {"loadAndFirstStep": ms} if first else {"ms": ms}
    say(**figure, maxRss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
