"""Whole runs of the reference samplers of text, as fixtures for src/pipelines/text: python text_runs.py LLADA DIFFUCODER MDLM SEDD.

Writes tiny checkpoints of LLaDA and Dream, with a tokenizer, into fixtures/text/, and the tokens that the references' own samplers give of them:
LLaDA's generate.py (b7e6c35), and Dream's `_sample` as DiffuCoder keeps it. The layers are those of text_models.py. The trajectories of MDLM's
ancestral sampler and of SEDD's predictors run on a table of logits in place of a network, with their draws stored.
"""

import json
import sys
import types
from pathlib import Path

import torch
from networks import set_weights
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

torch.set_num_threads(1)
llada_dir, coder_dir, mdlm_dir, sedd_dir = map(Path, sys.argv[1:5])
out = Path(__file__).parent / "fixtures" / "text"

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
special = ["<|end|>", "<|mdm_mask|>"]
lines = ["The state of the union is strong.", "My fellow citizens, the people of this nation are free.", "Peace and trade with all nations."] * 3
tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
V = tokenizer.get_vocab_size()
END, MASK = 0, 1
template = "{% for message in messages %}{{ '[' + message['role'] + '] ' + message['content'] + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}"


def write(name, config, named, chat):
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    save_file({key: value.detach().half().contiguous() for key, value in named.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, **({"chat_template": template} if chat else {})}))


def halves(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.half().float())


sys.path.insert(0, str(Path(__file__).parent))
from text_names import llada_names  # noqa: E402

small = {"vocab_size": V, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
llama = LlamaForCausalLM(LlamaConfig(**small, num_attention_heads=2, num_key_value_heads=2, rope_theta=500000.0, rms_norm_eps=1e-5, attn_implementation="eager")).eval()
set_weights(llama, 3)
with torch.no_grad():
    llama.model.embed_tokens.weight.mul_(4)
    llama.lm_head.weight.mul_(3)
halves(llama)
fields = {"architectures": ["LLaDAModelLM"], "model_type": "llada", "d_model": 16, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "mlp_hidden_size": 24}
fields |= {"vocab_size": V, "embedding_size": V, "rope_theta": 500000.0, "rms_norm_eps": 1e-5, "mask_token_id": MASK, "max_sequence_length": 64}
write("llada", fields, {llada_names(key): value for key, value in llama.state_dict().items()}, chat=True)
qwen = Qwen2ForCausalLM(
    Qwen2Config(**small, num_attention_heads=4, num_key_value_heads=2, rope_parameters={"rope_type": "default", "rope_theta": 1e6}, rms_norm_eps=1e-6, attn_implementation="eager", tie_word_embeddings=False)
).eval()
set_weights(qwen, 4)
with torch.no_grad():
    qwen.model.embed_tokens.weight.mul_(4)
    qwen.lm_head.weight.mul_(3)
halves(qwen)
fields = {"architectures": ["DreamModel"], "model_type": "Dream", **small, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 1e6}
fields |= {"rms_norm_eps": 1e-6, "mask_token_id": MASK, "max_position_embeddings": 64, "hidden_act": "silu", "tie_word_embeddings": False}
write("dream", fields, qwen.state_dict(), chat=False)


class All:
    """A model whose tokens see all others."""

    device = torch.device("cpu")

    def __init__(self, model):
        self.model = model

    @torch.no_grad()
    def __call__(self, tokens, attention_mask=None, tok_idx=None):
        n = tokens.shape[1]
        return self.model(tokens, attention_mask=torch.zeros(len(tokens), 1, n, n))


sys.path.insert(0, str(llada_dir))
from generate import generate  # noqa: E402

cases = []
prompt = "The state of"
message = f"[user] {prompt}\n[assistant] "
for given in (
    {},
    {"steps": 8},
    {"steps": 8, "block": 8},
    {"steps": 16, "block": 4, "guidance": 1.5},
    {"steps": 4, "guidance": 0.5, "raw": True},
):
    ids = torch.tensor([tokenizer.encode(prompt if given.get("raw") else message).ids])
    mask = torch.ones_like(ids)
    length = 16
    options = {"steps": given.get("steps", length), "gen_length": length, "block_length": given.get("block", length)}
    tokens = generate(All(llama), ids, mask, **options, cfg_scale=given.get("guidance", 0.0), mask_id=MASK)
    cases.append({"model": "llada", "prompt": prompt, "options": {**given, "length": length}, "tokens": tokens[0].tolist()})

sys.path.insert(0, str(coder_dir / "model"))
import generation_utils as dream  # noqa: E402

keep_tokens = lambda step, x, logits: x  # noqa: E731
keep_logits = lambda step, x, logits: logits  # noqa: E731
for given in ({}, {"steps": 5}, {"steps": 5, "order": "confidence"}, {"steps": 6, "order": "margin"}, {"steps": 4, "order": "entropy", "topP": 0.6}, {"steps": 3, "order": "entropy", "topK": 5}):
    ids = torch.tensor([tokenizer.encode(prompt).ids])
    length = 16
    names = {"confidence": "maskgit_plus", "margin": "topk_margin", "entropy": "entropy"}
    config = types.SimpleNamespace(
        output_history=False, return_dict_in_generate=False, max_length=ids.shape[1] + length, mask_token_id=MASK, steps=given.get("steps", length), eps=1e-3,
        alg=names[given.get("order", "entropy")], alg_temp=0.0, temperature=0.0, top_p=given.get("topP"), top_k=given.get("topK"),
    )
    tokens = dream.DreamGenerationMixin._sample(All(qwen), ids, None, config, keep_tokens, keep_logits)
    cases.append({"model": "dream", "prompt": prompt, "options": {**given, "length": length}, "tokens": tokens[0].tolist()})

# Samplers on a table: logits depend on the token that stands in a place, its place, and the level.
v, n, steps = 6, 5, 4
generator = torch.Generator().manual_seed(7)
table = torch.randn(v, n, v, generator=generator)
tensors = {"table": table}


def network(tokens, sigma):
    return torch.stack([torch.stack([table[t, i] for i, t in enumerate(row)]) for row in tokens]) * (1 + 0.1 * sigma.reshape(-1, 1, 1))


draws = []


def stored(probabilities):
    u = torch.rand(probabilities.shape, generator=generator)
    draws.append(u)
    return (probabilities / (1e-10 - (u + 1e-10).log())).argmax(dim=-1)


import importlib.util  # noqa: E402

for name in ("lightning", "hydra", "torchmetrics", "torchmetrics.aggregation", "dataloader", "models", "models.ema", "utils", "transformers_stub", "hydra.utils"):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules["lightning"].LightningModule = object
sys.modules["torchmetrics"].aggregation = sys.modules["torchmetrics.aggregation"]
sys.modules["torchmetrics"].MetricCollection = object
sys.modules["torchmetrics.aggregation"].MeanMetric = object
sys.path.insert(0, str(mdlm_dir))
spec = importlib.util.spec_from_file_location("mdlm_diffusion", mdlm_dir / "diffusion.py")
mdlm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mdlm)
import noise_schedule  # noqa: E402


class Run(mdlm.Diffusion):
    def __init__(self):
        self.parameterization, self.sampler, self.ema, self.time_conditioning = "subs", "ddpm", None, True
        self.mask_index, self.neg_infinity, self.vocab_size, self.device = v - 1, -1000000.0, v, torch.device("cpu")
        self.noise = noise_schedule.LogLinearNoise()
        self.config = types.SimpleNamespace(
            loader=types.SimpleNamespace(eval_batch_size=1), model=types.SimpleNamespace(length=n),
            sampling=types.SimpleNamespace(steps=steps, noise_removal=True), noise=types.SimpleNamespace(type="loglinear"),
        )

    def backbone(self, tokens, sigma):
        return network(tokens, sigma)


mdlm._sample_categorical = stored
run = Run()
noise = noise_schedule.LogLinearNoise()
tensors["mdlm.tokens"] = run._sample(num_steps=steps)
tensors["mdlm.draws"] = torch.stack(draws)
clean = torch.tensor([[0, 1, 2, 3, 4], [4, 4, 0, 2, 1]])
noisy = torch.where(torch.rand(2, n, generator=generator) < 0.6, v - 1, clean)
t = torch.tensor([0.35, 0.8])
sigma, dsigma = noise(t)
logp = run.forward(noisy, sigma)
nll = -torch.gather(logp, -1, clean[..., None]).squeeze(-1) * (dsigma / torch.expm1(sigma))[:, None]
tensors |= {"clean": clean, "noisy": noisy, "times": t, "mdlm.loss": nll}

sys.path.insert(0, str(sedd_dir))
for name in ("model", "catsample"):
    sys.modules.pop(name, None)
catsample = types.ModuleType("catsample")
catsample.sample_categorical = lambda probabilities, method="hard": stored(probabilities)
catsample.gumbel_softmax = catsample.unsqueeze_as = lambda x, y, back=True: x.view(*x.shape, *((1,) * (len(y.shape) - len(x.shape)))) if back else x
sys.modules["catsample"] = catsample
package = types.ModuleType("model")
package.utils = types.ModuleType("model.utils")
sys.modules |= {"model": package, "model.utils": package.utils}
import graph_lib  # noqa: E402
import noise_lib  # noqa: E402
import sampling as sedd  # noqa: E402

for kind in ("absorb", "uniform"):
    graph = graph_lib.Absorbing(v - 1) if kind == "absorb" else graph_lib.Uniform(v)
    level = noise_lib.LogLinearNoise(1e-3)

    def log_score(x, s):
        s = s.reshape(-1)
        logits = network(x, s)
        return torch.scatter(logits, -1, x[..., None], torch.zeros_like(logits[..., :1]))

    dirty = noisy if kind == "absorb" else torch.where(torch.rand(2, n, generator=generator) < 0.5, torch.randint(0, v, (2, n), generator=generator), clean)
    total = level(t)[0]
    tensors[f"sedd.{kind}.noisy"] = dirty.clone()
    tensors[f"sedd.{kind}.loss"] = graph.score_entropy(log_score(dirty, total), total[:, None], dirty, clean)
    for predictor in ("analytic", "euler"):
        draws.clear()
        start = torch.full((1, n), v - 1) if kind == "absorb" else torch.tensor([[3, 1, 5, 0, 2]])
        x, step = start.clone(), (1 - 1e-5) / steps
        update = sedd.get_predictor(predictor)(graph, level)
        score = lambda x, s: log_score(x, s).exp()  # noqa: E731
        times = torch.linspace(1, 1e-5, steps + 1)
        for i in range(steps):
            x = update.update_fn(score, x, times[i] * torch.ones(1, 1), step)
        x = sedd.Denoiser(graph, level).update_fn(score, x, times[-1] * torch.ones(1, 1))
        tensors |= {f"sedd.{kind}.start": start.clone(), f"sedd.{kind}.{predictor}.tokens": x.clone()}
        # The reference draws the last time without the mask's column: here that column's draw is one that never wins.
        last = draws[-1] if draws[-1].shape[-1] == v else torch.cat([draws[-1], torch.zeros(1, n, 1)], dim=-1)
        tensors[f"sedd.{kind}.{predictor}.draws"] = torch.stack([*draws[:-1], last])

save_file({key: value.contiguous() for key, value in tensors.items()}, out / "samplers.safetensors", metadata={"torch": torch.__version__})
(out / "cases.json").write_text(json.dumps(cases))
for case in cases:
    print(case["model"], case["options"], case["tokens"])
