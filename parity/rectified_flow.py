"""Training times and loss weights of rectified flows from diffusers.training_utils, and FreeU's filter: fixtures for src/diffusion."""

from pathlib import Path

import diffusers
import torch
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3
from diffusers.utils.torch_utils import apply_freeu
from safetensors.torch import save_file

SEED = 5
sigmas = torch.linspace(0.01, 1, 34)
tensors = {"sigmas": sigmas}
for scheme in ["logit_normal", "mode", "none"]:
    options = {"logit_mean": 0.3, "logit_std": 0.8, "mode_scale": 1.29}
    generator = torch.Generator().manual_seed(SEED)
    tensors[f"times.{scheme}"] = compute_density_for_timestep_sampling(scheme, 64, **options, generator=generator)
for scheme in ["sigma_sqrt", "cosmap", "logit_normal", "none"]:
    tensors[f"weights.{scheme}"] = compute_loss_weighting_for_sd3(scheme, sigmas)
generator = torch.Generator().manual_seed(SEED)
hidden, skip = torch.randn(2, 4, 6, 5, generator=generator), torch.randn(2, 3, 6, 5, generator=generator)
tensors["freeu.hidden"], tensors["freeu.skip"] = hidden.clone(), skip.clone()
raised, filtered = apply_freeu(0, hidden, skip, s1=0.2, s2=0.9, b1=1.4, b2=1.6)
tensors["freeu.raised"], tensors["freeu.filtered"] = raised, filtered.contiguous()
metadata = {"diffusers": diffusers.__version__, "torch": torch.__version__, "seed": str(SEED)}
save_file(tensors, Path(__file__).parent / "fixtures" / "rectified_flow.safetensors", metadata=metadata)
