"""Texts of white space, format characters and words, with the numbers that transformers' CLIPTokenizer gives them: what counts as
white space differs between JavaScript's \\s (U+FEFF), Python's (U+001C to U+001F) and Unicode's (U+0085)."""
import json, random
import transformers
from transformers import CLIPTokenizer

SEED = 5
tokenizer = CLIPTokenizer.from_pretrained("parity/fixtures/tokenizer/sd1")
draw = random.Random(SEED)
pieces = ["\ufeff", "\x1c", "\x1f", "\x85", "\u180e", "\u200b", "\u00a0", "\u2028", " ", "\t", "\n", "\u2060", "\ufeffcat",
          "cat", "!", "..", "'s", "é", "a\u0301", "\u0301", "3", "漢", "😀", "_", "-", "<|endoftext|>"]
texts = ["".join(draw.choice(pieces) for _ in range(draw.randint(1, 10))) for _ in range(150)]
ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
with open("parity/fixtures/tokenizer/white-space.json", "w") as file:
    json.dump({"made": f"transformers {transformers.__version__}, seed {SEED}", "texts": texts, "ids": ids}, file)
