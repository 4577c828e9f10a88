"""diffusers' autoencoders, as fixtures for src/models/vae: codes, pictures, gradients, tiles, and key sets."""

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, VQModel
from networks import SEED, keys_of, published_keys, save_networks, set_weights, weight_gradients

torch.set_num_threads(1)


def coder(levels, widths, attends=False, **fields):
    down, up = ("AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D") if attends else ("DownEncoderBlock2D", "UpDecoderBlock2D")
    return {"block_out_channels": widths, "down_block_types": [down] * levels, "up_block_types": [up] * levels, **fields}


sd = coder(4, [128, 256, 512, 512], layers_per_block=2, sample_size=512)
published = {
    "stable-diffusion-v1-5": (AutoencoderKL, sd),
    "stable-diffusion-3": (
        AutoencoderKL,
        {**sd, "latent_channels": 16, "shift_factor": 0.0609, "use_quant_conv": False, "use_post_quant_conv": False},
    ),
    "ldm-celebahq-256": (
        VQModel,
        coder(3, [128, 256, 512], layers_per_block=2, latent_channels=3, num_vq_embeddings=8192, sample_size=256),
    ),
    "taesd": (AutoencoderTiny, {}),
}
small = {"norm_num_groups": 4, "sample_size": 16}
cases = {
    "kl": (AutoencoderKL, coder(2, [8, 16], **small)),
    "kl_plain": (
        AutoencoderKL,
        coder(
            3,
            [8, 8, 12],
            **small,
            layers_per_block=2,
            latent_channels=6,
            act_fn="gelu",
            use_quant_conv=False,
            use_post_quant_conv=False,
            mid_block_add_attention=False,
            shift_factor=0.0609,
        ),
    ),
    "kl_attends": (AutoencoderKL, coder(2, [8, 12], True, **small, in_channels=4, out_channels=5)),
    "vq": (VQModel, coder(2, [8, 16], **small, latent_channels=3, vq_embed_dim=5, num_vq_embeddings=24)),
    "tiny": (
        AutoencoderTiny,
        {
            "encoder_block_out_channels": [8, 8, 8],
            "decoder_block_out_channels": [6, 6, 6],
            "num_encoder_blocks": [1, 0, 2],
            "num_decoder_blocks": [2, 1, 1],
        },
    ),
    "tiny_smooth": (
        AutoencoderTiny,
        {
            "encoder_block_out_channels": [8, 8],
            "decoder_block_out_channels": [8, 8],
            "num_encoder_blocks": [1, 1],
            "num_decoder_blocks": [1, 1],
            "act_fn": "mish",
            "upsample_fn": "bilinear",
            "upsampling_scaling_factor": 3,
        },
    ),
}
all_gradients = ["kl", "vq", "tiny_smooth"]

tensors = {}
described = {}
models = {}
for name, (kind, config) in cases.items():
    model = kind(**config)
    set_weights(model)
    models[name] = model
    generator = torch.Generator().manual_seed(SEED + 1)
    images = torch.randn((2, config.get("in_channels", 3), 12, 16), generator=generator).clamp(-1, 1)
    with torch.no_grad():
        first = model.encode(images)
    codes = first.latent_dist.mean if kind is AutoencoderKL else first.latents
    latents = torch.randn(codes.shape, generator=generator)
    given = {"images": images.requires_grad_(), "latents": latents.requires_grad_()}
    if kind is AutoencoderKL:
        posterior = model.encode(images).latent_dist
        outputs = {"mean": posterior.mean, "logVariance": posterior.logvar, "kl": posterior.kl()}
        assert posterior.logvar.abs().max() < 20
        outputs["decoded"] = model.decode(latents).sample
    elif kind is VQModel:
        codes = model.encode(images).latents
        quantized, loss, (_, _, indices) = model.quantize(codes)
        distances = torch.cdist(codes.permute(0, 2, 3, 1).reshape(-1, codes.shape[1]), model.quantize.embedding.weight)
        nearest = distances.sort(1).values
        assert (nearest[:, 1] - nearest[:, 0]).min() > 1e-4, "a code is as near as another"
        assert len(indices.unique()) > 6
        outputs = {"codes": codes, "loss": loss.reshape(1), "quantized": quantized}
        outputs["decoded"] = model.decode(latents, force_not_quantize=True).sample
        tensors[f"{name}.indices"] = indices.reshape(2, *codes.shape[2:])
    else:
        outputs = {"codes": model.encode(images).latents, "decoded": model.decode(latents).sample}
    cotangents = {key: torch.randn(value.shape, generator=generator) for key, value in outputs.items()}
    if kind is VQModel:
        cotangents["loss"] *= 1000.0  # a mean over all elements: its gradients would vanish among the others
    of_weights = weight_gradients(name, model, outputs, cotangents)
    tensors |= {f"{name}.{key}": value.detach() for key, value in (given | outputs).items()}
    if name in all_gradients:
        tensors |= {f"{name}.cotangent {key}": value for key, value in cotangents.items()}
        tensors |= {f"{name}.grad {key}": value.grad for key, value in given.items()}
        tensors |= {f"{name}.grad {key}": value for key, value in of_weights.items()}
    described[name] = {"config": {"_class_name": kind.__name__, **config}, **keys_of(model)}
    print(name, described[name]["parameters"], "decoded rms", outputs["decoded"].square().mean().sqrt().item())

# Tiles of 16 pixels: two and a part of a third in one direction, a part of a second in the other.
generator = torch.Generator().manual_seed(SEED + 2)
model = models["kl"]
model.enable_tiling()
with torch.no_grad():
    tensors["tiled.images"] = torch.randn((1, 3, 22, 36), generator=generator).clamp(-1, 1)
    posterior = model.encode(tensors["tiled.images"]).latent_dist
    tensors["tiled.mean"], tensors["tiled.logVariance"] = posterior.mean, posterior.logvar
    tensors["tiled.latents"] = torch.randn((1, 4, 18, 11), generator=generator)
    tensors["tiled.decoded"] = model.decode(tensors["tiled.latents"]).sample

keys = published_keys(published)
checkpoints = {
    network: {"config": {"_class_name": kind.__name__, **config}, **keys[network]} for network, (kind, config) in published.items()
}
save_networks("vae", tensors, described, checkpoints)
