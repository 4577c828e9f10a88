"""Full sampling loops of diffusers' schedulers, as fixtures for src/diffusion/schedulers/schedulers.test.ts."""

import json
import warnings
from pathlib import Path

import diffusers
import torch
from safetensors.torch import save_file
from scheduler_loops import loop

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()
SHAPE = (2, 3, 8, 8)
SEED = 7
KNOWN = torch.tanh(torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)))
MASK = (torch.arange(8) < 4).float().expand(1, 1, 8, 8).contiguous()
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


cases = []


def case(name, config=None, steps=10, channels=1, **run):
    """One class with one set of options, in one loop."""
    if "timesteps" not in run and "sigmas" not in run:
        run["steps"] = steps
    cases.append({"class": name, "config": config or {}, "run": run, "channels": channels})


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

K = {"use_karras_sigmas": True}
E = {"use_exponential_sigmas": True}
B = {"use_beta_sigmas": True}
for name in ["EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler", "KDPM2DiscreteScheduler"]:
    case(name, SD)
    for sigmas in [K, E, B]:
        case(name, {**SD, **sigmas})
    case(name, {**SD, "timestep_spacing": "leading", "steps_offset": 1})
    case(name, {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}, steps=7)
    case(name, {"beta_schedule": "squaredcos_cap_v2"})
name = "EulerDiscreteScheduler"
case(name, {**SD, "prediction_type": "sample"})
case(name, {**SD, **V0})
case(name, {**SD, "interpolation_type": "log_linear"})
case(name, {**SD, "final_sigmas_type": "sigma_min"})
case(name, {**K, "sigma_min": 0.002, "sigma_max": 700.0, "timestep_type": "continuous", "prediction_type": "v_prediction"})
case(name, SD, timesteps=[900, 555, 300, 100, 3])
case(name, SD, sigmas=[14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152])
case(name, {**SD, **K}, churn={"amount": 3.0, "min": 0.05, "max": 10.0, "noise": 1.003})
case(name, {**SD, "prediction_type": "v_prediction"}, churn={"amount": 1.0})
case("HeunDiscreteScheduler", {**SD, "clip_sample": True, "clip_sample_range": 1.5})
case("HeunDiscreteScheduler", {"beta_schedule": "exp"})
case("HeunDiscreteScheduler", SD, timesteps=[900, 555, 300, 100, 3])
for name in ["EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler"]:
    case(name, SD)
    case(name, {"timestep_spacing": "leading", "steps_offset": 1})
    case(name, {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}, steps=7)
case("EulerAncestralDiscreteScheduler", {**SD, **V0})
case("KDPM2AncestralDiscreteScheduler", {**SD, **K})
for options in [SD, {**SD, **K}, {**SD, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}]:
    case("DPMSolverSDEScheduler", options)

name = "DPMSolverMultistepScheduler"
MIN = {"final_sigmas_type": "sigma_min"}
for order in [1, 2, 3]:
    for kind in ["midpoint", "heun"]:
        for algorithm in ["dpmsolver++", "dpmsolver"]:
            final = MIN if algorithm == "dpmsolver" else {}
            case(name, {**SD, **final, "solver_order": order, "solver_type": kind, "algorithm_type": algorithm})
for order in [1, 2, 3]:
    case(name, {**SD, "solver_order": order, "algorithm_type": "sde-dpmsolver++"})
for kind in ["midpoint", "heun"]:
    case(name, {**SD, **MIN, "algorithm_type": "sde-dpmsolver", "solver_type": kind})
case(name, {**SD, "solver_type": "heun", "algorithm_type": "sde-dpmsolver++"}, steps=16)
for sigmas in [K, E, B, {"use_lu_lambdas": True}, {**K, **MIN}]:
    case(name, {**SD, **sigmas})
for options in [{"timestep_spacing": "leading", "steps_offset": 1}, {"timestep_spacing": "trailing"}, V0]:
    case(name, {**SD, **options}, steps=7)
case(name, {**SD, "lower_order_final": False, "solver_order": 3}, steps=20)
case(name, {**SD, "euler_at_final": True, **MIN}, steps=20)
case(name, {**SD, **DYNAMIC})
case(name, {**SD, **DYNAMIC, **MIN, "algorithm_type": "dpmsolver"})
case(name, {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1})
case(name, {**SD, "variance_type": "learned_range"}, channels=2)
case(name, {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"})
case(name, {**SD, "prediction_type": "sample"}, timesteps=[900, 555, 300, 100, 3])

name = "DPMSolverSinglestepScheduler"
for order in [1, 2, 3]:
    for kind in ["midpoint", "heun"]:
        case(name, {**SD, "solver_order": order, "solver_type": kind}, steps=9 + order)
        case(name, {**SD, **MIN, "solver_order": order, "solver_type": kind, "algorithm_type": "dpmsolver"}, steps=12)
    case(name, {**SD, "solver_order": order, "solver_type": "heun", "algorithm_type": "sde-dpmsolver++"}, steps=11)
for sigmas in [K, E, B]:
    case(name, {**SD, **sigmas})
case(name, {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"})
case(name, {**SD, "lower_order_final": True, "prediction_type": "v_prediction"}, steps=8)

name = "DEISMultistepScheduler"
for order in [1, 2, 3]:
    case(name, {**SD, "solver_order": order})
    case(name, {**SD, "solver_order": order}, steps=16)
for options in [K, E, B, {"timestep_spacing": "trailing"}, {"timestep_spacing": "leading"}, DYNAMIC]:
    case(name, {**SD, **options})
case(name, {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"})

name = "UniPCMultistepScheduler"
for order in [1, 2, 3]:
    for kind in ["bh1", "bh2"]:
        # diffusers gives NaN for bh1 that ends at 0.
        final = MIN if kind == "bh1" else {}
        case(name, {**SD, **final, "solver_order": order, "solver_type": kind})
        case(name, {**SD, **MIN, "solver_order": order, "solver_type": kind, "predict_x0": False})
for options in [K, E, B, {**K, **MIN}, V0, {"timestep_spacing": "leading"}, DYNAMIC, {"disable_corrector": [0, 3]}]:
    case(name, {**SD, **options})
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
case(name, {**FLOW, "flow_shift": 3.0})
case(name, {**FLOW, "use_dynamic_shifting": True}, mu=0.9)
case(name, {**FLOW, "flow_shift": 2.0, "shift_terminal": 0.1, "solver_order": 3})
case(name, {**FLOW, **K, "sigma_max": 200.0, "sigma_min": 0.01})
case(name, {**SD, "lower_order_final": False, **MIN}, steps=20)

name = "SASolverScheduler"
for predictor in [1, 2, 3]:
    for corrector in [1, 2, 3]:
        case(name, {**SD, "predictor_order": predictor, "corrector_order": corrector})
case(name, {**SD, "algorithm_type": "noise_prediction"})
case(name, {**SD, "algorithm_type": "noise_prediction", "predictor_order": 3, "corrector_order": 4}, steps=20)
for options in [K, E, B, {"timestep_spacing": "trailing"}, {"timestep_spacing": "leading"}, DYNAMIC]:
    case(name, {**SD, **options})

case("DDPMParallelScheduler", {**SD, "clip_sample": False})
case("DDIMParallelScheduler", {**SD, "clip_sample": False}, eta=0.7)
case("EulerDiscreteScheduler", {"interpolation_type": "log_linear", "timestep_type": "continuous", "prediction_type": "v_prediction"})
case("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "use_dynamic_shifting": True}, mu=1.1)

name = "PNDMScheduler"
for options in [{}, SD, {**SD, "skip_prk_steps": True}, {**SD, "skip_prk_steps": True, "steps_offset": 1}]:
    case(name, options)
for options in [{"set_alpha_to_one": True}, {"skip_prk_steps": True, "timestep_spacing": "trailing"}]:
    case(name, {**SD, **options})
for options in [{}, {"skip_prk_steps": True}]:
    case(name, {**SD, **options, "prediction_type": "v_prediction"})
    case(name, {**SD, **options, "timestep_spacing": "linspace"}, steps=7)
case(name, SD, steps=9)
case("IPNDMScheduler")
case("IPNDMScheduler", steps=3)

for prediction in ["epsilon", "v_prediction", "sample"]:
    case("DDIMInverseScheduler", {**SD, "prediction_type": prediction, "clip_sample": False, "set_alpha_to_one": False})
case("DDIMInverseScheduler", {**SD, **CLIP})
case("DDIMInverseScheduler", {**SD, "clip_sample": False, "timestep_spacing": "trailing"})
name = "DPMSolverMultistepInverseScheduler"
for options in [{}, {"solver_order": 3}, {"timestep_spacing": "leading"}, {"timestep_spacing": "trailing"}]:
    case(name, {**SD, **options})

name = "LCMScheduler"
case(name, {}, steps=4)
case(name, {**V0, "timestep_scaling": 5.0}, steps=4)
case(name, {**CLIP, "original_inference_steps": 100}, steps=8)
case(name, {"prediction_type": "sample"}, timesteps=[999, 759, 499, 259])
case(name, DYNAMIC, steps=1)
name = "TCDScheduler"
for eta in [0.0, 0.3, 1.0]:
    case(name, {}, steps=4, eta=eta)
for prediction in ["v_prediction", "sample"]:
    case(name, {"prediction_type": prediction, "original_inference_steps": 100}, steps=8, eta=0.2)
name = "CMStochasticIterativeScheduler"
case(name, {}, steps=1)
case(name, {}, steps=4)
case(name, {"clip_denoised": False, "sigma_max": 10.0, "rho": 5.0, "s_noise": 0.9}, steps=6)
case(name, {"num_train_timesteps": 201}, timesteps=[106, 0])

name = "EDMEulerScheduler"
for options in [{}, {"sigma_schedule": "exponential"}, {"prediction_type": "v_prediction"}, MIN]:
    case(name, options)
case(name, {"sigma_data": 1.0, "rho": 5.0, "sigma_max": 20.0}, churn={"amount": 4.0, "min": 0.1, "noise": 1.003})
name = "EDMDPMSolverMultistepScheduler"
for order in [1, 2, 3]:
    for kind in ["midpoint", "heun"]:
        case(name, {"solver_order": order, "solver_type": kind})
for options in [{"sigma_schedule": "exponential"}, {"algorithm_type": "sde-dpmsolver++"}, DYNAMIC, {"prediction_type": "v_prediction"}]:
    case(name, options)

name = "FlowMatchEulerDiscreteScheduler"
for options in [{}, {"shift": 3.0}, K, E, B, {"shift_terminal": 0.1, "shift": 2.0}, {"stochastic_sampling": True}, {"invert_sigmas": True}]:
    case(name, options)
case(name, {"use_dynamic_shifting": True}, mu=0.9)
case(name, {"use_dynamic_shifting": True, "time_shift_type": "linear"}, mu=1.4)
case(name, {"shift": 3.0}, sigmas=[1.0, 0.8, 0.5, 0.2])
case(name, {"shift": 3.0}, timesteps=[1000.0, 700.0, 300.0])
case("FlowMatchHeunDiscreteScheduler")
case("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}, steps=7)
case("FlowMatchLCMScheduler", {"shift": 3.0}, steps=4)
case("FlowMatchLCMScheduler", {"use_dynamic_shifting": True}, mu=1.0, steps=4)

for options in [{}, {"prediction_type": "sample", "clip_sample_range": 5.0}, {"clip_sample": False}]:
    case("UnCLIPScheduler", options, steps=8)
case("UnCLIPScheduler", {"variance_type": "learned_range"}, steps=8, channels=2)
for options in [{}, {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}]:
    case("CogVideoXDDIMScheduler", options)
case("CogVideoXDDIMScheduler", {"prediction_type": "v_prediction", "snr_shift_scale": 1.0})

for options in [{}, {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}]:
    case("CogVideoXDPMScheduler", options)
case("ScoreSdeVeScheduler", {"sigma_max": 50.0})
case("ScoreSdeVeScheduler", {"sigma_max": 20.0, "snr": 0.3, "correct_steps": 2}, steps=6)
for options in [{}, {"eta": 1.0, "clip_sample": False}, {**SD, "eta": 0.5}]:
    case("RePaintScheduler", options, steps=20, jumps=[5, 2])

here = Path(__file__).parent
tensors = {"noise": NOISE, "known": KNOWN, "mask": MASK}
for name in ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"]:
    tensors[f"alphas_cumprod.{name}"] = diffusers.DDPMScheduler(beta_schedule=name).alphas_cumprod
tensors["alphas_cumprod.exp"] = torch.cumprod(
    1 - diffusers.schedulers.scheduling_ddpm.betas_for_alpha_bar(1000, alpha_transform_type="exp"), 0
)
tensors["alphas_cumprod.zero"] = diffusers.DDPMScheduler(rescale_betas_zero_snr=True, **SD).alphas_cumprod
for index, entry in enumerate(cases):
    final, entry["timesteps"] = loop(entry, NOISE, KNOWN, MASK, SEED)
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
