#!/usr/bin/env python3
"""Writes tests/data/pretokenize.json: how real regular expressions cut texts into pieces.

    python3 tests/tools/make_pretokenize_vectors.py > tests/data/pretokenize.json

Needs python3-regex (Unicode 15, like the tokenizer's table). The expressions are those that the
pre-tokenizers' names stand for; a pass cuts the pieces of the pass before it into its matches and
the gaps between them.
"""
import json
import random

import regex

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SHORT = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
END = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + END
QWEN2 = SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + END
QWEN35 = (
    SHORT + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + END
)
# llama.cpp's reading of tekken: only a-z are never capitals, only A-Z are never small.
UPPER, LOWER = r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + END
)
PASSES = {
    "gpt-2": [GPT2],
    "starcoder": [r"\p{N}", GPT2],
    "llama-bpe": [LLAMA3],
    "qwen2": [QWEN2],
    "qwen35": [QWEN35],
    "tekken": [TEKKEN],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"],
}
TEXTS = [
    "I'm sure we'll SAY'RE 'S 'sS '' 'l 'L",
    "Hello, World!  two   spaces \n\n  next\r\n\r\nline \t\ttab end  ",
    "1 22 333 4444 55555 x1y22z 1,234.5",
    "na\u00efve cafe\u0301 \u017fet '\u017f \u2009thin\u00a0hard \u3000wide \u0085next",
    "CamelCaseWORDS HTTPServer \u00c9COLE\u00e9cole \u01c5x \u4e2d\u6587ABCabc",
    "\U0001f600\U0001f468\u200d\U0001f469 a\u0300\u0301b \u0300 \u0378\u0379 \ue000 \u0903x",
    "$5 a+b=c <tag> ^~| `code` #1 /path//to/\n",
    "\u0661\u0662\u0663\u0664 \u00bd\u2167 x\u00b2 \u3007",
    " ",
    "",
    "\n",
    " \n x",
    "a\n b\r\tc \u2028d",
]
ALPHABET = list("aB'sLl1 2 \n\r\t.,/$|` e\u00e9\u0301\u4e2d\u0661\u00a0\u2028\U0001f600\u0378")
RANDOM_TEXTS = 150


def cut(pieces, expression):
    out = []
    for piece in pieces:
        at = 0
        for match in regex.finditer(expression, piece):
            out += [piece[at : match.start()], match.group()]
            at = match.end()
        out.append(piece[at:])
    return [piece for piece in out if piece]


def main():
    rng = random.Random(5)
    texts = TEXTS + [
        "".join(rng.choices(ALPHABET, k=rng.randint(1, 24))) for _ in range(RANDOM_TEXTS)
    ]
    vectors = []
    for name, passes in PASSES.items():
        for text in texts:
            pieces = [text] if text else []
            for expression in passes:
                pieces = cut(pieces, expression)
            vectors.append({"name": name, "pieces": pieces})
    print("[\n" + ",\n".join(json.dumps(v) for v in vectors) + "\n]")


main()
