"""The arithmetic of diffusers' examples/controlnet/train_controlnet.py (v0.42) on a small U-Net, as a fixture for src/recipes/tasks/controlnet:
losses, lengths of the gradient and gradients of five steps, from batches, noise and times that the fixture holds."""

import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, DDPMScheduler, UNet2DConditionModel
from networks import SEED, save_networks, set_weights

torch.set_num_threads(1)
config = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
}
widths = [4, 6]
rate, steps = 1e-3, 5
tensors, cases = {}, {}
for prediction in ("epsilon", "v_prediction"):
    unet = UNet2DConditionModel(**config).requires_grad_(False)
    set_weights(unet)
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=widths)
    fresh = ControlNetModel(**{key: value for key, value in controlnet.config.items() if not key.startswith("_")})
    set_weights(fresh, SEED + 1)
    last = "controlnet_cond_embedding.conv_out"
    hint = {key: value for key, value in fresh.state_dict().items() if key.startswith("controlnet_cond") and not key.startswith(last)}
    assert not controlnet.load_state_dict(hint, strict=False).unexpected_keys
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=prediction)
    optimizer = torch.optim.AdamW(controlnet.parameters(), lr=rate, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    generator = torch.Generator().manual_seed(SEED + 2)
    rows = []
    for step in range(steps):
        latents, noise = (torch.randn(2, 4, 6, 8, generator=generator) for _ in range(2))
        context = torch.randn(2, 5, 12, generator=generator)
        picture = torch.rand(2, 3, 12, 16, generator=generator)
        times = torch.randint(0, 1000, (2,), generator=generator)
        noisy = scheduler.add_noise(latents, noise, times)
        down, mid = controlnet(noisy, times, encoder_hidden_states=context, controlnet_cond=picture, return_dict=False)
        predicted = unet(
            noisy,
            times,
            encoder_hidden_states=context,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample
        target = noise if prediction == "epsilon" else scheduler.get_velocity(latents, noise, times)
        loss = F.mse_loss(predicted.float(), target.float(), reduction="mean")
        loss.backward()
        gradients = {key: value.grad.clone() for key, value in controlnet.named_parameters()}
        norm = torch.nn.utils.clip_grad_norm_(controlnet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        rows.append({"loss": loss.item(), "norm": norm.item()})
        if prediction == "epsilon":
            given = {"latents": latents, "noise": noise, "context": context, "hint": picture, "times": times}
            tensors |= {f"{step} {key}": value for key, value in given.items()}
            awake = {key for key, value in gradients.items() if value.abs().max() > 0}
            if step == 0:  # Only what a zero stands before learns at first.
                assert awake == {key for key in gradients if key.startswith(("controlnet_down", "controlnet_mid"))}, awake
            kept = awake if step == 0 else {key for key in awake if gradients[key].numel() <= 600}
            if step in (0, steps - 1):
                tensors |= {f"{step} grad {key}": gradients[key] for key in kept}
    cases[prediction] = rows
    print(prediction, rows)
described = {"unet": config, "widths": widths, "rate": rate, "runs": cases}
save_networks("controlnet-training", tensors, described, {})
