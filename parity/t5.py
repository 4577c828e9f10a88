"""transformers' T5 and UMT5, as fixtures for src/models/t5: states, logits, gradients, buckets of position, and key sets."""

import torch
import transformers
from networks import SEED, keys_of, published_keys, save_networks, set_weights
from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration, UMT5Config, UMT5EncoderModel
from transformers.models.t5.modeling_t5 import T5Attention

torch.set_num_threads(1)
small = {"vocab_size": 20, "d_model": 12, "d_kv": 5, "d_ff": 14, "num_layers": 2, "num_heads": 3, "dropout_rate": 0.0}
small |= {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 12}
cases = {
    "v1.1": (T5EncoderModel, T5Config(**small, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "umt5": (UMT5EncoderModel, UMT5Config(**small, feed_forward_proj="gated-gelu")),
    "first": (T5ForConditionalGeneration, T5Config(**small, num_decoder_layers=1)),
    "whole": (T5ForConditionalGeneration, T5Config(**small, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
}
published = {
    "t5-v1_1-xxl": (
        T5EncoderModel,
        {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu"},
    ),
    "umt5-xxl": (
        UMT5EncoderModel,
        {
            "vocab_size": 256384,
            "d_model": 4096,
            "d_kv": 64,
            "d_ff": 10240,
            "num_layers": 24,
            "num_heads": 64,
            "feed_forward_proj": "gated-gelu",
        },
    ),
    "t5-small": (T5ForConditionalGeneration, {"d_model": 512, "d_ff": 2048}),
    "flan-t5-base": (
        T5ForConditionalGeneration,
        {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
}
tokens = torch.tensor([[5, 11, 19, 3, 2, 7, 1, 0, 0, 0], [4, 4, 9, 18, 1, 0, 0, 0, 0, 0]])
mask = torch.tensor([[1] * 7 + [0] * 3, [1] * 5 + [0] * 5])
target = torch.tensor([[0, 3, 8, 2], [0, 6, 1, 12]])


def once(model, tied=True):
    """The key set without the token table's other names. transformers 5 ties what is to be untied: here it is parted again."""
    if not tied and hasattr(model, "lm_head"):
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    keys = dict(model.state_dict())
    for key in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        keys.pop(key, None)
    if tied:
        keys.pop("lm_head.weight", None)
    return type("Keys", (), {"state_dict": lambda self: keys})()


tensors = {}
found = {}
generator = torch.Generator().manual_seed(SEED)
for name, (kind, config) in cases.items():
    model = kind(config).eval()
    tied = config.scale_decoder_outputs
    fields = {key: value for key, value in config.to_dict().items() if isinstance(value, (int, float, str, bool))}
    parted = once(model, tied)
    found[name] = {"config": {**fields, "tie_word_embeddings": tied}, "class": kind.__name__, **keys_of(parted)}
    set_weights(parted)
    seen = {"attention_mask": mask}
    if kind is T5ForConditionalGeneration:
        states = model.encoder(tokens, **seen).last_hidden_state
        logits = model(input_ids=tokens, decoder_input_ids=target, **seen).logits
        outputs = {"states": states, "logits": logits}
    else:
        outputs = {"states": model(tokens, **seen).last_hidden_state, "plain": model(tokens).last_hidden_state}
    model.zero_grad()
    cotangents = {key: torch.randn(value.shape, generator=generator) for key, value in outputs.items()}
    sum((outputs[key] * cotangents[key]).sum() for key in outputs).backward()
    tensors |= {f"{name}.{key}": value.detach() for key, value in outputs.items()}
    tensors |= {f"{name}.cotangent {key}": value for key, value in cotangents.items()}
    tensors |= {f"{name}.tokens": tokens.clone(), f"{name}.mask": mask.clone(), f"{name}.target": target.clone()}
    tensors |= {
        f"{name}.grad {key}": p.grad for key, p in model.named_parameters() if p.grad is not None and p.numel() <= 200
    }
    print(name, {key: list(value.shape) for key, value in outputs.items()})

distances = torch.arange(-300, 301)
for both in (True, False):
    side = "both" if both else "before"
    tensors[f"buckets {side}"] = T5Attention._relative_position_bucket(distances, bidirectional=both, num_buckets=32, max_distance=128)

whole = {}
with torch.device("meta"):
    for name, (kind, fields) in published.items():
        config = (UMT5Config if kind is UMT5EncoderModel else T5Config)(**fields)
        whole[name] = {"config": {**fields, "model_type": config.model_type}, "class": kind.__name__, **keys_of(once(kind(config), config.scale_decoder_outputs))}
        print(name, whole[name]["parameters"])
print("transformers", transformers.__version__)
save_networks("t5", tensors, found, whole)
