"""What diffusers makes of captions (`_clean_caption` twice, with Beautiful Soup and ftfy): fixtures/captions.json. `--check FILE` writes more."""

import argparse
import json
import random
import warnings
from pathlib import Path

import bs4
import diffusers
import ftfy
from diffusers import PixArtAlphaPipeline

warnings.filterwarnings("ignore")
out = Path(__file__).parent / "fixtures" / "captions.json"

fixed = [
    "A red fox in the snow, (oil painting)",
    "  Photo of a CAT — «Whiskers» by @john_doe #12 #123456 1234567  ",
    "see https://example.com/a/b?c=d and www.shop.co or a-b.net/x for more",
    "100% cotton + 20%20off %E2%9C%93 %ff",
    "&lt;b&gt;bold&lt;/b&gt; &amp;amp; <b>tag</b> a < b > c <3 <!-- gone --> x<y z",
    '"""SALE""" ***now*** free shipping worldwide free shipping download free page 12',
    "img_0123.jpg IMG-2034.JPEG jc6640 jc6640vc 6640vc231 j2d1a2a 10x20cm 3.5х4.5 1920×1080",
    "this-is-my-cute-cat this_is",
    "ﬁne Ｆｕｌｌ　ｗｉｄｔｈ “quotes” ‘single’ ｶﾞ é",
    "漢字 with 日本語 ㈱ text",
    "click for more, click on this",
    "'quoted, all of it'",
    "-start and end-",
    ".hidden",
    "12:34 ",
    "1.2.3.4 at 12:30 to 9:05",
    "a.b,c/d;e:f . g : h",
    "a\\nb \\n c\nsecond line\r\nthird\u2028fourth",
    "<script>alert(1)</script>after<style>x</style>end<br/>line<p>par</p>",
    "&eacute; &EACUTE; &notit; &#65; &#x41 &#xD800; &#128; &foo; &foo &b",
    "cafe\u0301 n\u0303 \u200b zero\u00a0nbsp \x1b[31mred\x1b[0m \x07 \x85 \x93quoted\x94",
    "<person> with <unclosed tag='a>b'>x",
    "<a href=\"x\">link</a> text <a href='y",
    "mp4 image png images a.png.jpg",
    "",
    "…",
    "\u00bd cup, 1\u204410 \u00a7 \u00a1hola!",
    "a_b_c_d_e-f",
    "e.g. this, and that.this ,here",
    "İstanbul ΣΑΣ straße",
]
words = (
    "a red fox cat.png jumps over the lazy-dog @name #45 #12345 1234567 https://a.com www:x b.org/path_1 <b>bold</b> &amp; &lt; &quot; "
    "(painting) [x] {y} | / \\ * *** \"quoted\" 'single' « » — – -- ... . , : ; ! ? ½ © ™ 10x20 3.5x4 a1b2c3 ab123 12ab34 page 3 free "
    "shipping download click for on png image ﬁ Ａ 漢 \u00a0 \n \\n %20 + %C3%A9 &#39; &#x27; &nbsp; <br> <3 < > <i> </i> 1.2.3.4 12:30 "
    "é e\u0301 Σ _ a_b x-y-z- \u200b ´ ` ¨ http:// .it ru.ru @@ ## && &copy &copy; &NotEqualTilde; &acE; 👍 👩‍🚀 क्षि ١٢٣ ² ⅷ"
).split(" ")


def main(check):
    clean = lambda text: PixArtAlphaPipeline._clean_caption(PixArtAlphaPipeline, PixArtAlphaPipeline._clean_caption(PixArtAlphaPipeline, text))  # noqa: E731
    draw = random.Random(5)
    count = 4000 if check else 150
    texts = list(fixed)
    for _ in range(count):
        texts.append("".join(draw.choice(words) + draw.choice(["", " ", " ", " "]) for _ in range(draw.randrange(1, 12))))
    result = {
        "versions": {m.__name__: m.__version__ for m in (diffusers, bs4, ftfy)},
        "seed": 5,
        "captions": [[text, clean(text)] for text in texts],
    }
    Path(check or out).write_text(json.dumps(result, indent=None if check else 0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check")
    main(parser.parse_args().check)
