"""bpe.py - a byte-level BPE tokenizer of the 'gpt2' kind with pre-tokenizer 'smollm': training, and encoding
for training the model. The server has its own encoder; both follow the same published rules."""

import collections
import re

from talk import AGAIN, BEYOND_ME, NO_PICTURE, SMALL_TALK, SYSTEM, WORDINGS

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<end_of_utterance>"]
SPECIAL += ["<fake_token_around_image>", "<global-img>", "<image>"]
SPECIAL += [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
NORMAL, CONTROL = 1, 3

# Each digit by itself, then the GPT-2 pattern on what lies between.
PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def byte_alphabet():
    """GPT-2's printable stand-in for each byte."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table = {b: chr(b) for b in plain}
    for n, b in enumerate(b for b in range(256) if b not in table):
        table[b] = chr(256 + n)
    return table


BYTES = byte_alphabet()


def pieces(text):
    for part in re.split(r"(\d)", text):
        if part.isdigit():
            yield part
        else:
            yield from PIECES.findall(part)


def spell(piece):
    return tuple(BYTES[b] for b in piece.encode("utf-8"))


def join(seq, pair):
    out, i = [], 0
    while i < len(seq):
        if i + 1 < len(seq) and (seq[i], seq[i + 1]) == pair:
            out.append(seq[i] + seq[i + 1])
            i += 2
        else:
            out.append(seq[i])
            i += 1
    return tuple(out)


def corpus(words, conversations, prose):
    """Piece counts: everything our own talk says comes out as whole tokens; prose only fills what is left."""
    counts = collections.Counter()
    ours = list(conversations) + SYSTEM + [" " + NO_PICTURE, " " + BEYOND_ME]
    ours += [" " + text for said, reply in SMALL_TALK for text in said + [reply]]
    ours += [w for ws in list(WORDINGS.values()) + list(AGAIN.values()) for w in ws]
    ours += ["User: ", "Assistant: ", "System: "] * 50
    for text in ours:
        for p in pieces(text):
            counts[p] += 50
    for word in words:
        counts[" " + word] += 20000
    counts["\n\n"] += 10**7
    for p in pieces(prose):
        counts[p] += 1
    return counts


def train(counts, size):
    """Returns (tokens, types, merges) with `size` tokens, the special ones last."""
    merges, tokens = [], [BYTES[b] for b in range(256)]
    seqs = {spell(p): c for p, c in counts.items()}
    while len(tokens) + len(SPECIAL) < size:
        pairs = collections.Counter()
        for q, c in seqs.items():
            for pair in zip(q, q[1:]):
                pairs[pair] += c
        best = max(pairs.items(), key=lambda t: (t[1], t[0]))[0]
        merges.append(best[0] + " " + best[1])
        if best[0] + best[1] not in tokens:
            tokens.append(best[0] + best[1])
        merged = collections.Counter()
        for q, c in seqs.items():
            merged[join(q, best) if best[0] in q else q] += c
        seqs = merged
    types = [NORMAL] * len(tokens) + [CONTROL] * len(SPECIAL)
    return tokens + SPECIAL, types, merges


class Tokenizer:
    def __init__(self, tokens, types, merges):
        self.tokens, self.types, self.merges = tokens, types, merges
        self.ids = {t: i for i, t in enumerate(tokens)}
        self.ranks = {tuple(m.split(" ")): i for i, m in enumerate(merges)}
        self.known = {}

    def piece(self, piece):
        if piece not in self.known:
            seq = spell(piece)
            while len(seq) > 1:
                pair = min(zip(seq, seq[1:]), key=lambda p: self.ranks.get(p, 1 << 30))
                if pair not in self.ranks:
                    break
                seq = join(seq, pair)
            self.known[piece] = [self.ids[s] for s in seq]
        return self.known[piece]

    def encode(self, text):
        return [i for p in pieces(text) for i in self.piece(p)]

    def decode(self, ids):
        back = {c: b for b, c in BYTES.items()}
        text = "".join(self.tokens[i] for i in ids if self.types[i] == NORMAL)
        return bytes(back[c] for c in text).decode("utf-8", "replace")
