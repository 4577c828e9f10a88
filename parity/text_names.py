"""LLaDA's names of the weights of transformers' Llama."""


def llada_names(key):
    for old, new in (
        ("model.embed_tokens", "model.transformer.wte"),
        ("model.norm", "model.transformer.ln_f"),
        ("lm_head", "model.transformer.ff_out"),
        ("model.layers", "model.transformer.blocks"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ff_norm"),
        ("self_attn.o_proj", "attn_out"),
        ("self_attn.", ""),
        ("mlp.gate_proj", "ff_proj"),
        ("mlp.up_proj", "up_proj"),
        ("mlp.down_proj", "ff_out"),
    ):
        key = key.replace(old, new)
    return key
