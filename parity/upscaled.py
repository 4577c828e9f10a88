"""Pictures that the published upscalers' own programs make with tiny networks, for src/pipelines/upscale: whole, in tiles, grey, with
alpha, in 16 bits. Writes the networks as .pth files, as they are published.

    python parity/upscaled.py BasicSR Real-ESRGAN SwinIR swin2sr
"""

import types
from pathlib import Path

import cv2
import numpy as np
import torch
from networks import SEED, set_weights
from safetensors.torch import save_file
from upscaler_references import RealESRGANer, classes, swinir_test

torch.set_num_threads(1)
here = Path(__file__).parent / "fixtures"
(here / "upscalers").mkdir(exist_ok=True)
rng = np.random.default_rng(SEED)


def picture(height, width, channels, bits=8):
    """Colours that change over the picture, with noise."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 70 * np.sin((c + 1) * x / 5 + c) * np.cos(y / (4 + c)) + rng.normal(0, 14, (height, width)) for c in range(channels)]
    levels = np.clip(np.stack(waves, -1), 0, 255) / 255
    top = 255 if bits == 8 else 65535
    return np.round(levels * top).astype(np.uint8 if bits == 8 else np.uint16)


def network(name, kind, config, key):
    model = classes[kind](**config).eval()
    buffers = {name_: value.clone() for name_, value in model.named_buffers()}
    set_weights(model)
    for name_, value in model.named_buffers():
        value.copy_(buffers[name_])
    # Pictures in the middle of the range, so that little is clipped.
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights *= 0.6
    last = {"RRDBNet": "conv_last", "SwinIR": "conv_last" if config.get("upsampler") == "" else "upsample.0"}.get(kind)
    if last:
        with torch.no_grad():
            state = model.state_dict()
            state[f"{last}.weight"] *= 2.0 if kind == "RRDBNet" else 0.3
            state[f"{last}.bias"][:] = 0.5 if config.get("upsampler") is None else 0.05
    state = {key_: value.clone() for key_, value in model.state_dict().items()}
    torch.save({key: state}, here / "upscalers" / f"{name}.pth")
    return model


esrgan = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "num_grow_ch": 4}
swin = {"depths": [2], "num_heads": [2], "embed_dim": 8, "mlp_ratio": 2, "window_size": 8, "img_size": 16, "img_range": 1.0}
tensors = {}


def keep(name, given, made):
    as_rgb = lambda x: x[..., [2, 1, 0, 3][: x.shape[2]]] if x.ndim == 3 and x.shape[2] >= 3 else x
    for key, value in (("given", as_rgb(given)), ("made", as_rgb(made))):
        levels = np.ascontiguousarray((value[..., None] if value.ndim == 2 else value).transpose(2, 0, 1))
        tensors[f"{name}.{key}"] = torch.from_numpy(levels if levels.dtype == np.uint8 else levels.astype(np.int32))
    inside = np.mean((made > 0) & (made < (65535 if made.dtype == np.uint16 else 255)))
    print(name, given.shape, given.dtype, "->", made.shape, made.dtype, f"{inside:.0%} not clipped, deviation {made.std():.1f}")


for name, kind, config, scale in (
    ("esrgan-x4", "RRDBNet", esrgan, 4),
    ("esrgan-x2", "RRDBNet", {**esrgan, "scale": 2}, 2),
    ("compact-x4", "SRVGGNetCompact", {"num_feat": 8, "num_conv": 2, "upscale": 4}, 4),
):
    model = network(name, kind, config, "params_ema")
    path = str(here / "upscalers" / f"{name}.pth")
    for tile in (0, 16):
        upsampler = RealESRGANer(scale, path, model=classes[kind](**config), tile=tile, tile_pad=10, pre_pad=0)
        kinds = {"rgb": picture(22, 37, 3)}
        if name == "esrgan-x4":
            kinds |= {"alpha": picture(21, 18, 4), "grey": picture(17, 20, 1)[..., 0]}
            if tile == 0:
                kinds |= {"deep": picture(12, 14, 3, 16)}
        for what, given in kinds.items():
            # The program takes a picture for 16 bits where a level is above 256.
            made, _ = upsampler.enhance(given.astype(given.dtype))
            keep(f"{name} {what} {tile}", given, made)

for name, config, channels in (
    ("swinir-light-x4", {**swin, "upsampler": "pixelshuffledirect", "upscale": 4}, 3),
    ("swinir-grey", {**swin, "upsampler": "", "upscale": 1, "in_chans": 1}, 1),
):
    model = network(name, "SwinIR", config, "params")
    scale = config["upscale"]
    for tile, overlap in ((None, 0), (16, 8)):
        given = picture(22, 35, channels)
        # As main_test_swinir.py does around `test`.
        x = torch.from_numpy(given.astype(np.float32) / 255).permute(2, 0, 1)[None]
        h, w = x.shape[2:]
        high, wide = (h // 8 + 1) * 8, (w // 8 + 1) * 8
        x = torch.cat([x, torch.flip(x, [2])], 2)[:, :, :high, :]
        x = torch.cat([x, torch.flip(x, [3])], 3)[:, :, :, :wide]
        with torch.no_grad():
            y = swinir_test(x, model, types.SimpleNamespace(tile=tile, tile_overlap=overlap, scale=scale), 8)
        y = y[0, :, : h * scale, : w * scale].clamp(0, 1).permute(1, 2, 0).numpy()
        made = (y * 255.0).round().astype(np.uint8)
        keep(f"{name} {'rgb' if channels == 3 else 'grey'} {tile or 0}", given[..., ::-1] if channels == 3 else given, made[..., ::-1] if channels == 3 else made)

save_file(tensors, here / "upscaled.safetensors", metadata={"torch": torch.__version__, "cv2": cv2.__version__, "seed": str(SEED)})
print((here / "upscaled.safetensors").stat().st_size, {p.name: p.stat().st_size for p in (here / "upscalers").iterdir()})
