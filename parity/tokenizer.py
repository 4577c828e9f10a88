"""A small vocabulary in CLIP's format and what transformers' CLIPTokenizer makes of prompts, for src/text."""

import json
import random
import shutil
from pathlib import Path

import tokenizers
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

SEED = 0
here = Path(__file__).parent / "fixtures" / "tokenizer"
shutil.rmtree(here, ignore_errors=True)
start, end = "<|startoftext|>", "<|endoftext|>"

sentences = """
a photo of a cat sitting on a wooden table, soft morning light, highly detailed
an oil painting of a lighthouse in a storm, dramatic clouds, by the sea
portrait of an old fisherman, wrinkled face, 85mm, shallow depth of field
a castle on a hill, autumn forest, fog, cinematic lighting, trending, 4k, 8k
the quick brown fox doesn't jump; it's sleeping under the apple tree
red cube on top of a blue sphere, green background, studio render
a small robot watering plants in a greenhouse, watercolor, pastel colors
blurry, low quality, worst quality, bad anatomy, extra fingers, text, watermark
a bowl of ramen, steam rising, wooden counter, warm light, film grain
an astronaut riding a horse on the moon, photograph, stars in the sky
a girl with a pearl earring made of paper, isometric view, sharp focus
city street at night, neon signs, rain, reflections, people with umbrellas
map of an island, ink drawing, hand lettering, sea monsters and ships
i'm sure they've seen what we'll make, and you're going to like it, he'd say
a masterpiece, best quality, ultra detailed, intricate, elegant, smooth
""".strip().splitlines()


def alphabet():
    """The bytes as CLIP's vocabulary has them: the printable ones in order, then the rest, each as a visible character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)])
words = [piece for line in sentences for piece in __import__("re").findall(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+", line.lower())]
trained.train_from_iterator(words, trainers.BpeTrainer(vocab_size=900, end_of_word_suffix="</w>", initial_alphabet=alphabet()))
merges = [pair if isinstance(pair, list) else pair.split(" ") for pair in json.loads(trained.to_str())["model"]["merges"]]
tokens = alphabet() + [c + "</w>" for c in alphabet()] + ["".join(pair) for pair in merges] + [start, end]
assert len(set(tokens)) == len(tokens)
vocab = {token: i for i, token in enumerate(tokens)}


def folder(name, config, special):
    path = here / name
    path.mkdir(parents=True)
    (path / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    (path / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (path / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    return path


def added(content, **fields):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, **fields}


# As the folders of Stable Diffusion 1 and XL's second tokenizer have it.
common = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77}
common |= {"tokenizer_class": "CLIPTokenizer", "bos_token": start, "eos_token": end, "unk_token": end}
specials = {"bos_token": added(start, normalized=True), "eos_token": added(end, normalized=True)}
first = folder("sd1", {**common, "pad_token": end}, {**specials, "pad_token": end, "unk_token": added(end, normalized=True)})
decoder = {str(i): {**added(token), "special": True} for token, i in [("!", 0), (start, vocab[start]), (end, vocab[end])]}
last = {**common, "added_tokens_decoder": decoder, "clean_up_tokenization_spaces": True, "pad_token": "!"}
second = folder("xl2", last, {"bos_token": added(start), "eos_token": added(end), "pad_token": "!", "unk_token": added(end)})

made = {"sd1": CLIPTokenizer.from_pretrained(first), "xl2": CLIPTokenizer.from_pretrained(second)}
for name, tokenizer in made.items():
    whole = here / "whole" / name
    tokenizer.save_pretrained(whole)
    for extra in ("special_tokens_map.json", "vocab.json", "merges.txt"):
        (whole / extra).unlink(missing_ok=True)
# One vocabulary serves both: the second folder's files are the first's.
for extra in ("vocab.json", "merges.txt"):
    (second / extra).unlink()

prompts = [*sentences, "", " ", "\n", "a", "!", "!!", "wow!", "wow !", "wow!!! really?!", "!a!b!", "hello!world", "a , b , c"]
prompts += ["A PHOTO OF A CAT", "Mixed CASE Words", "tabs\tand\nnew\r\nlines  and   spaces", "  leading and trailing  "]
prompts += ["it's they're we've I'm you'll he'd don't", "IT'S", "‘curly’ “quotes” it’s", "rock'n'roll", "''s", "o'clock's"]
prompts += ["caf\u00e9 na\u00efve", "cafe\u0301 nai\u0308ve", "\u00c9T\u00c9 \u00dcBER stra\u00dfe STRASSE", "\u0130stanbul \u0131", "\u039f\u0394\u039f\u03a3 \u03a3\u03a3", "\u01c5 \ufb01 \u2126"]
prompts += ["日本の猫", "東京タワー 夜景", "고양이 사진", "一只猫坐在桌子上", "кошка на столе", "قطة على الطاولة", "חתול", "बिल्ली", "แมว", "Ελληνικά"]
prompts += ["🐱", "a 🐱 on a 🌙", "👩‍👩‍👧‍👦 family", "🇯🇵🇫🇷", "👍🏽", "❤️", "🐱🐶🦊🐻🐼", "cat🐱dog"]
prompts += ["1girl, 2boys, 100 cats", "4k 8K 1920x1080", "3.14159", "½ ² ⅷ ٣ ൪", "x_y_z __init__", "a-b--c---d", "a/b\\c", "(cat:1.3) ((dog)) [x]"]
prompts += ["<|startoftext|>", "<|endoftext|>", "a<|endoftext|>b", "<|ENDOFTEXT|>", "<|endoftext|", "<s> </s> <pad>", "<token>", "a </w> b"]
prompts += ["\u00a0nbsp\u00a0here", "zero\u200bwidth\u200bspace", "\ufeffbom", "line\u2028separator\u2029para", "nel\u0085here", "ctrl\u0007bell", "nul\u0000here", "\u001cfile\u001dgroup"]
prompts += ["soft\u00adhyphen", "combin\u0301\u0302\u0303ing", "\u3000ideographic\u3000space", "ﬁgure ﬂag", "\u212b \u00c5 A\u030a", "ｆｕｌｌ ｗｉｄｔｈ", "\ud7ff \ue000 \ufffd", "ªº", "ⓐⓑ", "𝒜𝓑 𝔘"]
prompts += ["cat " * 30, "cat " * 75, "cat " * 76, "cat " * 200, "supercalifragilisticexpialidocious" * 3, "a" * 300, "," * 90, "é" * 50]
draw = random.Random(SEED)
parts = [*{word for line in sentences for word in line.split()}, "🐱", "é", "!", "!!", "BREAK", "x9", "日本", "\t", "…", "—", "'s", "Σ", "n\u0303"]
parts.sort()
while len(prompts) < 220:
    prompts.append(draw.choice(["", " "]).join(draw.choice(parts) for _ in range(draw.randint(1, 25))) if draw.random() < 0.2 else " ".join(draw.choice(parts) for _ in range(draw.randint(1, 40))))

found = {name: [tokenizer(prompt).input_ids for prompt in prompts] for name, tokenizer in made.items()}
padded = {
    name: [tokenizer(prompt, padding="max_length", truncation=True, max_length=77).input_ids for prompt in (*sentences[:2], "", "!", "cat " * 200)]
    for name, tokenizer in made.items()
}
inverted = made["sd1"]
inverted.add_tokens(["<Style>", "<Style>_1", "moonlit"])
texts = ["a photo of <Style>, sharp", "<Style> <Style>_1 cat", "a<Style>b", "MOONLIT moonlit night", "moonlits", "<style>"]
result = {
    "provenance": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "seed": SEED},
    "prompts": prompts,
    "ids": found,
    "padded": {"texts": [*sentences[:2], "", "!", "cat " * 200], "ids": padded},
    "added": {"texts": texts, "ids": [inverted(text).input_ids for text in texts]},
}
(here / "prompts.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
print(len(vocab), len(prompts), {name: sum(map(len, ids)) for name, ids in found.items()})
print(made["xl2"].pad_token_id, made["sd1"].pad_token_id, made["xl2"]("wow!").input_ids, made["sd1"]("wow!").input_ids)
