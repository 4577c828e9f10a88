"""
Every scheduler class of diffusers with every option, its own and the other classes', one at a time and several at once, in short
loops: fixtures for src/diffusion/schedulers/options.test.ts. A config that diffusers refuses, or that gives it NaN, is recorded as such.
"""

import inspect
import json
import random
import warnings
from importlib import import_module
from pathlib import Path

import diffusers
import numpy
import torch
from safetensors.torch import save_file
from scheduler_loops import loop

warnings.filterwarnings("ignore")
numpy.seterr(all="ignore")
diffusers.logging.set_verbosity(100)
torch.set_num_threads(1)
SEED = 7
SHAPE = (1, 3, 2, 3)  # three channels, as diffusers splits a learned variance off after the third
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
KNOWN = torch.tanh(torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)))
MASK = torch.tensor([1.0, 0.0, 1.0]).expand(1, 1, 2, 3).contiguous()

CLASSES = """DDPM DDIM EulerDiscrete HeunDiscrete LMSDiscrete KDPM2Discrete EulerAncestralDiscrete KDPM2AncestralDiscrete DPMSolverSDE
DPMSolverMultistep DPMSolverSinglestep DEISMultistep UniPCMultistep SASolver DDPMParallel DDIMParallel PNDM IPNDM DDIMInverse
DPMSolverMultistepInverse LCM TCD CMStochasticIterative EDMEuler EDMDPMSolverMultistep FlowMatchEulerDiscrete FlowMatchHeunDiscrete
FlowMatchLCM UnCLIP CogVideoXDDIM CogVideoXDPM ScoreSdeVe RePaint""".split()

# The values that are tried of every option. Those that take code (solver_p, tau_func) or grow the sample (scale_factors) are left out.
VALUES = {
    "num_train_timesteps": [500],
    "beta_start": [0.002],
    "beta_end": [0.03],
    "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp"],
    "variance_type": ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"],
    "clip_sample": [True, False],
    "clip_sample_range": [0.6],
    "prediction_type": ["epsilon", "sample", "v_prediction", "flow_prediction"],
    "thresholding": [True],
    "dynamic_thresholding_ratio": [0.8],
    "sample_max_value": [1.4],
    "timestep_spacing": ["leading", "linspace", "trailing"],
    "steps_offset": [1],
    "rescale_betas_zero_snr": [True],
    "set_alpha_to_one": [True, False],
    "interpolation_type": ["log_linear"],
    "use_karras_sigmas": [True],
    "use_exponential_sigmas": [True],
    "use_beta_sigmas": [True],
    "use_lu_lambdas": [True],
    "use_flow_sigmas": [True],
    "sigma_min": [0.05],
    "sigma_max": [9.0],
    "timestep_type": ["continuous"],
    "final_sigmas_type": ["zero", "sigma_min"],
    "noise_sampler_seed": [3],
    "solver_order": [0, 1, 2, 3, 4],
    "algorithm_type": ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis", "noise_prediction"],
    "solver_type": ["midpoint", "heun", "logrho", "bh1", "bh2"],
    "lower_order_final": [True, False],
    "euler_at_final": [True],
    "flow_shift": [3.0],
    "lambda_min_clipped": [-4.5],
    "use_dynamic_shifting": [True],
    "time_shift_type": ["linear"],
    "predict_x0": [False],
    "disable_corrector": [[0, 2]],
    "shift_terminal": [0.1],
    "predictor_order": [1, 3, 4],
    "corrector_order": [0, 1, 3, 4],
    "skip_prk_steps": [True, False],
    "original_inference_steps": [100, 7],
    "timestep_scaling": [5.0],
    "sigma_data": [1.0],
    "s_noise": [0.9],
    "rho": [5.0],
    "clip_denoised": [False],
    "sigma_schedule": ["exponential"],
    "shift": [3.0],
    "base_shift": [0.3],
    "max_shift": [1.3],
    "base_image_seq_len": [64],
    "max_image_seq_len": [1024],
    "invert_sigmas": [True],
    "stochastic_sampling": [True],
    "upscale_mode": ["bilinear"],
    "snr_shift_scale": [1.0],
    "snr": [0.3],
    "sampling_eps": [1e-3],
    "correct_steps": [2],
    "eta": [0.5],
}
CODE = {"trained_betas", "solver_p", "tau_func", "scale_factors", "kwargs"}
# Of these several values decide between branches; of the others one value more than the default shows whether it acts.
BASES = {
    "final_sigmas_type": {"use_karras_sigmas": True},
    "sigma_min": {"use_karras_sigmas": True},
    "sigma_max": {"use_exponential_sigmas": True},
    "flow_shift": {"use_flow_sigmas": True},
    "shift_terminal": {"use_flow_sigmas": True},
    "time_shift_type": {"use_dynamic_shifting": True, "use_flow_sigmas": True},
    "dynamic_thresholding_ratio": {"thresholding": True},
    "sample_max_value": {"thresholding": True},
    "clip_sample_range": {"clip_sample": True},
    "stochastic_sampling": {"invert_sigmas": True},
}


def class_of(short):
    name = short + "Scheduler"
    module = import_module("diffusers.schedulers.scheduling_dpmsolver_sde") if short == "DPMSolverSDE" else diffusers
    return getattr(module, name)


def is_learned(short, config):
    """Whether the network must give a variance beside its prediction."""
    own = inspect.signature(class_of(short).__init__).parameters
    return "variance_type" in own and config.get("variance_type") in ("learned", "learned_range")


# A row is [config, number of the run, number of the result or why there is none]; results with their timesteps are kept once.
rows, runs, results, spans, times = {}, [], [], [], []
numbers = {}
seen = set()


def record(short, config, run):
    key = json.dumps([short, config, run], sort_keys=True)
    if key in seen:
        return
    seen.add(key)
    runs.extend([] if run in runs else [run])
    mine = rows.setdefault(short + "Scheduler", [])
    case = {"class": short + "Scheduler", "config": config, "run": run, "channels": 2 if is_learned(short, config) else 1}
    try:
        final, timesteps = loop(case, NOISE, KNOWN, MASK, SEED, shared=True)
    except Exception:  # what diffusers cannot do is a result too
        mine.append([config, runs.index(run), "refused"])
        return
    if not final.isfinite().all() or not all(map(lambda t: t == t and abs(t) < 1e30, timesteps)):
        mine.append([config, runs.index(run), "not finite"])
        return
    bits = final.numpy().tobytes() + numpy.float32(timesteps).tobytes()
    if bits not in numbers:
        numbers[bits] = len(results)
        spans.append([len(times), len(timesteps)])
        results.append(final.reshape(-1))
        times.extend(timesteps)
    mine.append([config, runs.index(run), numbers[bits]])


def runs_of(short, config, pick):
    """A run for a class: how many steps, or timesteps or levels of one's own, and what else a step takes."""
    accepted = inspect.signature(class_of(short).set_timesteps).parameters
    run = {"steps": pick.choice([1, 2, 3, 4, 5, 6, 7, 11, 13, 16])}
    way = pick.random()
    if "timesteps" in accepted and way < 0.2:
        whole = sorted(pick.sample(range(1, 490), pick.choice([2, 4, 6])), reverse=True)
        run = {"timesteps": [t + 0.7 for t in whole] if way < 0.06 else whole}
    elif "sigmas" in accepted and way < 0.35:
        top = 1.0 if "Flow" in short else 9.0
        run = {"sigmas": [top * s for s in sorted((round(pick.uniform(0.02, 0.99), 3) for _ in range(4)), reverse=True)]}
    return with_extras(short, config, run, pick)


def with_extras(short, config, run, pick):
    steps = run.get("steps") or len(run.get("timesteps") or run.get("sigmas"))
    accepted = inspect.signature(class_of(short).set_timesteps).parameters
    if "mu" in accepted and config.get("use_dynamic_shifting"):
        run["mu"] = 0.8
    if short in ("DDIM", "DDIMParallel", "TCD"):
        run["eta"] = pick.choice([0.0, 0.4, 1.0])
    if short == "RePaint":
        run = {"steps": 8, "jumps": [3, 2]}
    if short in ("EulerDiscrete", "EDMEuler") and pick.random() < 0.2:
        run["churn"] = {"amount": 2.0, "noise": 1.01}
    if short not in ("RePaint", "ScoreSdeVe", "CogVideoXDPM", "UnCLIP", "DPMSolverSDE", "PNDM") and steps > 2 and pick.random() < 0.15:
        run["start"] = 1
    return run


def plain(short):
    return {"steps": 8, "jumps": [3, 2]} if short == "RePaint" else {"steps": 6}


own = {short: [k for k in inspect.signature(class_of(short).__init__).parameters if k != "self"] for short in CLASSES}
unknown = {k for keys in own.values() for k in keys} - VALUES.keys() - CODE
assert not unknown, f"no values for {unknown}"

for short in CLASSES:
    pick = random.Random(short)
    mu = {"mu": 0.8} if "mu" in inspect.signature(class_of(short).set_timesteps).parameters else {}
    record(short, {}, plain(short))
    # One option at a time, and again beside those that make it act.
    for option, values in VALUES.items():
        for value in values:
            record(short, {option: value}, {**plain(short), **(mu if option == "use_dynamic_shifting" else {})})
            base = BASES.get(option)
            if base and any(k in own[short] for k in base):
                record(short, {**base, option: value}, {**plain(short), **(mu if "use_dynamic_shifting" in base else {})})
    # Levels and timesteps of one's own.
    accepted = inspect.signature(class_of(short).set_timesteps).parameters
    if "timesteps" in accepted:
        for given in ([400, 333, 90, 4], [430.7, 200.2, 17.5]):
            record(short, {}, {"timesteps": given, **({"eta": 0.3} if short == "TCD" else {})})
    if "sigmas" in accepted:
        for final in ("zero", "sigma_min"):
            levels = [0.97, 0.6, 0.3, 0.05] if "Flow" in short else [9.0, 3.0, 0.8, 0.2]
            record(short, {"final_sigmas_type": final}, {"sigmas": levels})
    # Several at once, most of them the class's own.
    choices = [k for k in own[short] if k in VALUES]
    for _ in range(ROUNDS := 14 if len(choices) > 8 else 7):
        names = pick.sample(choices, min(len(choices), pick.choice([2, 3, 4, 6])))
        names += pick.sample(sorted(VALUES), pick.choice([0, 0, 1, 2]))
        spreads = [n for n in names if n in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")]
        config = {n: pick.choice(VALUES[n]) for n in names if n not in spreads[1:]}
        record(short, config, runs_of(short, config, pick))

here = Path(__file__).parent
every = [row for mine in rows.values() for row in mine]
counts = {why: sum(row[2] == why for row in every) for why in ("refused", "not finite")}
metadata = {
    "diffusers": diffusers.__version__,
    "torch": torch.__version__,
    "numpy": numpy.__version__,
    "seed": str(SEED),
    "cases": json.dumps({"rows": rows, "runs": runs, "spans": spans}, separators=(",", ":")),
}
tensors = {"noise": NOISE, "known": KNOWN, "mask": MASK, "results": torch.stack(results), "times": torch.tensor(times)}
save_file(tensors, here / "fixtures" / "scheduler_options.safetensors", metadata=metadata)
print(len(every), "configs,", len(results), "different results,", counts)
