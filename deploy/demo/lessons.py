"""lessons.py - conversations as rows of numbers: what the model reads, and which tokens it is to say.

The prompt layout is the server's: the SmolVLM chat template, and for each picture one tile and an
overview. With the longest edge equal to the tower's square both show the same pixels, so one run of the
tower stands in both places."""

import numpy as np

import scenes
import talk
from model import EMBEDDINGS


class Row:
    """ids, slots (-1 or the row of the embeddings), wanted (the model is to say the next id)."""

    def __init__(self):
        self.ids, self.slots, self.said = [], [], []

    def text(self, ids, said=False):
        self.ids += ids
        self.slots += [-1] * len(ids)
        self.said += [said] * len(ids)

    def picture(self, number):
        self.ids += [0] * EMBEDDINGS
        self.slots += range(number * EMBEDDINGS, (number + 1) * EMBEDDINGS)
        self.said += [False] * EMBEDDINGS


class Layout:
    def __init__(self, tokenizer):
        self.t = tokenizer
        ids = tokenizer.ids
        self.start, self.end = ids["<|im_start|>"], ids["<end_of_utterance>"]
        self.before = [ids["<fake_token_around_image>"], ids["<row_1_col_1>"]]
        self.between = tokenizer.encode("\n\n") + [ids["<fake_token_around_image>"], ids["<global-img>"]]
        self.after = [ids["<fake_token_around_image>"]]
        assert len(self.between) == 3

    def row(self, messages, first_picture=0, open_end=False):
        """open_end: stop after the generation prompt."""
        row = Row()
        row.text([self.start])
        lead = ""
        for m in messages:
            text = lead + m["role"].capitalize() + ":"
            parts = m["parts"]
            if m["role"] == "assistant":
                row.text(self.t.encode(text))
                row.text(self.t.encode(" " + parts[0]["text"]) + [self.end], True)
            else:
                text += "" if "picture" in parts[0] else " "
                for part in parts:
                    if "text" in part:
                        text += part["text"]
                        continue
                    row.text(self.t.encode(text) + self.before)
                    row.picture(first_picture + part["picture"])
                    row.text(self.between)
                    row.picture(first_picture + part["picture"])
                    row.text(self.after)
                    text = ""
                row.text(self.t.encode(text) + [self.end])
            lead = "\n"
        if open_end:
            row.text(self.t.encode("\nAssistant:"))
        return row


def source(rng, draw, bank_size=1500, reuse=6):
    """A function that hands out what draw(rng) makes, each thing `reuse` times on average and in random
    order: drawing costs about as much as learning from it."""
    bank = []

    def give():
        if len(bank) < bank_size // 5 or rng.random() < 1 / reuse:
            made = draw(rng)
            if len(bank) < bank_size:
                bank.append(made)
            else:
                bank[int(rng.integers(bank_size))] = made
            return made
        return bank[int(rng.integers(len(bank)))]

    return give


# Lists and places are harder to learn than colours. An examination keeps to talk.SHAPE_TOPICS.
SHAPE_TOPICS = {"what": 0.23, "count": 0.14, "colour": 0.04, "side": 0.31, "where": 0.24, "say": 0.02,
                "number": 0.01, "word": 0.01}


def conversation(rng, make_scene, prose):
    """One conversation and its scenes."""
    chance = rng.random()
    if chance < 0.72:
        shown = [make_scene()]
        # A second answer about one text only repeats the first; shapes have more to ask about.
        turns = int(rng.integers(1, 7)) if shown[0].objects else int(rng.integers(1, 3))
        messages = talk.about_one(rng, shown[0], turns, SHAPE_TOPICS)
    elif chance < 0.96:
        shown = [make_scene() for _ in range(int(rng.choice([2, 3], p=[0.65, 0.35])))]
        messages = talk.about_many(rng, shown, int(rng.integers(2, 6)))
    else:
        def babble():
            at = int(rng.integers(len(prose) - 12))
            return " ".join(prose[at : at + int(rng.integers(3, 12))])
        shown = []
        messages = talk.about_none(rng, make_scene(), babble)
    if rng.random() < 0.15:
        messages = [{"role": "system", "parts": [{"text": talk.pick(rng, talk.SYSTEM)}]}] + messages
    return messages, shown


def batches(rng, layout, scene_source, page_source, prose, count, ranks=1, pool=6):
    """Yields `pool` lists with a batch of `count` conversations for each rank; those of one list are about
    equally long, so that little is spent on padding and on waiting. A quarter as many pages of letters come
    along, for the tower only."""
    made = []
    count *= ranks
    while len(made) < pool * count:
        messages, shown = conversation(rng, scene_source, prose)
        made.append((len(layout.row(messages).ids), messages, shown))
    made.sort(key=lambda m: m[0])
    for i in rng.permutation(pool):
        chosen = made[i * count : (i + 1) * count]
        shares = [chosen[r::ranks] for r in range(ranks)]
        yield [batch(layout, s, [page_source() for _ in range(len(s) // 4)]) for s in shares]


def batch(layout, made, pages):
    """Arrays for conversations, padded on the right. Pages stand behind all pictures that are talked about."""
    rows, pixels, labels = [], [], []
    count = len(made)
    for _, messages, shown in made:
        rows.append(layout.row(messages, len(pixels)))
        pixels += [s.pixels for s in shown]
        labels += [s.labels for s in shown]
    n = max(len(r.ids) for r in rows)
    ids = np.zeros((count, n), np.int64)
    slots = np.full((count, n), -1, np.int64)
    said = np.zeros((count, n), bool)
    for i, r in enumerate(rows):
        ids[i, : len(r.ids)], slots[i, : len(r.ids)], said[i, : len(r.ids)] = r.ids, r.slots, r.said
    for p, l in pages:
        pixels.append(p)
        labels.append(l)
    return ids, slots, said, np.stack(pixels), np.stack(labels)
