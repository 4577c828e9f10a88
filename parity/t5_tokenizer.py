"""A small T5 tokenizer and what transformers' T5Tokenizer makes of odd texts with it: fixtures/t5-tokenizer/.

The model is trained by sentencepiece on this repository's guides, with those of nmt_nfkc's rules that concern Latin text, symbols, blanks,
wide forms and a few marks, which keeps it small. `--check FILE` writes texts and numbers of the whole of nmt_nfkc instead, to be compared once.
"""

import argparse
import contextlib
import io
import json
import random
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2 as proto
from transformers import T5Tokenizer

root = Path(__file__).parent.parent
out = Path(__file__).parent / "fixtures" / "t5-tokenizer"
GUIDES = ["architecture", "diffusion", "stable-diffusion", "text-to-image", "training", "unconditional", "limits"]


def train(prefix, corpus, size=700, **options):
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(prefix),
        vocab_size=size,
        model_type="unigram",
        character_coverage=0.997,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return Path(f"{prefix}.model")


def rules(path):
    """Every rule of a model's compiled map: source → result, read off its double array."""
    model = proto.ModelProto()
    model.ParseFromString(path.read_bytes())
    blob = model.normalizer_spec.precompiled_charsmap
    (size,) = struct.unpack("<I", blob[:4])
    units = struct.unpack(f"<{size // 4}I", blob[4 : 4 + size])
    results = blob[4 + size :]
    offset = lambda unit: (unit >> 10) << ((unit & 0x200) >> 6)
    found = {}
    stack = [(offset(units[0]), b"")]
    while stack:
        at, key = stack.pop()
        for byte in range(1, 256):
            unit = units[at ^ byte] if at ^ byte < len(units) else 0
            if unit & 0x800000FF != byte:
                continue
            child = at ^ byte ^ offset(unit)
            if unit >> 8 & 1:
                start = units[child] & 0x7FFFFFFF
                found[key + bytes([byte])] = results[start : results.index(0, start)]
            stack.append((child, key + bytes([byte])))
    return {key.decode(): value.decode() for key, value in found.items()}


def kept(source):
    """Whether the small model has the rule."""
    marks = {0x300, 0x301, 0x308, 0x327}
    ranges = [(0, 0x17F), (0x1680, 0x1680), (0x2000, 0x2060), (0x20A8, 0x20A8), (0x2100, 0x215E), (0x2581, 0x2581), (0x3000, 0x3000)]
    ranges += [(0xFB00, 0xFB06), (0xFEFF, 0xFEFF), (0xFF01, 0xFF5E), (0xFFFD, 0xFFFD), (0x1D400, 0x1D433), (0x1F100, 0x1F10A)]
    points = [ord(c) for c in source]
    return all(p in marks or any(a <= p <= b for a, b in ranges) for p in points) and not any(p in {0x2F, 0x338} for p in points)


def texts(count, known):
    """Odd texts: words of the guides, sources of rules, marks, scripts, blanks, emoji, special tokens."""
    draw = random.Random(7)
    words = " ".join((root / "docs" / f"{name}.md").read_text() for name in GUIDES).split()
    special = ["</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_99>", "<extra_id_100>", "</s", "<extra_id_1", "▁", "▁▁", "<s>"]
    blanks = [" ", "  ", "\t", "\n", "\u00a0", "\u3000", "\u200b", "\u2028", "\ufeff", "\x00", "\x07", "\x85", "\u1680", "\u180e", "\u200d", "\r\n"]
    strange = list("漢字仮名한글кириллицаابجدहिन्दी日本語αβγς") + ["👩‍🚀", "🇩🇪", "👍🏽", "❤️", "e\u0301", "n\u0303", "a\u0308\u0301", "\u0301", "x\u0338", "क्षि", "ﷺ", "각", "각", "\U0010ffff"]
    pools = [(words, 6), (known, 3), (strange, 2), (special, 1), (blanks, 3), ([chr(i) for i in range(1, 0x250)], 1)]

    def one():
        found = ""
        for _ in range(draw.randrange(0, 14)):
            pool = draw.choices([p for p, _ in pools], [w for _, w in pools])[0]
            found += draw.choice(pool)
            found += draw.choice(["", " ", " ", "  ", "-"])
        return found

    fixed = ["", " ", "A red fox in the snow.", "½ cup of ﬁne ™ coffee", "Ｆｕｌｌ　ｗｉｄｔｈ", "a" * 200, "漢字 漢字", "don't — won't"]
    return fixed + [one() for _ in range(count - len(fixed))]


def saved(folder, model, layout):
    """A tokenizer's folder as published ones have it."""
    folder.mkdir(parents=True, exist_ok=True)
    if layout == "json":
        T5Tokenizer.from_pretrained(model.parent).save_pretrained(folder)
    else:
        shutil.copy(model, folder / "spiece.model")
    if layout == "config":
        flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
        names = {0: "<pad>", 1: "</s>", 2: "<unk>"}
        size = proto.ModelProto.FromString(model.read_bytes()).pieces.__len__()
        added = {str(i): {"content": c, **flags} for i, c in names.items()}
        for i in range(100):
            added[str(size + i)] = {"content": f"<extra_id_{99 - i}>", **flags, "lstrip": True, "rstrip": True}
        added[str(size + 100)] = {"content": "Ｆｏｘ", **flags, "normalized": True, "special": False}
        added[str(size + 101)] = {"content": "cat", **flags, "single_word": True, "special": False}
        config = {"added_tokens_decoder": added, "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "extra_ids": 100}
        config |= {"model_max_length": 512, "tokenizer_class": "T5Tokenizer"}
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


def main(check):
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        lines = [l for name in GUIDES for l in (root / "docs" / f"{name}.md").read_text().split("\n") if l.strip()]
        corpus = temporary / "corpus.txt"
        corpus.write_text("\n".join(lines))
        (temporary / "whole").mkdir()
        whole = train(temporary / "whole" / "spiece", corpus, normalization_rule_name="nmt_nfkc")
        every = rules(whole)
        small = {source: result for source, result in every.items() if kept(source)}
        if check:
            model, sources, count = whole, sorted(every), 6000
        else:
            (temporary / "small").mkdir()
            tsv = temporary / "rules.tsv"
            hexes = lambda s: " ".join(f"{ord(c):04X}" for c in s)
            tsv.write_text("".join(f"{hexes(s)}\t{hexes(r)}\n" for s, r in sorted(small.items())))
            model = train(temporary / "small" / "spiece", corpus, size=600, normalization_rule_tsv=str(tsv))
            sources, count = sorted(small), 240
        given = texts(count, sources)
        reference = sentencepiece.SentencePieceProcessor(model_file=str(model))
        result = {"layouts": {}, "texts": given}
        for layout in ["model", "config", "json"]:
            folder = (Path(check).parent if check else temporary) / f"tokenizer-{layout}"
            saved(folder, model, layout)
            tokenizer = T5Tokenizer.from_pretrained(folder)
            result["layouts"][layout] = [tokenizer(text, add_special_tokens=False).input_ids for text in given]
        if not check:
            assert result["layouts"].pop("json") == result["layouts"]["model"]
        framed = T5Tokenizer.from_pretrained(model.parent)
        for name, length in [("cut", 8), ("padded", 60)]:
            options = {"padding": "max_length", "max_length": length, "truncation": True}
            result[name] = {"length": length, **{k: v for k, v in framed(given[:40], **options).items()}}
        differs = [i for i, text in enumerate(given) if reference.encode(text) != result["layouts"]["model"][i]]
        result["sentencepiece differs"] = differs if not check else [[given[i], reference.encode(given[i])] for i in differs]
        versions = {m.__name__: m.__version__ for m in (transformers, sentencepiece)}
        print(versions, f"{len(every)} rules, {len(small)} in the small model; sentencepiece differs in {len(differs)} of {count} texts")
        result["versions"] = versions
        if check:
            Path(check).write_text(json.dumps(result))
            return
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for layout, name in [("model", "spiece.model"), ("config", "tokenizer_config.json"), ("json", "tokenizer.json")]:
            content = (temporary / f"tokenizer-{layout}" / name).read_bytes()
            if name.endswith(".json"):
                content = json.dumps(json.loads(content), ensure_ascii=False, separators=(",", ":")).encode()
            (out / name).write_bytes(content)
        (out / "texts.json").write_text(json.dumps(result, ensure_ascii=True, separators=(",", ":")))
        print({p.name: p.stat().st_size for p in out.rglob("*") if p.is_file()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check")
    main(parser.parse_args().check)
