"""Full sampling loops of diffusers' schedulers, as fixtures for src/diffusion/schedulers/schedulers.test.ts."""

import inspect
import json
import math
import warnings
from pathlib import Path

import diffusers
import torch
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()
SHAPE = (2, 3, 8, 8)
SEED = 7
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def model(x, t, channels=1):
    """Smooth, neither odd nor even, and different at every timestep."""
    out = x * (0.7 + 0.2 * math.cos(0.01 * t)) + 0.1 * x**2 / (1 + x**2)
    if channels == 1:
        return out
    return torch.cat([out, torch.tanh(x * 0.5)], dim=1)


def loop(case):
    scheduler = getattr(diffusers, case["class"])(**case["config"])
    run = case["run"]
    accepted = inspect.signature(scheduler.set_timesteps).parameters
    arguments = {}
    if "timesteps" in run:
        arguments["timesteps"] = run["timesteps"]
    elif "sigmas" in run:
        arguments["sigmas"] = run["sigmas"]
        if "num_inference_steps" in accepted and case.get("both"):
            arguments["num_inference_steps"] = len(run["sigmas"])
    else:
        arguments["num_inference_steps"] = run["steps"]
    if "mu" in run:
        arguments["mu"] = run["mu"]
    scheduler.set_timesteps(**arguments)
    generator = torch.Generator().manual_seed(SEED)
    step = {}
    accepted = inspect.signature(scheduler.step).parameters
    if "generator" in accepted:
        step["generator"] = generator
    if "eta" in run:
        step["eta"] = run["eta"]
    if "useClippedModelOutput" in run:
        step["use_clipped_model_output"] = run["useClippedModelOutput"]
    if "churn" in run:
        names = {"amount": "s_churn", "min": "s_tmin", "max": "s_tmax", "noise": "s_noise"}
        step.update({names[k]: v for k, v in run["churn"].items()})
    x = NOISE * getattr(scheduler, "init_noise_sigma", 1.0)
    timesteps = []
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(model(scaled, float(t), case["channels"]), t, x, **step).prev_sample
        timesteps.append(float(t))
    return x.float(), timesteps


cases = []


def case(name, config=None, steps=10, channels=1, both=False, **run):
    """One class with one set of options, in one loop."""
    if "timesteps" not in run and "sigmas" not in run:
        run["steps"] = steps
    cases.append({"class": name, "config": config or {}, "run": run, "channels": channels, "both": both})


SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V0 = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
CLIP = {"clip_sample": True, "clip_sample_range": 2.0}
DYNAMIC = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}

name = "DDPMScheduler"
for variance in ["fixed_small", "fixed_small_log", "fixed_large"]:
    case(name, {"variance_type": variance})
case(name, {"variance_type": "learned_range", "beta_schedule": "squaredcos_cap_v2"}, channels=2)
for schedule in ["scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"]:
    case(name, {"beta_schedule": schedule, "variance_type": "fixed_large", "clip_sample": False})
case(name, {"trained_betas": [0.01 * (i + 1) for i in range(20)], "num_train_timesteps": 20}, steps=20)
for prediction in ["sample", "v_prediction"]:
    case(name, {"prediction_type": prediction})
for spacing in ["linspace", "trailing"]:
    case(name, {"timestep_spacing": spacing}, steps=7)
case(name, {"steps_offset": 1, "variance_type": "fixed_large"})
case(name, {**SD, **V0})
case(name, {**SD, **CLIP})
case(name, {**SD, **DYNAMIC})
case(name, SD, timesteps=[900, 555, 300, 100, 3])
case(name, {"variance_type": "fixed_large"}, steps=1000)

name = "DDIMScheduler"
for eta in [0.0, 0.5, 1.0]:
    case(name, {}, eta=eta)
for schedule in ["scaled_linear", "squaredcos_cap_v2"]:
    case(name, {"beta_schedule": schedule, "clip_sample": False})
for prediction in ["sample", "v_prediction"]:
    case(name, {**SD, "prediction_type": prediction, "clip_sample": False})
for spacing in ["linspace", "trailing"]:
    case(name, {**SD, "timestep_spacing": spacing}, steps=7, eta=1.0)
case(name, {**SD, "steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}, steps=20)
case(name, {**SD, **V0, "clip_sample": False})
case(name, {**SD, **CLIP})
case(name, {**SD, **CLIP}, useClippedModelOutput=True)
case(name, {**SD, **DYNAMIC}, eta=0.3)

here = Path(__file__).parent
tensors = {"noise": NOISE}
for name in ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"]:
    tensors[f"alphas_cumprod.{name}"] = diffusers.DDPMScheduler(beta_schedule=name).alphas_cumprod
tensors["alphas_cumprod.exp"] = torch.cumprod(
    1 - diffusers.schedulers.scheduling_ddpm.betas_for_alpha_bar(1000, alpha_transform_type="exp"), 0
)
tensors["alphas_cumprod.zero"] = diffusers.DDPMScheduler(rescale_betas_zero_snr=True, **SD).alphas_cumprod
for index, entry in enumerate(cases):
    final, entry["timesteps"] = loop(entry)
    assert final.isfinite().all(), entry
    tensors[f"case.{index}"] = final.contiguous()
metadata = {
    "diffusers": diffusers.__version__,
    "torch": torch.__version__,
    "seed": str(SEED),
    "cases": json.dumps(cases),
}
save_file(tensors, here / "fixtures" / "schedulers.safetensors", metadata=metadata)
print(len(cases), "cases")
