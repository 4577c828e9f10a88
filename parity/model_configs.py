"""Configs as diffusers saves them, of networks made without arguments: every field, and its default."""

import json
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, T2IAdapter, UNet2DConditionModel, UNet2DModel, VQModel

kinds = [UNet2DModel, UNet2DConditionModel, AutoencoderKL, AutoencoderTiny, VQModel, ControlNetModel, T2IAdapter]
with torch.device("meta"):
    configs = [json.loads(kind().to_json_string()) for kind in kinds]
path = Path(__file__).parent / "fixtures" / "model_configs.json"
path.write_text(json.dumps({"diffusers": diffusers.__version__, "configs": configs}, indent=1) + "\n")
