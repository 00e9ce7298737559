"""generate.py - an examination for the demo model: pictures as PNG files and questions.jsonl.

    python3 generate.py --count 500 --seed 1 --out /tmp/examination

One line of questions.jsonl is one question:
  id, kind, pictures (file names), messages (role, parts; a part is {"text": ...} or {"picture": number in
  pictures}) and accept, the answers that count as right.
Its last message is the question; earlier ones are a conversation with its right answers. `score.py` marks
what a server answered. The seed space of training and that of examinations do not meet: see SEEDS.

Needs python3 with numpy and Pillow."""

import argparse
import json
import os
import re

import numpy as np

import scenes
import talk

SEEDS = 1 << 31  # training streams start from seeds below it, examinations from it on

# Share of each kind among the questions.
KINDS = {"describe": 0.14, "count": 0.14, "colour": 0.10, "place": 0.14, "number": 0.15, "word": 0.17,
         "conversation": 0.10, "no picture": 0.06}


def short(answer):
    """The bare fact of an answer, which is as right as the sentence around it."""
    found = re.fullmatch(r"(?:It says|The (?:number|word)(?: is)?|There (?:is|are)|The \w+ is) (.+)\.", answer)
    return found.group(1) if found and not found.group(1).startswith("no ") else None


def accepted(answer):
    return [answer] + ([short(answer)] if short(answer) else [])


def single(rng, kind):
    """A question about one picture. Returns messages with the right answer last, and the scenes."""
    topic_kinds = {"describe": ["what"], "count": ["count"], "colour": ["colour"], "place": ["side", "where"]}.get(kind)
    while True:
        scene = scenes.draw(rng, kind if topic_kinds is None else "shapes")
        if topic_kinds is None:
            topic = (talk.pick(rng, ["what", "say", kind]),)
        else:
            topic = talk.propose(rng, scene, talk.pick(rng, topic_kinds))
        reply = talk.answer(topic, scene)
        if reply:
            break
    messages = []
    talk.ask(messages, talk.phrase(rng, topic), reply, [0], rng.random() < 0.75)
    return messages, [scene]


def conversation(rng):
    """Two or three pictures; the last question looks back to one that is not the newest."""
    while True:
        shown = [scenes.draw(rng) for _ in range(int(rng.integers(2, 4)))]
        messages = talk.about_many(rng, shown, int(rng.integers(2, 5)))
        last = messages[-2]["parts"][-1].get("text", "") + messages[-2]["parts"][0].get("text", "")
        if any(o in last for o in talk.ORDINALS):
            return messages, shown


def nothing(rng):
    """A question about a picture that was never sent."""
    messages = []
    topic = talk.propose(rng, scenes.draw(rng), talk.pick(rng, list(talk.WORDINGS)))
    talk.ask(messages, talk.phrase(rng, topic), talk.NO_PICTURE)
    return messages, []


def question(seed, number, kind):
    rng = np.random.default_rng([SEEDS + seed, number])
    if kind == "conversation":
        return conversation(rng)
    return nothing(rng) if kind == "no picture" else single(rng, kind)


def kinds_of(count):
    """As many of each kind as its share says, in a mixed but fixed order."""
    ends = np.floor(np.cumsum(list(KINDS.values())) * count + 1e-6).astype(int)
    ends[-1] = count
    numbers = np.diff(np.concatenate([[0], ends]))
    kinds = [k for k, n in zip(KINDS, numbers) for _ in range(n)]
    return [kinds[i] for i in np.random.default_rng(0).permutation(count)]


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--count", type=int, default=500, help="questions, each with pictures of its own")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--out", required=True)
    args = a.parse_args()
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "questions.jsonl"), "w", encoding="utf-8") as f:
        for number, kind in enumerate(kinds_of(args.count)):
            messages, shown = question(args.seed, number, kind)
            files = [f"{number:04d}-{i}.png" for i in range(len(shown))]
            for name, scene in zip(files, shown):
                scene.original.save(os.path.join(args.out, name))
            reply = messages.pop()["parts"][0]["text"]
            line = {"id": number, "kind": kind, "pictures": files, "messages": messages, "accept": accepted(reply)}
            f.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
