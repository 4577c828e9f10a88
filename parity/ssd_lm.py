"""SSD-LM, as fixtures for src/models/roberta and src/diffusion/simplex: logits, gradients and a whole decoding.

The reference (xhan77/ssd-lm, c0b6761) is a program: its functions are taken out of it and run as they are, on a tiny RoBERTa of transformers, with
its random numbers written down. python ssd_lm.py PATH/TO/ssd_model_decode.py
"""

import ast
import json
import logging
import math
import sys
import types
from pathlib import Path

import torch
from networks import keys_of, no_faint, save_networks, set_weights
from transformers import RobertaConfig, RobertaForMaskedLM, RobertaForSequenceClassification

torch.set_num_threads(1)
V, H, block, context, steps, K = 19, 16, 4, 3, 5, 2.0
fields = {"vocab_size": V, "hidden_size": H, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
fields |= {"max_position_embeddings": 16, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1, "hidden_act": "gelu"}
options = {**fields, "attn_implementation": "eager", "tie_word_embeddings": True}
model = RobertaForMaskedLM(RobertaConfig(**options, block_size=block)).eval()
classifier = RobertaForSequenceClassification(RobertaConfig(**options, num_labels=3)).eval()
embed_sum_layer = torch.nn.Linear(V, H, bias=False)
timestep_layer = torch.nn.Linear(1, H)


class Together:
    """The weights of the three, as one network has them."""

    def named_parameters(self):
        own = {key: p for key, p in model.named_parameters() if p.requires_grad}
        own |= {f"embed_sum_layer.{key}": p for key, p in embed_sum_layer.named_parameters()}
        return list((own | {f"timestep_layer.{key}": p for key, p in timestep_layer.named_parameters()}).items())

    def state_dict(self):
        return dict(self.named_parameters())


class Learning(Together):
    """Of the classifier, what it has."""

    def named_parameters(self):
        return list(classifier.named_parameters())


names = ("get_time_variables", "apply_controlling_drift", "logits_projection", "decode")
source = ast.parse(Path(sys.argv[1]).read_text())
source.body = [node for node in source.body if isinstance(node, ast.FunctionDef) and node.name in names]
quiet = logging.getLogger("quiet")
quiet.disabled = True
given = {"torch": torch, "math": math, "logger": quiet, "colored": lambda text, _: text}
given["tqdm"] = lambda *_, **__: types.SimpleNamespace(update=lambda _: None)
exec(compile(source, sys.argv[1], "exec"), given)

tensors, cases = {}, {}
whole = Together()
set_weights(whole)
set_weights(Learning())
cases["ssdlm"] = {"config": {**fields, "block_size": block, "one_hot_value": K}, **keys_of(whole)}
labels = {"0": "whig", "1": "federalist", "2": "union"}
cases["classifier"] = {"config": {**fields, "id2label": labels}, **keys_of(Learning())}
generator = torch.Generator().manual_seed(3)

tokens = torch.tensor([[5, 11, 3], [4, 9, 18]])
x = torch.randn(2, block, V, generator=generator) * K
t = torch.tensor([0.3, 0.9])


def logits_of(x, t):
    vectors = embed_sum_layer(torch.softmax(x, -1)) + timestep_layer(t.view(2, 1, 1).repeat(1, block, 1))
    vectors = torch.cat([model.get_input_embeddings()(tokens), vectors], 1)
    return model(inputs_embeds=vectors).logits[:, context:]


out = logits_of(x, t)
cotangent = torch.randn(out.shape, generator=generator)
(out * cotangent).sum().backward()
gradients = {key: p.grad for key, p in whole.named_parameters()}
# A constant added to every key leaves the softmax alone.
no_faint("ssdlm", {key: value for key, value in gradients.items() if not key.endswith("key.bias")})
kept = ("embed_sum", "timestep", "word_embeddings", "position_embeddings", "0.attention", "1.output", "lm_head")
tensors |= {"ssdlm.context": tokens, "ssdlm.x": x, "ssdlm.t": t, "ssdlm.logits": out.detach(), "ssdlm.cotangent logits": cotangent}
tensors |= {f"ssdlm.grad {key}": value for key, value in gradients.items() if any(part in key for part in kept) and not key.endswith("key.bias")}

# Guidance: the gradient of one label's log-probability, of the first text alone: the reference takes that of the batch's mean.
drift = types.SimpleNamespace(decode_ctr_lr=7.0, ctr_model=classifier)
logits = torch.randn(1, block, V, generator=generator)
tensors |= {"classifier.logits": logits, "classifier.guided": given["apply_controlling_drift"](drift, logits).detach()}

draws = []
plain_normal = torch.normal


def noted(mean, std, size):
    value = plain_normal(mean, std, size=size, generator=generator)
    draws.append(value)
    return value


torch.normal = noted
decoding_seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
set_weights(whole, decoding_seed)
cases["decode"] = {"seed": decoding_seed, "steps": steps, "block": block, "weight": 7}
for name, top_p, ctr in (("greedy", 0.0, 0.0), ("multi-hot", 0.4, 0.0), ("guided", 0.4, 7.0)):
    draws.clear()
    args = types.SimpleNamespace(per_device_eval_batch_size=1, decode_truncate_len=0, context_size=context, max_seq_length=context + 2 * block)
    args.noise_manual_scale, args.one_hot_value, args.vocab_size, args.sigma_num_steps = 1.0, K, V, steps
    args.accelerator = types.SimpleNamespace(device="cpu", is_local_main_process=False)
    args.decode_ctr_lr, args.ctr_model, args.projection_top_p, args.loss_mode = ctr, classifier, top_p, "xe"
    words = types.SimpleNamespace(batch_decode=lambda ids: [str(ids)])
    batch = torch.cat([tokens[:1], torch.zeros(1, 2 * block, dtype=torch.long)], 1)
    with torch.no_grad():
        made = given["decode"](args, batch, 2, steps, model.get_input_embeddings(), embed_sum_layer, timestep_layer, model, words)
    tensors |= {f"decode.{name}.tokens": made[0], f"decode.{name}.draws": torch.stack(draws)}
    print(name, made[0].tolist())

save_networks("ssd-lm", tensors, cases, {})

# A folder as the reference's program writes it.
folder = Path(__file__).parent / "fixtures" / "text" / "ssd-lm"
model.save_pretrained(folder)
torch.save(embed_sum_layer.state_dict(), folder / "embed_sum_layer.pt")
torch.save(timestep_layer.state_dict(), folder / "timestep_layer.pt")
