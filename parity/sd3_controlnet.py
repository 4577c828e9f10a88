"""diffusers' ControlNet of Stable Diffusion 3 and its single-stream blocks, as fixtures for src/models/mmdit: outputs, gradients, and key sets."""

import torch
from diffusers import SD3ControlNetModel, SD3Transformer2DModel
from diffusers.models.embeddings import FluxPosEmbed
from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock
from networks import SEED, keys_of, no_faint, published_keys, save_networks, set_weights

torch.set_num_threads(1)
large = {"num_attention_heads": 38, "pos_embed_max_size": 192, "joint_attention_dim": None, "use_pos_embed": False}
published = {
    "SD3-Controlnet-Canny": (SD3ControlNetModel, {"num_layers": 6, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192}),
    "SD3-Controlnet-Inpainting": (SD3ControlNetModel, {"num_layers": 23, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192, "extra_conditioning_channels": 1}),
    "stable-diffusion-3.5-large-controlnet-depth": (SD3ControlNetModel, {**large, "num_layers": 19, "force_zeros_for_pooled_projection": False}),
}
tiny = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "patch_size": 2, "sample_size": 8, "in_channels": 3}
tiny |= {"pooled_projection_dim": 6, "pos_embed_max_size": 6, "caption_projection_dim": 16}
cases = {
    "instantx": {**tiny, "joint_attention_dim": 10, "extra_conditioning_channels": 1},
    "normed": {**tiny, "joint_attention_dim": 10, "qk_norm": "rms_norm", "dual_attention_layers": [1], "pos_embed_type": None},
    "stability": {**tiny, "joint_attention_dim": None, "use_pos_embed": False, "extra_conditioning_channels": 2},
}
tensors, found = {}, {}
generator = torch.Generator().manual_seed(SEED)


def randn(*shape):
    return torch.randn(shape, generator=generator)


def keep(name, model, given, leaves, outputs, unseen=()):
    cotangents = {key: randn(*value.shape) for key, value in outputs.items()}
    sum((outputs[key] * cotangents[key]).sum() for key in outputs).backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None and key not in unseen}
    no_faint(name, gradients)
    kept = {key: value for key, value in gradients.items() if value.numel() <= 200}
    tensors.update({f"{name}.{key}": value.detach().clone() for key, value in {**given, **outputs}.items()})
    tensors.update({f"{name}.cotangent {key}": value for key, value in cotangents.items()})
    tensors.update({f"{name}.grad {key}": value for key, value in kept.items()})
    tensors.update({f"{name}.grad {key}": value.grad for key, value in leaves.items() if value.grad is not None})
    print(name, {key: list(value.shape) for key, value in outputs.items()}, len(kept), "of", len(gradients))


for name, config in cases.items():
    model = SD3ControlNetModel(**config).eval()
    found[name] = {"config": {"_class_name": "SD3ControlNetModel", **config}, **keys_of(model)}
    set_weights(model)
    text = config["joint_attention_dim"] is not None
    latents = randn(2, 3, 8, 6) if model.pos_embed is not None else randn(2, 12, 16)
    given = {"latents": latents, "timestep": torch.tensor([7.0, 432.5]), "pooled": randn(2, 6)}
    given["control"] = randn(2, 3 + config.get("extra_conditioning_channels", 0), 8, 6)
    if text:
        given["context"] = randn(2, 5, 10)
    leaves = {key: value.clone().requires_grad_() if key != "timestep" else value for key, value in given.items()}
    samples = model(
        leaves["latents"],
        controlnet_cond=leaves["control"],
        encoder_hidden_states=leaves.get("context"),
        pooled_projections=leaves["pooled"],
        timestep=leaves["timestep"],
    ).controlnet_block_samples
    # Nobody sees what becomes of the last block's text, nor what its tokens would have asked for.
    last = f"transformer_blocks.{config['num_layers'] - 1}."
    asked = [f"{last}attn.{key}" for key in ("add_q_proj.weight", "add_q_proj.bias", "norm_added_q.weight")]
    # A constant added to every key leaves the softmax alone: without text that gradient is rounding, and no more.
    asked += [] if text else [f"transformer_blocks.{i}.attn.to_k.bias" for i in range(config["num_layers"])]
    keep(name, model, given, leaves, {f"residual {i}": value for i, value in enumerate(samples)}, asked)

block = FluxSingleTransformerBlock(16, 2, 8)
found["parallel"] = {"config": {"_class_name": "FluxSingleTransformerBlock"}, **keys_of(block)}
set_weights(block)
given = {"x": randn(2, 7, 16), "condition": randn(2, 16)}
leaves = {key: value.clone().requires_grad_() for key, value in given.items()}
# Three tokens of text at the origin, then a picture of two by two.
ids = torch.tensor([[0, 0, 0]] * 3 + [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]], dtype=torch.float32)
turned = FluxPosEmbed(theta=10000, axes_dim=[2, 2, 4])(ids)
text, picture = block(leaves["x"][:, 3:], leaves["x"][:, :3], leaves["condition"], turned)
keep("parallel", block, given, leaves, {"made": torch.cat([text, picture], 1)})

whole = published_keys(published)
for name, (kind, config) in published.items():
    whole[name]["config"] = {"_class_name": kind.__name__, **config}
save_networks("sd3_controlnet", tensors, found, whole)
