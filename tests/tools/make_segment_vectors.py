#!/usr/bin/env python3
"""Writes tests/golden/segments/*.json: requests, their segments and links, by client/examples/chain.py.

    python3 tests/tools/make_segment_vectors.py tests/golden/segments

Needs python3-xxhash."""
import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent / "client" / "examples"))
import chain  # noqa: E402

ROOT = {"seed": "0x0123456789abcdef", "fingerprint": bytes(range(16)).hex(),
        "template": "smolvlm", "tenant": "shop"}
SIZES = 1, 3, 8, 16, 17, 128, 129, 240, 241, 700  # the ranges that XXH3 treats each in its way
PICTURES = [bytes((7 * i + 31 * k) % 256 for i in range(size)).hex()
            for k, size in enumerate(SIZES)]


def system(*parts):
    return {"role": "system", "parts": list(parts)}


def user(*parts):
    return {"role": "user", "parts": list(parts)}


def assistant(*parts):
    return {"role": "assistant", "parts": list(parts)}


def raw(*parts):
    return {"role": "raw", "parts": list(parts)}


def text(words):
    return {"text": words}


def picture(index=0, **options):
    return {"picture": index, **options}


def filled(size, pattern="The quick brown fox jumps over the lazy dog. "):
    """Text of so many bytes; the pattern's last character may be cut short by ASCII ones."""
    whole = pattern * (size // len(pattern.encode()))
    return whole + "x" * (size - len(whole.encode()))


RULES, LOOK, SEEN, NEXT = "Be brief.", "What is this?", "A red square.", "And now?"
TURNS = [system(text(RULES)), user(text(LOOK)), assistant(text(SEEN)), user(text(NEXT))]
SHOWN = [system(text(RULES)), user(picture(), text(LOOK))]

CASES = {
    "turns": {
        "one message": [user(text(LOOK))],
        "a system prompt before it": [system(text(RULES)), user(text(LOOK))],
        "four turns": TURNS,
        "the same words in another role": [assistant(text(LOOK))],
        "two messages of one role": [user(text(LOOK)), user(text(NEXT))],
        "both in one message": [user(text(LOOK + NEXT))],
        "a raw prompt": [raw(text(LOOK))],
        "a long raw prompt in two parts": [raw(text(filled(3000)), text(filled(3000)))],
    },
    "pictures": {
        "picture first": [user(picture(), text(LOOK))],
        "picture last": [user(text(LOOK), picture())],
        "picture between texts": [user(text(LOOK), picture(), text(NEXT))],
        "picture alone": [user(picture())],
        "two adjacent pictures": [user(picture(0), picture(1), text(LOOK))],
        "the same picture twice": [user(picture(), text(LOOK), picture(), text(NEXT))],
        "frames in another order": [user(picture(2), text("then"), picture(0), picture(1))],
        "pictures of every size": [user(*(picture(i) for i in range(len(SIZES))))],
        "pictures in several turns": SHOWN + [assistant(text(SEEN)), user(text(NEXT), picture(1)),
                                              assistant(picture(1))],
    },
    "texts": {
        "empty text alone": [user(text(""))],
        "several empty texts": [user(text(""), text(""))],
        "empty text before a picture": [user(text(""), picture())],
        "empty text after a picture": [user(picture(), text(""))],
        "empty text between pictures": [user(picture(0), text(""), picture(1))],
        "empty answer of an assistant": [user(text(LOOK)), assistant(text("")), user(text(NEXT))],
        "adjacent texts are one": [user(text("What "), text(""), text("is this?"))],
        "4095 bytes": [user(text(filled(4095)))],
        "4096 bytes": [user(text(filled(4096)))],
        "4097 bytes": [user(text(filled(4097)))],
        "8192 bytes": [user(text(filled(8192)))],
        "10000 bytes after a picture": [user(picture(), text(filled(10000)), picture())],
        "cut in the middle of a character": [user(text("x" + filled(4999, "é€😀")))],
        "cut in the second of adjacent texts": [user(text(filled(3000)), text(filled(3000)),
                                                     text(filled(6000, "é")))],
    },
    "options": {
        "no more than 262144 pixels": [user(picture(max_pixels=262144), text(LOOK))],
        "no more than 4294967295 pixels": [user(picture(max_pixels=4294967295), text(LOOK))],
        "the overview alone": [user(picture(detail="low"), text(LOOK))],
        "high said aloud": [user(picture(detail="high"), text(LOOK))],
        "both options": [user(picture(detail="low", max_pixels=65536), text(LOOK))],
        "one picture looked at in three ways": [user(picture(), picture(detail="low"),
                                                     picture(max_pixels=1))],
    },
}
ROOTS = {
    "another tenant": {"tenant": "office"},
    "no tenant": {"tenant": ""},
    "another template": {"template": "chatml"},
    "no template": {"template": ""},
    "template and tenant run together": {"template": "smolvlmshop", "tenant": ""},
    "another fingerprint": {"fingerprint": bytes(range(1, 17)).hex()},
    "seed 0": {"seed": "0x0"},
    "the largest seed": {"seed": "0xffffffffffffffff"},
}
ANSWERS = {
    "a short answer": (SHOWN, SEEN),
    "an empty answer": (SHOWN, ""),
    "an answer of 4096 bytes": (TURNS, filled(4096)),
    "an answer of 4097 bytes": (TURNS, filled(4097)),
    "a long answer": (SHOWN, filled(9000, "é€😀")),
    "an answer after a picture": ([user(text(LOOK), picture(1), picture(0))], SEEN),
}


def described(name, messages, root=ROOT, answer=None):
    shown = [part["picture"] for m in messages for part in m["parts"] if "picture" in part]
    case = {"name": name, "root": root, "pictures": PICTURES[:max(shown, default=-1) + 1],
            "messages": messages}
    real = dict(root, seed=int(root["seed"], 16), fingerprint=bytes.fromhex(root["fingerprint"]))
    frames = [bytes.fromhex(p) for p in case["pictures"]]
    links = chain.chain(real, messages, frames)
    case["segments"] = []
    for (kind, _, first, _, part), link in zip(chain.segments(messages, frames), links):
        segment = {"kind": "text" if part is None else "picture", "first": bool(first),
                   "link": link.hex()}
        if part is not None:
            segment["picture"] = chain.picture_link(real, part, frames[part["picture"]]).hex()
        case["segments"].append(segment)
    if answer is not None:
        case["answer"] = {"text": answer, "links": [
            link.hex() for link in chain.answer_links(real, messages, frames, answer)]}
    return case


def main(folder):
    files = {name: [described(case, messages) for case, messages in cases.items()]
             for name, cases in CASES.items()}
    files["roots"] = [described(name, SHOWN, dict(ROOT, **changed))
                      for name, changed in ROOTS.items()]
    files["answers"] = []
    for name, (messages, answer) in ANSWERS.items():
        following = messages + [assistant(text(answer)), user(text(NEXT))]
        files["answers"] += [described(name, messages, answer=answer),
                             described(f"{name}, in the next turn", following)]
    folder.mkdir(exist_ok=True)
    for name, cases in files.items():
        with open(folder / f"{name}.json", "w", encoding="utf-8") as out:
            json.dump({"cases": cases}, out, ensure_ascii=False, indent=1)
            out.write("\n")


main(pathlib.Path(sys.argv[1]))
