"""GLIDE as OpenAI's program runs it: outputs and gradients of small networks, and pictures of its notebooks' loops (fixtures/glide/).

Takes a clone of openai/glide-text2im (69b5307) as its argument; needs attrs, regex, ftfy and PyYAML. Weights are not kept: the tests draw
them again, file by file, as `networks.set_weights` does with the seed and the factors in `drawn.json`.
"""

import gzip
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from networks import SEED, keys_of, set_weights
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, sys.argv[1])
from glide_text2im import model_creation, text2im_model  # noqa: E402
from glide_text2im.clip.encoders import ImageEncoder, TextEncoder  # noqa: E402
from glide_text2im.clip.model_creation import CLIPModel  # noqa: E402
from glide_text2im.tokenizer.bpe import Encoder, bytes_to_unicode  # noqa: E402
from glide_text2im.tokenizer.simple_tokenizer import SimpleTokenizer  # noqa: E402

torch.set_num_threads(1)
fixtures = Path(__file__).parent / "fixtures"
out = fixtures / "glide"

tiny = {"num_channels": 32, "num_res_blocks": 1, "num_head_channels": 16, "text_ctx": 12, "xf_width": 32, "xf_layers": 2, "xf_heads": 2}
small = {**tiny, "image_size": 16, "channel_mult": "1,2", "attention_resolutions": "16,8"}
large = {**tiny, "image_size": 32, "channel_mult": "1,1,2", "attention_resolutions": "8", "noise_schedule": "linear", "super_res": True}
clip_config = {
    "image_size": 16,
    "n_vocab": 600,
    "max_text_len": 14,
    "n_embd": 12,
    "n_head_state_text": 8,
    "n_head_text": 2,
    "n_xf_blocks_text": 2,
    "n_head_state_image": 8,
    "n_head_image": 3,
    "n_xf_blocks_image": 2,
}
published = {"logit_scale": 100.0, "n_timesteps": 1000, "patch_size": 4, "beta_schedule": "squaredcos_cap_v2"}
merges = ["Ġ a", "Ġ f", "o x", "Ġf ox", "Ġ t", "Ġt h", "Ġth e", "r e", "re d", "Ġ red"]
clip_merges = ["f o", "fo x</w>", "t h", "th e</w>", "r e", "re d</w>"]


def tokenizers():
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(merge.replace(" ", "") for merge in merges), "<|endoftext|>"]
    encoder = {token: i for i, token in enumerate(tokens)}
    (out / "encoder.json").write_text(json.dumps(encoder, ensure_ascii=False))
    (out / "vocab.bpe").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    text = "\n".join(["#version: 0.2", *clip_merges])
    (out / "bpe_simple_vocab_16e6.txt").write_text(text + "\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.gz"
        path.write_bytes(gzip.compress(text.encode()))
        simple = SimpleTokenizer(str(path))
    return Encoder(encoder, [tuple(merge.split()) for merge in merges]), simple


drawn = {}


def made(name, model, seed, factors=None):
    set_weights(model, seed)
    state = model.state_dict()
    for key, factor in (factors or {}).items():
        state[key].mul_(factor)
    drawn[name] = {"seed": seed, **({"factors": factors} if factors else {})}
    return model.eval()


def options(config, **more):
    return {**model_creation.model_and_diffusion_defaults(), **config, "use_fp16": False, "dropout": 0.0, **more}


def build(encoder, simple):
    model_creation.get_encoder = lambda: encoder
    quiet = {"out.2.weight": 0.7}
    found, process = {}, {}
    for i, (name, config, inpaint) in enumerate(
        [("base", small, False), ("upsample", large, False), ("base_inpaint", small, True), ("upsample_inpaint", large, True)]
    ):
        spacing = "fast27" if name.startswith("upsample") else "20"
        model, process[name] = model_creation.create_model_and_diffusion(**options(config, inpaint=inpaint, timestep_respacing=spacing))
        found[name] = made(name, model, i + 1, quiet)
    size = {key: clip_config[key] for key in ("image_size", "n_embd")}
    image = ImageEncoder(
        **size,
        patch_size=4,
        n_head=3,
        n_xf_blocks=2,
        n_head_state=8,
        n_timestep=1000,
        device="cpu",
    )
    text = TextEncoder(n_bpe_vocab=600, max_text_len=14, n_embd=12, n_head=2, n_xf_blocks=2, n_head_state=8, device="cpu")
    found["clip_image_enc"], found["clip_text_enc"] = made("clip_image_enc", image, 5), made("clip_text_enc", text, 6)
    clip = CLIPModel(clip_config, text, image, torch.tensor(np.log(100.0), dtype=torch.float32), "cpu", simple)
    configs = {
        "base": {**small, "n_vocab": encoder.n_vocab},
        "upsample": {**large, "n_vocab": encoder.n_vocab},
        "clip": {**published, **clip_config},
    }
    (out / "config.json").write_text(json.dumps(configs, indent=1))
    return found, process, clip


def networks(found):
    """Each network by itself: outputs, and gradients of its inputs and small weights."""
    generator = torch.Generator().manual_seed(SEED)
    randn = lambda *shape: torch.randn(shape, generator=generator)
    ids = lambda *shape: torch.randint(0, 200, shape, generator=generator)
    tokens, mask = ids(2, 12), torch.arange(12)[None] < torch.tensor([[12], [5]])
    t = torch.tensor([3, 871])
    given = {
        "base": {"x": randn(2, 3, 16, 16), "tokens": tokens, "mask": mask},
        "upsample_inpaint": {
            "x": randn(2, 3, 32, 32),
            "tokens": tokens,
            "mask": mask,
            "low_res": randn(2, 3, 16, 16),
            "inpaint_image": randn(2, 3, 32, 32),
            "inpaint_mask": (randn(2, 1, 32, 32) > 0).float(),
        },
        "clip_image_enc": {"image": randn(2, 3, 16, 16)},
        "clip_text_enc": {"tokens": ids(2, 14), "length": torch.tensor([14, 6])},
    }
    tensors, keys = {}, {}
    for name, inputs in given.items():
        model = found[name]
        keys[name] = keys_of(model)
        # Without the factors of the pictures' checkpoint.
        set_weights(model, drawn[name]["seed"])
        leaves = {k: v.clone().requires_grad_() if k in ("x", "image") else v for k, v in inputs.items()}
        unit = lambda z: z / (torch.linalg.norm(z, dim=-1, keepdim=True) + 1e-12)
        if name == "clip_image_enc":
            result = unit(model((leaves["image"] + 1) * 127.5, t))
        elif name == "clip_text_enc":
            result = unit(model(leaves["tokens"], leaves["length"]))
        else:
            result = model(leaves["x"], t, **{k: v for k, v in leaves.items() if k != "x"})
        cotangent = randn(*result.shape)
        (result * cotangent).sum().backward()
        gradients = {k: p.grad for k, p in model.named_parameters() if p.grad is not None and p.numel() <= 40}
        # A constant that a norm of one channel takes out again has no gradient; the reference sets a third of these biases' to zero.
        most = max(g.abs().max() for g in gradients.values())
        gradients = {k: g for k, g in gradients.items() if g.abs().max() > 1e-3 * most and not k.endswith(("f_q.b", "f_v.b"))}
        gradients |= {k: v.grad for k, v in leaves.items() if v.requires_grad}
        if name == "upsample_inpaint":
            # As the network sees it behind its state.
            inputs = {**inputs, "seen": torch.cat([inputs["inpaint_image"] * inputs["inpaint_mask"], inputs["inpaint_mask"], F.interpolate(inputs["low_res"], (32, 32), mode="bilinear", align_corners=False)], 1)}
            inputs = {k: v for k, v in inputs.items() if k in ("x", "tokens", "mask", "seen")}
        inputs = {**inputs, **({} if name == "clip_text_enc" else {"timestep": t})}
        tensors |= {f"{name}.{k}": v.float() for k, v in inputs.items()}
        tensors |= {f"{name}.made": result.detach(), f"{name}.cotangent made": cotangent}
        tensors |= {f"{name}.grad {k}": v for k, v in gradients.items()}
        made(name, model, **drawn[name])
        model.zero_grad()
    return tensors, keys


def painted(side):
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(7 * x) + np.cos(5 * y), np.cos(6 * x * y), np.sin(9 * y - 2 * x)]
    levels = np.stack([127 + 60 * w + 60 * (x > y + 0.2) for w in waves], -1).clip(0, 255).astype("uint8")
    return Image.fromarray(levels)


def read_image(image, size):
    levels = np.array(image.convert("RGB").resize((size, size), resample=Image.BICUBIC))
    return torch.from_numpy(levels)[None].permute(0, 3, 1, 2).float() / 127.5 - 1


def run(found, process, clip, encoder, case):
    """The loops of the three notebooks."""
    prompt, guidance, inpaint, clip_scale = case["prompt"], case.get("guidance", 3.0), case.get("mask"), case.get("clipGuidance")
    torch.manual_seed(case["seed"])
    ending = "_inpaint" if inpaint else ""
    model, up = found[f"base{ending}"], found[f"upsample{ending}"]
    tokens, mask = encoder.padded_tokens_and_mask(encoder.encode(prompt), 12)
    empty, empty_mask = encoder.padded_tokens_and_mask([], 12)
    double = clip_scale is None
    rows = 2 if double else 1
    kwargs = {
        "tokens": torch.tensor([tokens, empty][:rows]),
        "mask": torch.tensor([mask, empty_mask][:rows], dtype=torch.bool),
    }
    known = {}
    if inpaint:
        picture = Image.open(out / "inputs" / "picture.png")
        mask16 = torch.ones(1, 1, 16, 16)
        mask16[:, :, 5:] = 0
        known = {
            16: (read_image(picture, 16) * mask16, mask16),
            32: (read_image(picture, 32) * F.interpolate(mask16, (32, 32), mode="nearest"), F.interpolate(mask16, (32, 32), mode="nearest")),
        }

    def forced(side):
        if not inpaint:
            return None
        image, where = known[side]
        return lambda x: x * (1 - where) + image * where

    def inpainting(side, rows):
        return {"inpaint_image": known[side][0].repeat(rows, 1, 1, 1), "inpaint_mask": known[side][1].repeat(rows, 1, 1, 1)} if inpaint else {}

    def guided(x, ts, **kw):
        half = x[: len(x) // 2]
        eps, rest = (made_ := model(torch.cat([half, half]), ts, **kw))[:, :3], made_[:, 3:]
        cond, uncond = torch.split(eps, len(eps) // 2, dim=0)
        eps = uncond + guidance * (cond - uncond)
        return torch.cat([torch.cat([eps, eps]), rest], dim=1)

    cond_fn = clip.cond_fn([prompt], clip_scale) if clip_scale is not None else None
    samples = process[f"base{ending}"].p_sample_loop(
        guided if double else model,
        (rows, 3, 16, 16),
        device="cpu",
        model_kwargs={**kwargs, **inpainting(16, rows)},
        cond_fn=cond_fn,
        denoised_fn=forced(16),
    )[:1]
    kwargs = {
        "low_res": ((samples + 1) * 127.5).round() / 127.5 - 1,
        "tokens": torch.tensor([tokens]),
        "mask": torch.tensor([mask], dtype=torch.bool),
        **inpainting(32, 1),
    }
    diffusion = process[f"upsample{ending}"]
    loop = diffusion.p_sample_loop if inpaint else diffusion.ddim_sample_loop
    return samples, loop(
        up,
        (1, 3, 32, 32),
        noise=torch.randn(1, 3, 32, 32) * case.get("temperature", 0.997),
        device="cpu",
        model_kwargs=kwargs,
        denoised_fn=forced(32),
    )


cases = [
    {"name": "text", "prompt": "the red Fox, a photo", "seed": 0},
    {"name": "strong", "prompt": "a fox", "guidance": 8.0, "temperature": 0.9, "seed": 3},
    {"name": "clip", "prompt": "the red fox", "clipGuidance": 2.0, "seed": 1},
    {"name": "inpaint", "prompt": "the fox", "guidance": 5.0, "mask": True, "seed": 2},
]


def main():
    shutil.rmtree(out, ignore_errors=True)
    (out / "inputs").mkdir(parents=True)
    encoder, simple = tokenizers()
    found, process, clip = build(encoder, simple)
    tensors, keys = networks(found)
    x = torch.randn((1, 3, 16, 16), generator=torch.Generator().manual_seed(9))
    tensors["clip gradient.x"] = x
    for i, t in enumerate([5, 600]):
        tensors[f"clip gradient.{t}"] = clip.cond_fn(["the red fox"], 1.0)(x, torch.tensor([t]))
    texts = ["the red Fox, a photo", "", "Ünïcode  fox's 12!", "the"]
    numbers = {text: {"glide": encoder.encode(text), "clip": simple.encode(text)} for text in texts}
    painted(40).save(out / "inputs" / "picture.png")
    # White is repainted.
    levels = np.zeros((32, 32), "uint8")
    levels[10:] = 255
    Image.fromarray(levels).save(out / "inputs" / "mask.png")
    pictures = {}
    for case in cases:
        for name, floats in zip(("small", "large"), run(found, process, clip, encoder, case)):
            levels = ((floats[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
            inside = ((levels > 0) & (levels < 255)).float().mean()
            print(case["name"], name, f"std {levels.float().std():.0f} inside {inside:.2f}")
            pictures[f"{case['name']}.{name}"] = levels.contiguous()
    metadata = {"torch": torch.__version__, "glide-text2im": "69b5307", "seed": str(SEED), "keys": json.dumps(keys), "tokens": json.dumps(numbers)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "networks.safetensors", metadata)
    save_file(pictures, out / "pictures.safetensors", {"cases": json.dumps(cases)})
    (out / "drawn.json").write_text(json.dumps(drawn))
    print({p.name: p.stat().st_size for p in out.iterdir()})


if __name__ == "__main__":
    main()
