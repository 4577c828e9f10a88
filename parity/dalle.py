"""DALL·E's discrete autoencoders and transformers, as fixtures for src/models/dvae and dalle: outputs, gradients, key sets, token choices.

    pip install attrs einops axial-positional-embedding==0.2.1 rotary-embedding-torch==0.1.5
    git clone https://github.com/openai/DALL-E && git -C DALL-E checkout 5be4b23
    git clone https://github.com/lucidrains/DALLE-pytorch && git -C DALLE-pytorch checkout 58c1e1a
    git clone https://github.com/openai/CLIP && git -C CLIP checkout d05afc4
    python parity/dalle.py DALL-E DALLE-pytorch CLIP

DALLE-pytorch has no masks of the paper: those stand against a small transformer written here from the paper's figure 11.
"""

import hashlib
import importlib.util
import re
import shutil
import sys
import types
from pathlib import Path

import attr
import torch
import torch.nn.functional as F
from networks import SEED, keys_of, no_faint, save_networks, set_weights
from torch import nn
from transformers import CLIPImageProcessor, CLIPTokenizer

torch.set_num_threads(1)
openai, lucidrains, clip = map(Path, sys.argv[1:4])
here = Path(__file__).parent / "fixtures"
sys.path.insert(0, str(openai))
requests = types.ModuleType("requests")
sys.modules["requests"] = requests
# Its classes ask for published widths; smaller ones are the same code.
attr.set_run_validators(False)
from dall_e import Decoder, Encoder, map_pixels, unmap_pixels  # noqa: E402

package = types.ModuleType("dalle_pytorch")
package.__path__ = [str(lucidrains / "dalle_pytorch")]
sys.modules["dalle_pytorch"] = package
for name in ("distributed_utils", "vae"):
    sys.modules[f"dalle_pytorch.{name}"] = types.ModuleType(f"dalle_pytorch.{name}")
package.distributed_utils = sys.modules["dalle_pytorch.distributed_utils"]
package.distributed_utils.is_distributed = False
for kind in ("OpenAIDiscreteVAE", "VQGanVAE"):
    setattr(sys.modules["dalle_pytorch.vae"], kind, type(kind, (nn.Module,), {}))
from dalle_pytorch.dalle_pytorch import DALLE, DiscreteVAE, gumbel_sample, top_k  # noqa: E402

tensors, cases = {}, {}
generator = torch.Generator().manual_seed(SEED)


def randn(*shape):
    return torch.randn(shape, generator=generator)


def rand(*shape):
    return torch.rand(shape, generator=generator)


def canonical(key):
    """As src/models/dalle/keys.ts renames them."""
    key = re.sub(r"(\.fn)+(?=\.)", "", key)
    halves = {"f": "0", "g": "1"}
    return re.sub(r"^transformer\.layers\.blocks\.(\d+)\.([fg])\.net\.", lambda m: f"transformer.layers.layers.{m[1]}.{halves[m[2]]}.", key)


def is_buffer(key):
    return key == "transformer.pos_emb" or key.startswith("vae.") or re.match(r"(text|image)_emb\.linear\.", key)


class Named(nn.Module):
    """A network whose checkpoint has langevin's names: what networks.py goes through."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def state_dict(self):
        return {canonical(key): value for key, value in self.model.state_dict().items() if not is_buffer(key)}

    def named_parameters(self):
        own = dict(self.model.named_parameters(remove_duplicate=False))
        return {canonical(key): value for key, value in own.items() if not is_buffer(key)}.items()


def keep(name, given, leaves, outputs, model, share=1e-3):
    """Outputs, cotangents and gradients of one case."""
    cotangents = {key: randn(*value.shape) for key, value in outputs.items()}
    sum((outputs[key] * cotangents[key]).sum() for key in outputs).backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    no_faint(name, gradients, share)
    kept = {key: value for key, value in gradients.items() if value.numel() <= 60}
    tensors.update({f"{name}.{key}": value.detach().clone() for key, value in {**given, **outputs}.items()})
    tensors.update({f"{name}.cotangent {key}": value for key, value in cotangents.items()})
    tensors.update({f"{name}.grad {key}": value.clone() for key, value in kept.items()})
    tensors.update({f"{name}.grad {key}": value.grad for key, value in leaves.items() if value.grad is not None})
    print(name, {key: list(value.shape) for key, value in outputs.items()}, len(kept), "of", len(gradients))


# OpenAI's autoencoder.
class OpenAIDiscreteVAE(nn.Module):
    def __init__(self, n_hid, n_init, n_blk_per_group, vocab_size):
        super().__init__()
        common = {"n_hid": n_hid, "n_blk_per_group": n_blk_per_group, "vocab_size": vocab_size}
        self.enc = Encoder(**common)
        self.dec = Decoder(n_init=n_init, **common)
        self.requires_grad_()


for name, config in {
    "openai": {"n_hid": 8, "n_init": 6, "n_blk_per_group": 1, "vocab_size": 12},
    "openai two blocks": {"n_hid": 20, "n_init": 5, "n_blk_per_group": 2, "vocab_size": 7},
}.items():
    model = OpenAIDiscreteVAE(**config)
    cases[name] = {"config": {"_class_name": "OpenAIDiscreteVAE", **config}, **keys_of(model)}
    set_weights(model)
    given = {"images": rand(2, 3, 16, 24), "codes": torch.softmax(randn(2, config["vocab_size"], 2, 3), 1)}
    leaves = {key: value.clone().requires_grad_() for key, value in given.items()}
    outputs = {"logits": model.enc(map_pixels(leaves["images"])), "outputs": model.dec(leaves["codes"])}
    tokens = outputs["logits"].argmax(1)
    hot = F.one_hot(tokens, config["vocab_size"]).permute(0, 3, 1, 2).float()
    given["tokens"] = tokens
    tensors[f"{name}.picture"] = unmap_pixels(torch.sigmoid(model.dec(hot)[:, :3])).detach()
    # Residuals are a 16th and a 64th of their branches, by design.
    keep(name, given, leaves, outputs, model, 1e-6)

with torch.device("meta"):
    whole = {"enc": Encoder(device="meta"), "dec": Decoder(device="meta")}
published = {"dall-e": {"config": {"_class_name": "OpenAIDiscreteVAE"}, **keys_of(nn.ModuleDict(whole))}}
print({key: sum(p.numel() for p in model.parameters()) for key, model in whole.items()})

# The objective: PyTorch's own transformed distribution and relaxation.
given = {"x": map_pixels(rand(2, 3, 4, 4)), "mean": randn(2, 3, 4, 4), "log scale": randn(2, 3, 4, 4) * 0.5, "logits": randn(2, 5, 3, 2)}
leaves = {key: value.clone().requires_grad_() for key, value in given.items()}
base = torch.distributions.Laplace(leaves["mean"], leaves["log scale"].exp(), validate_args=False)
logit_laplace = torch.distributions.TransformedDistribution(base, [torch.distributions.SigmoidTransform()], validate_args=False)
uniform = rand(2, 5, 3, 2)
gumbel = -torch.log(-torch.log(uniform))
categorical = torch.distributions.Categorical(logits=leaves["logits"].permute(0, 2, 3, 1))
uniform_codes = torch.distributions.Categorical(logits=torch.zeros(2, 3, 2, 5))
outputs = {
    "density": logit_laplace.log_prob(leaves["x"]),
    "divergence": torch.distributions.kl_divergence(categorical, uniform_codes),
    "relaxed": torch.softmax((leaves["logits"] + gumbel) / 0.3, 1),
}
tensors["objective.sampled"] = (leaves["logits"] + gumbel).argmax(1)
keep("objective", {**given, "uniform": uniform}, leaves, outputs, nn.Module())

# DALLE-pytorch's own autoencoder.
for name, config in {
    "vae": {"image_size": 16, "num_tokens": 9, "codebook_dim": 6, "num_layers": 2, "num_resnet_blocks": 0, "hidden_dim": 5},
    "vae resnet": {"image_size": 8, "num_tokens": 7, "codebook_dim": 5, "num_layers": 1, "num_resnet_blocks": 2, "hidden_dim": 4},
}.items():
    model = DiscreteVAE(**config)
    cases[name] = {"config": {"_class_name": "DiscreteVAE", **config}, **keys_of(model)}
    set_weights(model)
    side = config["image_size"] // 2 ** config["num_layers"]
    given = {"images": rand(2, 3, config["image_size"], config["image_size"]), "tokens": torch.randint(0, config["num_tokens"], (2, side, side), generator=generator)}
    leaves = {"images": given["images"].clone().requires_grad_()}
    outputs = {"logits": model(leaves["images"], return_logits=True), "decoded": model.decode(given["tokens"].flatten(1))}
    keep(name, given, leaves, outputs, model)

# DALLE-pytorch's transformer.
sparse = ["full", "axial_row", "axial_col", "conv_like"]
common = {"dim": 16, "heads": 2, "dim_head": 6, "num_text_tokens": 11, "text_seq_len": 4}
for name, config in [
    ("rotary", {**common, "depth": 1, "dim_head": 14}),
    ("sparse", {**common, "depth": 4, "attn_types": sparse}),
    ("plain", {**common, "depth": 4, "attn_types": sparse, "rotary_emb": False, "shift_tokens": False, "sandwich_norm": True}),
    ("stable", {**common, "depth": 2, "stable": True, "share_input_output_emb": True, "rotary_emb": False}),
    ("reversible", {**common, "depth": 2, "reversible": True, "attn_types": ["axial_row", "full"]}),
]:
    side = 8 if name in ("sparse", "plain") else 4
    vae = DiscreteVAE(image_size=2 * side, num_layers=1, num_tokens=7, codebook_dim=2, hidden_dim=2)
    model = Named(DALLE(vae=vae, **config))
    own = {"num_image_tokens": 7, "image_fmap_size": side}
    cases[name] = {"config": {"_class_name": "DALLE", **config, **own}, **keys_of(model)}
    set_weights(model)
    words = config["text_seq_len"]
    text = torch.randint(1, 11, (2, words), generator=generator)
    text[0, words - 2 :] = 0
    image = torch.randint(0, 7, (2, side * side), generator=generator)
    logits = model.model(text, image)
    vocabulary = config["num_text_tokens"] + words
    outputs = {"text": logits[:, :words, :vocabulary], "image": logits[:, words:, vocabulary:]}
    # Of a text and the first tokens alone, as sampling begins.
    some = model.model(text, image[:, :5])
    tensors[f"{name}.some"] = some[:, words:, vocabulary:].detach().clone()
    tensors[f"{name}.loss"] = model.model(text, image, return_loss=True).detach().reshape(1)
    padded = torch.where(text == 0, torch.arange(words) + config["num_text_tokens"], text)
    keep(name, {"text tokens": F.pad(padded, (1, 0)), "image tokens": image}, {}, outputs, model)

# Token choices, on stored draws.
logits = randn(6, 9) * 2
for name, threshold, temperature in [("all", 0.0, 1.0), ("some", 0.6, 1.0), ("warm", 0.3, 2.5), ("one", 1.0, 1.0)]:
    torch.manual_seed(3)
    tensors[f"choice {name}"] = gumbel_sample(top_k(logits, thres=threshold), temperature=temperature)
torch.manual_seed(3)
tensors["choice.logits"], tensors["choice.uniform"] = logits, torch.zeros(6, 9).uniform_(0, 1)
choices = [["all", 9, 1.0], ["some", max(int(0.4 * 9), 1), 1.0], ["warm", max(int(0.7 * 9), 1), 2.5], ["one", 1, 1.0]]


# The paper's transformer (Ramesh et al. 2021, appendix B.1 and figure 11), written down once more.
def paper_mask(kind, words, side, kernel):
    """True where the query (row) sees the key (column); `words` text tokens, then a picture."""
    n = side * side
    future = torch.ones(words + n, words + n).tril().bool()
    order = torch.arange(n)
    if kind == "row":
        picture = order[:, None] - order[None, :] <= side
    elif kind == "column":
        # On transposed states each column is a row: tokens of one column are neighbours.
        down = order.reshape(side, side).T.flatten()
        place = torch.empty(n, dtype=torch.long)
        place[down] = order
        picture = place[:, None] // side == place[None, :] // side
    else:
        # A square of ones about each query, on rows that go on where one ends.
        half = kernel // 2
        strip = torch.zeros(n, n + 2 * half * side + 2 * half, dtype=torch.bool)
        for query in range(n):
            for up in range(-half, half + 1):
                start = query + half * side + half + up * side
                strip[query, start - half : start + half + 1] = True
        picture = strip[:, half * side + half : half * side + half + n]
    whole = torch.ones_like(future)
    whole[words:, words:] = picture
    return whole & future


class Layer(nn.Module):
    def __init__(self, dim, heads, dim_head):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim))

    def forward(self, x, mask):
        q, k, v = [y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in self.to_qkv(self.norm(x)).chunk(3, 2)]
        return x + self.to_out(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))


class Feed(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.net = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(0), nn.Linear(4 * dim, dim))

    def forward(self, x):
        return x + self.net(self.norm(x))


class Axes(nn.Module):
    def __init__(self, side, dim):
        super().__init__()
        self.weights_0 = nn.Parameter(torch.zeros(1, side, 1, dim))
        self.weights_1 = nn.Parameter(torch.zeros(1, 1, side, dim))


class Paper(nn.Module):
    def __init__(self, dim, depth, heads, dim_head, words, text_vocabulary, codes, side, kernel):
        super().__init__()
        self.text_emb, self.text_pos_emb = nn.Embedding(text_vocabulary, dim), nn.Embedding(words + 1, dim)
        self.image_emb, self.image_pos_emb = nn.Embedding(codes, dim), Axes(side, dim)
        layers = nn.ModuleList(nn.ModuleList([Layer(dim, heads, dim_head), Feed(dim)]) for _ in range(depth))
        self.transformer = nn.ModuleDict({"layers": nn.ModuleDict({"layers": layers})})
        self.to_logits = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, text_vocabulary + codes))
        kinds = ["conv" if i == depth else "column" if (i - 2) % 4 == 0 else "row" for i in range(1, depth + 1)]
        self.masks = {kind: paper_mask(kind, words + 1, side, kernel) for kind in set(kinds)}
        self.kinds = kinds

    def forward(self, text, image):
        grid = (self.image_pos_emb.weights_0 + self.image_pos_emb.weights_1).flatten(1, 2)
        x = torch.cat([self.text_emb(text) + self.text_pos_emb.weight, self.image_emb(image) + grid], 1)[:, :-1]
        n = x.shape[1]
        for (attend, feed), kind in zip(self.transformer["layers"]["layers"], self.kinds):
            x = feed(attend(x, self.masks[kind][:n, :n]))
        return self.to_logits(x)


side, words, depth = 6, 4, 7
model = Paper(16, depth, 2, 6, words, 11 + words, 7, side, 3)
fields = {**common, "depth": depth, "num_image_tokens": 7, "image_fmap_size": side, "attn_types": model.kinds, "conv_kernel": 3}
fields |= {"activation": "gelu", "layer_scale": False, "shift_tokens": False, "rotary_emb": False}
cases["paper"] = {"config": {"_class_name": "DALLE", **fields}, **keys_of(model)}
set_weights(model)
text = torch.cat([torch.zeros(2, 1).long(), torch.randint(1, 15, (2, words), generator=generator)], 1)
image = torch.randint(0, 7, (2, side * side), generator=generator)
logits = model(text, image)
outputs = {"text": logits[:, :words, : 11 + words], "image": logits[:, words:, 11 + words :]}
keep("paper", {"text tokens": text, "image tokens": image}, {}, outputs, model)
for kind, kernel, side in [("row", 0, 4), ("column", 0, 4), ("conv", 3, 4), ("conv", 11, 32), ("row", 0, 32), ("column", 0, 32)]:
    mask = paper_mask(kind, 6, side, kernel)
    cases[f"mask {kind} {side}"] = {"seen": int(mask.sum()), "sha256": hashlib.sha256(mask.numpy().tobytes()).hexdigest()}

cases["choices"] = choices

# A checkpoint of DALLE-pytorch's training program, and pictures of it: the likeliest token each time, without and with guidance.
shutil.rmtree(here / "dalle", ignore_errors=True)
(here / "dalle").mkdir()
tokenizer = CLIPTokenizer.from_pretrained(here / "stable-diffusion/depth/tokenizer")
vae_params = {"image_size": 8, "num_layers": 1, "num_tokens": 12, "codebook_dim": 4, "hidden_dim": 4, "num_resnet_blocks": 0}
hparams = {"num_text_tokens": len(tokenizer), "text_seq_len": 6, "dim": 8, "depth": 3, "heads": 2, "dim_head": 6}
hparams |= {"reversible": False, "loss_img_weight": 7, "attn_types": ("axial_row", "conv_like", "full"), "ff_dropout": 0.0}
hparams |= {"attn_dropout": 0.0, "stable": False, "shift_tokens": True, "rotary_emb": True, "shared_attn_ids": None}
hparams |= {"shared_ff_ids": [0, 0, 0], "share_input_output_emb": False}
torch.manual_seed(SEED)
vae = DiscreteVAE(**vae_params)
model = DALLE(vae=vae, **hparams).eval()
with torch.no_grad():
    for key, value in model.named_parameters():
        if key.endswith("scale"):
            value.fill_(1.0)
        elif key in ("text_emb.weight", "to_logits.1.weight"):
            value.mul_(3.0)
saved = {"hparams": hparams, "vae_params": vae_params, "epoch": 3, "version": "1.6.6", "vae_class_name": "DiscreteVAE"}
saved |= {"weights": model.state_dict(), "opt_state": torch.optim.Adam(model.to_logits.parameters()).state_dict(), "scheduler_state": None}
torch.save(saved, here / "dalle" / "dalle-pytorch.pt")
prompts = ["a cat", "the cat sat on a red mat"]
ids = [tokenizer(prompt, add_special_tokens=False).input_ids[:6] for prompt in prompts]
text = torch.tensor([one + [0] * (6 - len(one)) for one in ids])
for scale in (1.0, 3.0):
    out = torch.zeros(2, 0).long()
    for _ in range(16):
        # Its own loop loses the prompt after the first token of a guided run: the text is set to zero in place.
        logits = model.forward_with_cond_scale(text.clone(), out, cond_scale=scale)[:, -1]
        out = torch.cat([out, logits.argmax(-1, keepdim=True) - model.num_text_tokens], 1)
    if scale == 1:
        assert torch.equal(model.generate_images(text.clone(), filter_thres=0.999), vae.decode(out))
    tensors[f"sampled {scale:g}.tokens"] = out
    tensors[f"sampled {scale:g}.pictures"] = (vae.decode(out) * 0.5 + 0.5).clamp(0, 1).detach()
    print(out.tolist())
cases["prompts"] = prompts

# A network saved whole, as OpenAI published both of its own.
torch.save(Encoder(n_hid=4, n_blk_per_group=1, vocab_size=3), here / "dalle" / "encoder.pkl")

# OpenAI's CLIP, and how well it says that pictures fit a text.
spec = importlib.util.spec_from_file_location("clip_model", clip / "clip/model.py")
clip_model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clip_model)
model = clip_model.CLIP(10, 16, 2, 64, 8, 77, len(tokenizer), 64, 1, 2).eval()
cases["clip"] = {key: list(value.shape) for key, value in model.state_dict().items()}
set_weights(model)
processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
levels = (torch.nn.functional.interpolate(rand(4, 3, 5, 6), size=(40, 48), mode="bicubic").clamp(0, 1) * 255).round().byte()
pixels = processor([picture.permute(1, 2, 0).numpy() for picture in levels], return_tensors="pt").pixel_values
tokens = tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
with torch.no_grad():
    per_image, _ = model(pixels, tokens)
tensors["clip.levels"], tensors["clip.cosines"] = levels, per_image / model.logit_scale.exp()
print(tensors["clip.cosines"])
save_networks("dalle", tensors, cases, published)
