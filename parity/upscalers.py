"""The published upscalers' networks, as fixtures for src/models/rrdbnet, srvgg and swinir: pictures, gradients, and key sets.

They are no packages that install beside this PyTorch, so clones of their repositories are read:
    python parity/upscalers.py BasicSR Real-ESRGAN SwinIR swin2sr
of github.com/XPixelGroup/BasicSR (8d56e3a), github.com/xinntao/Real-ESRGAN (a4abfb2), github.com/JingyunLiang/SwinIR (6545850),
github.com/mv-lab/swin2sr (6f25d76).
"""

import torch
from networks import SEED, keys_of, save_networks, set_weights
from upscaler_references import classes

torch.set_num_threads(1)


def swin(depth, width, heads, upsampler, **fields):
    fixed = {"mlp_ratio": 2, "window_size": 8}
    return {"depths": [6] * depth, "num_heads": [heads] * depth, "embed_dim": width, "upsampler": upsampler, **fixed, **fields}


published = {
    "RealESRGAN_x4plus": ("RRDBNet", {"num_in_ch": 3, "num_out_ch": 3}),
    "RealESRGAN_x2plus": ("RRDBNet", {"num_in_ch": 3, "num_out_ch": 3, "scale": 2}),
    "RealESRGAN_x4plus_anime_6B": ("RRDBNet", {"num_in_ch": 3, "num_out_ch": 3, "num_block": 6}),
    "realesr-animevideov3": ("SRVGGNetCompact", {}),
    "realesr-general-x4v3": ("SRVGGNetCompact", {"num_conv": 32}),
    "classicalSR_x4": ("SwinIR", swin(6, 180, 6, "pixelshuffle", upscale=4, img_size=48)),
    "classicalSR_x3": ("SwinIR", swin(6, 180, 6, "pixelshuffle", upscale=3, img_size=48)),
    "lightweightSR_x4": ("SwinIR", swin(4, 60, 6, "pixelshuffledirect", upscale=4, img_size=64)),
    "realSR_M_x4": ("SwinIR", swin(6, 180, 6, "nearest+conv", upscale=4, img_size=64)),
    "realSR_L_x4": ("SwinIR", swin(9, 240, 8, "nearest+conv", upscale=4, img_size=64, resi_connection="3conv")),
    "colorDN": ("SwinIR", swin(6, 180, 6, "", upscale=1, img_size=128)),
    "grayDN": ("SwinIR", swin(6, 180, 6, "", upscale=1, img_size=128, in_chans=1)),
    "Swin2SR_ClassicalSR_X4_64": ("Swin2SR", swin(6, 180, 6, "pixelshuffle", upscale=4, img_size=64)),
    "Swin2SR_Lightweight_X2_64": ("Swin2SR", swin(4, 60, 6, "pixelshuffledirect", upscale=2, img_size=64)),
    "Swin2SR_CompressedSR_X4_48": ("Swin2SR", swin(6, 180, 6, "pixelshuffle_aux", upscale=4, img_size=48)),
    "Swin2SR_RealworldSR_X4_64_BSRGAN_PSNR": ("Swin2SR", swin(6, 180, 6, "nearest+conv", upscale=4, img_size=64)),
    "jpegCAR": ("SwinIR", swin(6, 180, 6, "", upscale=1, img_size=126, in_chans=1, window_size=7, img_range=255.0)),
}
small = {"depths": [2, 2], "num_heads": [2, 3], "embed_dim": 12, "mlp_ratio": 2, "window_size": 4, "img_size": 8}
cases = {
    "rrdb_x4": ("RRDBNet", {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "num_grow_ch": 4}, (2, 3, 5, 6)),
    "rrdb_x2": ("RRDBNet", {"num_in_ch": 3, "num_out_ch": 3, "scale": 2, "num_feat": 6, "num_block": 2, "num_grow_ch": 3}, (1, 3, 6, 8)),
    "rrdb_x1": ("RRDBNet", {"num_in_ch": 1, "num_out_ch": 1, "scale": 1, "num_feat": 4, "num_block": 1, "num_grow_ch": 4}, (1, 1, 8, 12)),
    "srvgg": ("SRVGGNetCompact", {"num_feat": 6, "num_conv": 2, "upscale": 3}, (2, 3, 5, 4)),
    "srvgg_leaky": ("SRVGGNetCompact", {"num_feat": 6, "num_conv": 1, "upscale": 2, "act_type": "leakyrelu"}, (1, 3, 5, 4)),
    # Three windows by two, the picture mirrored to fill them; one row of windows; a picture of one window.
    "swin_light": ("SwinIR", {**small, "upsampler": "pixelshuffledirect", "upscale": 4}, (2, 3, 10, 7)),
    "swin_classical": ("SwinIR", {**small, "upsampler": "pixelshuffle", "upscale": 4}, (1, 3, 4, 9)),
    "swin_x3": ("SwinIR", {**small, "upsampler": "pixelshuffle", "upscale": 3, "qkv_bias": False}, (1, 3, 4, 4)),
    "swin_real": ("SwinIR", {**small, "upsampler": "nearest+conv", "upscale": 4, "resi_connection": "3conv", "depths": [3], "num_heads": [2]}, (1, 3, 8, 8)),
    "swin_real_x2": ("SwinIR", {**small, "upsampler": "nearest+conv", "upscale": 2, "depths": [2], "num_heads": [2]}, (1, 3, 8, 5)),
    "swin_grey": ("SwinIR", {**small, "upsampler": "", "upscale": 1, "in_chans": 1, "img_range": 255.0, "window_size": 3, "img_size": 9}, (1, 1, 7, 8)),
    "swin2_light": ("Swin2SR", {**small, "upsampler": "pixelshuffledirect", "upscale": 2}, (1, 3, 10, 7)),
    "swin2_aux": ("Swin2SR", {**small, "upsampler": "pixelshuffle_aux", "upscale": 4, "depths": [2], "num_heads": [2]}, (1, 3, 8, 5)),
    "swin2_plain": ("Swin2SR", {**small, "upsampler": "", "upscale": 1, "in_chans": 1, "qkv_bias": False, "resi_connection": "3conv"}, (1, 1, 8, 8)),
    "swin_whole": ("SwinIR", {**small, "upsampler": "", "upscale": 1, "img_size": 4, "patch_norm": False}, (1, 3, 8, 4)),
}


def described(model):
    """Keys without SwinIR's buffers, which are no weights."""
    for name, child in model.named_modules():
        for key in ("relative_position_index", "relative_coords_table", "attn_mask"):
            if key in child._buffers:
                child._non_persistent_buffers_set.add(key)
    return keys_of(model)


tensors, found = {}, {}
generator = torch.Generator().manual_seed(SEED)
for name, (kind, config, shape) in cases.items():
    model = classes[kind](**config).eval()
    found[name] = {"config": {"_class_name": kind, **config}, **described(model)}
    set_weights(model)
    images = torch.rand(shape, generator=generator).requires_grad_()
    made = model(images)
    made = made[0] if isinstance(made, tuple) else made
    cotangent = torch.randn(made.shape, generator=generator)
    made.backward(cotangent)
    gradients = {key: value.grad for key, value in model.named_parameters()}
    # The residuals of RRDBNet are scaled by a fifth, twice.
    assert all(value.abs().max() > 1e-6 * images.grad.abs().max() for value in gradients.values()), name
    kept = {key: value for key, value in gradients.items() if value.numel() <= 100}
    tensors |= {f"{name}.images": images.detach(), f"{name}.made": made.detach(), f"{name}.cotangent made": cotangent}
    tensors |= {f"{name}.grad images": images.grad} | {f"{name}.grad {key}": value for key, value in kept.items()}
    print(name, list(made.shape), len(kept), "of", len(gradients), "gradients kept")

whole = {}
for name, (kind, config) in published.items():
    model = classes[kind](**config)  # SwinIR reads values while it is built: not on the meta device.
    whole[name] = {"config": {"_class_name": kind, **config}, **described(model)}
    print(name, whole[name]["keys"], whole[name]["parameters"])
save_networks("upscalers", tensors, found, whole)
