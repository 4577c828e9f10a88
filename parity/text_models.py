"""Language models of masked diffusion, as fixtures for src/models/llada and src/models/mdlm: logits and gradients.

LLaDA's published code is not a package: its layers are Llama's without the causal mask, and Dream's are Qwen2's, so transformers' classes with
an empty mask stand for them, under LLaDA's names. MDLM (c112c52), BD3-LM (1c3e8f4) and SEDD (0605786) are the reference repositories themselves,
given as folders: python text_models.py MDLM BD3LMS SEDD. What they take of flash-attn, which runs on CUDA alone, is written in torch here.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from networks import SEED, keys_of, save_networks, set_weights, weight_gradients
from omegaconf import OmegaConf
from text_names import llada_names
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

torch.set_num_threads(1)
tokens = torch.tensor([[5, 11, 19, 3, 2, 7, 1, 0], [4, 4, 9, 18, 22, 0, 22, 22]])


def rotated_qkv(qkv, cos, sin):
    """flash-attn's apply_rotary_emb_qkv_: queries and keys turned by halves."""
    q, k, v = qkv.unbind(2)
    turned = []
    for x in (q, k):
        a, b = x.chunk(2, dim=-1)
        c, s = cos[:, None], sin[:, None]
        turned.append(torch.cat([a * c - b * s, b * c + a * s], dim=-1))
    return torch.stack([*turned, v], dim=2)


def packed_attention(qkv, lengths, longest, dropout, causal=False):
    """flash-attn's packed attention of sequences of equal length."""
    q, k, v = qkv.reshape(-1, longest, *qkv.shape[1:]).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return out.transpose(1, 2).reshape(-1, *qkv.shape[2:])


flash = types.ModuleType("flash_attn")
flash.layers = types.ModuleType("flash_attn.layers")
flash.layers.rotary = types.ModuleType("flash_attn.layers.rotary")
flash.layers.rotary.apply_rotary_emb_qkv_ = rotated_qkv
flash.flash_attn_interface = types.ModuleType("flash_attn.flash_attn_interface")
flash.flash_attn_interface.flash_attn_varlen_qkvpacked_func = packed_attention
for module in (flash, flash.layers, flash.layers.rotary, flash.flash_attn_interface):
    module.__spec__ = importlib.util.spec_from_loader(module.__name__, None)
    sys.modules[module.__name__] = module


def load(path, name, package=None):
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(Path(path).parent)] if package else None)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Named:
    """A model under other names of its weights."""

    def __init__(self, model, names=lambda key: key, buffers=False):
        self.model, self.names, self.buffers = model, names, buffers

    def state_dict(self):
        own = dict(self.model.named_parameters())
        return {self.names(key): value for key, value in own.items()}

    def named_parameters(self):
        return [(self.names(key), value) for key, value in self.model.named_parameters()]


tensors, cases = {}, {}
generator = torch.Generator().manual_seed(SEED + 1)


def add(name, named, config, kind, logits, given):
    """A case: `logits` runs the model on what `given` holds."""
    set_weights(named)
    cases[name] = {"config": config, "class": kind, **keys_of(named)}
    out = logits()
    cotangent = torch.randn(out.shape, generator=generator)
    gradients = weight_gradients(name, named, {"logits": out}, {"logits": cotangent})
    kept = [key for key in gradients if any(part in key for part in ("q_proj", "attn_qkv", "adaLN", "wte", "embed", "norm", "head", "linear"))]
    tensors.update({f"{name}.logits": out.detach(), f"{name}.cotangent logits": cotangent})
    tensors.update({f"{name}.grad {key}": gradients[key] for key in kept})
    tensors.update({f"{name}.{key}": value.clone() for key, value in given.items()})


everything = torch.zeros(2, 1, 8, 8)
small = {"vocab_size": 24, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2}
llama = LlamaForCausalLM(LlamaConfig(**small, num_key_value_heads=2, rope_theta=500000.0, rms_norm_eps=1e-5, attn_implementation="eager")).eval()
fields = {"d_model": 12, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "mlp_hidden_size": 20, "vocab_size": 24, "embedding_size": 24}
fields |= {"rope_theta": 500000.0, "rms_norm_eps": 1e-5, "mask_token_id": 22, "model_type": "llada", "max_sequence_length": 64}
fields |= {"architectures": ["LLaDAModelLM"], "eos_token_id": 20, "pad_token_id": 20, "block_type": "llama", "layer_norm_type": "rms"}
add("llada", Named(llama, llada_names), fields, "LLaDAModelLM", lambda: llama(tokens, attention_mask=everything).logits, {"tokens": tokens})
qwen = Qwen2ForCausalLM(
    Qwen2Config(**{**small, "num_attention_heads": 6, "hidden_size": 24}, num_key_value_heads=2, rope_parameters={"rope_type": "default", "rope_theta": 1e6}, rms_norm_eps=1e-6, attn_implementation="eager", tie_word_embeddings=False)
).eval()
fields = {**small, "num_attention_heads": 6, "hidden_size": 24, "num_key_value_heads": 2, "rope_theta": 1e6, "rms_norm_eps": 1e-6, "mask_token_id": 22}
fields |= {"model_type": "Dream", "architectures": ["DreamModel"], "eos_token_id": 20, "pad_token_id": 20, "hidden_act": "silu", "max_position_embeddings": 64}
add("dream", Named(qwen), fields, "DreamModel", lambda: qwen(tokens, attention_mask=everything).logits, {"tokens": tokens})

mdlm_dir, bd3_dir, sedd_dir = map(Path, sys.argv[1:4])
shape = {"hidden_size": 16, "cond_dim": 12, "n_blocks": 2, "n_heads": 2, "dropout": 0.1, "scale_by_sigma": True, "length": 8}
sigma = torch.tensor([0.3, 1.7])
dit = load(mdlm_dir / "models" / "dit.py", "mdlm_dit")
model = dit.DIT(OmegaConf.create({"model": shape}), vocab_size=23).eval()
config = {"model_type": "mdlm", "vocab_size": 23, "model_length": 8, "hidden_dim": 16, "cond_dim": 12, "n_blocks": 2, "n_heads": 2}
config |= {"time_conditioning": True}
within = Named(model, lambda key: f"backbone.{key}")
add("mdlm", within, config, "MDLM", lambda: model(tokens, sigma).float(), {"tokens": tokens, "sigma": sigma})

hf = bd3_dir / "models" / "hf"
load(hf / "__init__.py", "bd3hf", package=True) if (hf / "__init__.py").read_text().strip() == "" else None
sys.modules.setdefault("bd3hf", types.ModuleType("bd3hf")).__path__ = [str(hf)]
load(hf / "configuration_bd3lm.py", "bd3hf.configuration_bd3lm")
bd3 = load(hf / "modeling_bd3lm.py", "bd3hf.modeling_bd3lm")
bd3_config = {"block_size": 4, "vocab_size": 23, "model_length": 8, "hidden_dim": 16, "cond_dim": 12, "n_blocks": 2, "n_heads": 2}
backbone = bd3.DITBackbone(sys.modules["bd3hf.configuration_bd3lm"].BD3LMConfig(**bd3_config, attn_backend="sdpa")).eval()
both = torch.cat([torch.where(torch.rand(2, 8, generator=generator) < 0.5, 22, tokens), tokens], dim=1)
within = Named(backbone, lambda key: f"backbone.{key}")
add("bd3lm", within, {"model_type": "bd3lm", **bd3_config}, "MDLM", lambda: backbone(both, sigma)[0].float(), {"tokens": both})
with torch.no_grad():
    tensors["bd3lm.sampled"] = backbone(tokens, sigma, sample_mode=True)[0].float()
    tensors["bd3lm.clean"] = tokens.clone()

package = types.ModuleType("sedd")
package.__path__ = [str(sedd_dir / "model")]
sys.modules["sedd"] = package
load(sedd_dir / "model" / "rotary.py", "sedd.rotary")
load(sedd_dir / "model" / "fused_add_dropout_scale.py", "sedd.fused_add_dropout_scale")
sedd = load(sedd_dir / "model" / "transformer.py", "sedd.transformer")
nested = {"tokens": 22, "graph": {"type": "absorb"}, "model": {**shape, "type": "ddit", "name": "tiny"}}
model = sedd.SEDD(OmegaConf.create(nested)).eval()
own = Named(model)
# The reference sets its own token's score to 0; src/diffusion does that, and the scale, outside of the network.
raw = {}
model.output_layer.register_forward_hook(lambda module, given, out: raw.update(out=out))


def sedd_logits():
    raw["score"] = model(tokens, sigma).float()
    return raw["out"].float()


add("sedd", own, nested, "SEDD", sedd_logits, {"tokens": tokens, "sigma": sigma})
tensors["sedd.score"] = raw["score"].detach()
save_networks("text-models", tensors, cases, {})
print(json.dumps({name: case["parameters"] for name, case in cases.items()}), transformers.__version__)
