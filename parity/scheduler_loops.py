"""One whole sampling loop of a diffusers scheduler, for schedulers.py and scheduler_options.py."""

import inspect
import math
import sys
import types
from importlib import import_module

import diffusers
import torch

# DPMSolverSDEScheduler imports torchsde for noise that SteppedNoise replaces here.
sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))


def model(x, t, channels=1):
    """Smooth, neither odd nor even, and different at every timestep."""
    out = x * (0.7 + 0.2 * math.cos(0.01 * t)) + 0.1 * x**2 / (1 + x**2)
    if channels == 1:
        return out
    return torch.cat([out, torch.tanh(x * 0.5)], dim=1)


class SteppedNoise:
    """Stands for torchsde's Brownian tree: two normals a step, for the part to the middle and for the rest."""

    def __init__(self, generator, shape):
        self.generator, self.shape, self.step = generator, shape, None

    def __call__(self, sigma, sigma_next):
        if self.step is None:
            self.step = sigma, sigma_next, *(torch.randn(self.shape, generator=self.generator) for _ in range(2))
            return self.step[2]
        start, middle, first, second = self.step
        self.step = None
        share = (start - middle) / (start - sigma_next)
        return first * share**0.5 + second * (1 - share) ** 0.5


def score_sde(scheduler, x, generator):
    """The loop of ScoreSdeVePipeline; the network's output is the score."""
    told = []
    for i, t in enumerate(scheduler.timesteps):
        sigma = float(scheduler.sigmas[i])
        for _ in range(scheduler.config.correct_steps):
            x = scheduler.step_correct(score(x, sigma), x, generator=generator).prev_sample
            told.append(sigma)
        x, mean = scheduler.step_pred(score(x, sigma), t, x, generator=generator, return_dict=False)
        told.append(sigma)
    return mean, told


def score(x, sigma):
    return (model(x, sigma) - x) / (1 + sigma**2)


def repaint(scheduler, x, known, mask, generator):
    """The loop of RePaintPipeline, with half of each picture known."""
    timesteps, last = [], scheduler.timesteps[0] + 1
    for t in scheduler.timesteps:
        if t < last:
            x = scheduler.step(model(x, float(t)), t, x, known, mask, generator).prev_sample
            timesteps.append(float(t))
        else:
            x = scheduler.undo_step(x, last, generator)
        last = t
    return x, timesteps


def loop(case, noise, known, mask, seed, shared=False):
    """The final sample and the timesteps. `shared`: the config may be another class's, as `from_config` takes it."""
    name = case["class"]
    module = import_module("diffusers.schedulers.scheduling_dpmsolver_sde") if name == "DPMSolverSDEScheduler" else diffusers
    kind = getattr(module, name)
    scheduler = kind.from_config(case["config"]) if shared else kind(**case["config"])
    run = case["run"]
    accepted = inspect.signature(scheduler.set_timesteps).parameters
    arguments = {}
    if "timesteps" in run:
        arguments["timesteps"] = run["timesteps"]
    elif "sigmas" in run:
        arguments["sigmas"] = run["sigmas"] + ([0.0] if name == "EulerDiscreteScheduler" else [])
    else:
        arguments["num_inference_steps"] = run["steps"]
    if "mu" in run:
        arguments["mu"] = run["mu"]
    if name == "RePaintScheduler":
        arguments.update(jump_length=run["jumps"][0], jump_n_sample=run["jumps"][1])
    scheduler.set_timesteps(**arguments)
    if name == "ScoreSdeVeScheduler":
        scheduler.set_sigmas(run["steps"])
    generator = torch.Generator().manual_seed(seed)
    if name == "DPMSolverSDEScheduler":
        scheduler.noise_sampler = SteppedNoise(generator, noise.shape)
    step = {}
    accepted = inspect.signature(scheduler.step).parameters if hasattr(scheduler, "step") else {}
    if "generator" in accepted:
        step["generator"] = generator
    if "eta" in run:
        step["eta"] = run["eta"]
    if "useClippedModelOutput" in run:
        step["use_clipped_model_output"] = run["useClippedModelOutput"]
    if "churn" in run:
        names = {"amount": "s_churn", "min": "s_tmin", "max": "s_tmax", "noise": "s_noise"}
        step.update({names[k]: v for k, v in run["churn"].items()})
    x = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    timesteps = []
    if name == "ScoreSdeVeScheduler":
        return score_sde(scheduler, x, generator)
    if name == "RePaintScheduler":
        return repaint(scheduler, x, known, mask, generator)
    old = None
    late = scheduler.timesteps[run.get("start", 0) * getattr(scheduler, "order", 1) :]
    if "start" in run and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(run["start"] * scheduler.order)
    for i, t in enumerate(late):
        if name == "CogVideoXDPMScheduler":
            back = late[i - 1] if i > 0 else None
            x, old = scheduler.step(model(x, float(t)), old, t, back, x, generator=generator, return_dict=False)
            timesteps.append(float(t))
            continue
        if name == "UnCLIPScheduler" and i + 1 < len(late):
            step["prev_timestep"] = late[i + 1]
        elif name == "UnCLIPScheduler":
            step.pop("prev_timestep", None)
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(model(scaled, float(t), case["channels"]), t, x, **step).prev_sample
        timesteps.append(float(t))
    return x.float(), timesteps
