"""kohya's names of a LoRA's modules and diffusers' own conversion of them, for src/checkpoints/lora-keys.ts."""

import json
from pathlib import Path

import diffusers
import torch
from diffusers.loaders import lora_conversion_utils as reference

here = Path(__file__).parent / "fixtures"
cases = json.loads((here / "single_file.json").read_text())["cases"]


class Layers:
    layers_per_block = 2


def converted(names, sgm):
    """diffusers' keys of one module a name, each told apart by its value."""
    state = {}
    for i, name in enumerate(names):
        state |= {f"{name}.lora_down.weight": torch.tensor([float(i)]), f"{name}.lora_up.weight": torch.tensor([0.0])}
    if sgm:
        state = reference._maybe_map_sgm_blocks_to_diffusers(state, Layers)
    out, _ = reference._convert_non_diffusers_lora_to_diffusers(state)
    downs = {key: value for key, value in out.items() if key.endswith(("down.weight", "lora_A.weight"))}
    return {names[int(value)]: key for key, value in downs.items()}


def flat(prefix, key):
    return prefix + key.removesuffix(".weight").replace(".", "_")


found = {}
attention = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight", "proj_in.weight", "proj_out.weight", "net.0.proj.weight", "net.2.weight")
layers = (*attention, "conv1.weight", "conv2.weight", "time_emb_proj.weight", "conv_shortcut.weight", "samplers.0.conv.weight")
for kind, prefixes in {"sd1": {"text_encoder": "lora_te_"}, "xl-base": {"text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}}.items():
    case = cases[kind]
    names = [flat("lora_unet_", key) for key in case["components"]["unet"] if key.endswith(layers)]
    for component, prefix in prefixes.items():
        names += [flat(prefix, key) for key in case["components"][component] if key.endswith(("_proj.weight", "fc1.weight", "fc2.weight"))]
    found[kind] = converted(names, False)
    if kind == "xl-base":
        original = [key.removeprefix("model.diffusion_model.") for key in case["original"] if key.startswith("model.diffusion_model.")]
        ends = ("skip_connection.weight", "emb_layers.1.weight", "in_layers.2.weight", "out_layers.3.weight", "0.op.weight", ".conv.weight")
        found["xl-sgm"] = converted([flat("lora_unet_", key) for key in original if key.endswith((*attention, *ends))], True)
result = {"provenance": {"diffusers": diffusers.__version__, "torch": torch.__version__}, "names": found}
(here / "lora_names.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
print({kind: len(names) for kind, names in found.items()})
for kind, names in found.items():
    print(kind, list(names.items())[::97][:8])
