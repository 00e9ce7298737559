#!/usr/bin/env python3
"""The segments of a request and the chain of links over them, as proto/SPEC.md section 9 defines them.

    chain.py CASE.json    prints the chain of each case in a file of tests/golden/segments

Needs python3-xxhash. A message is what REQUEST has on the wire; pictures are the encoded frames."""
import json
import struct
import sys

import xxhash

TEXT, PICTURE = 1, 2
ROLES = {"system": 1, "user": 2, "assistant": 3, "raw": 4}
DETAILS = {"high": 1, "low": 2}
SEGMENT_TEXT_BYTES = 4096


def field(data):
    return struct.pack("<Q", len(data)) + data


def digest(data, seed=0):
    return xxhash.xxh3_128_digest(data, seed)  # canonical: the high byte first


def root_input(root):
    return (field(b"quire segments 1") + field(root["fingerprint"]) +
            field(root["template"].encode()) + field(root["tenant"].encode()))


def picture_fields(part, encoded):
    return (field(digest(encoded)) + field(struct.pack("<Q", len(encoded))) +
            field(struct.pack("<Q", part.get("max_pixels", 0))) +
            field(bytes([DETAILS[part.get("detail", "high")]])))


def picture_input(root, part, encoded):
    return (field(b"quire picture 1") + field(root["fingerprint"]) +
            field(root["tenant"].encode()) + picture_fields(part, encoded))


def picture_link(root, part, encoded):
    return digest(picture_input(root, part, encoded), root["seed"])


def cut_text(text):
    return [text[i:i + SEGMENT_TEXT_BYTES] for i in range(0, len(text), SEGMENT_TEXT_BYTES)]


def pieces(message):
    """The segments of one message: bytes for text, the part itself for a picture."""
    found, text = [], b""
    for part in message["parts"]:
        if "text" in part:
            text += part["text"].encode()
        else:
            found += cut_text(text) + [part]
            text = b""
    return found + cut_text(text) or [b""]


def segments(messages, pictures):
    """(kind, role, first, payload, picture's part) of each segment."""
    for message in messages:
        role, first = ROLES[message["role"]], 1
        for piece in pieces(message):
            kind = TEXT if isinstance(piece, bytes) else PICTURE
            head = field(bytes([kind])) + field(bytes([role])) + field(bytes([first]))
            if kind == TEXT:
                yield kind, role, first, head + field(piece), None
            else:
                body = picture_fields(piece, pictures[piece["picture"]])
                yield kind, role, first, head + body, piece
            first = 0


def chain(root, messages, pictures):
    """The link of each segment."""
    link, links = digest(root_input(root), root["seed"]), []
    for _, _, _, payload, _ in segments(messages, pictures):
        link = digest(link + payload, root["seed"])
        links.append(link)
    return links


def answer_links(root, messages, pictures, answer):
    """The links of the assistant's message, when it has been streamed."""
    said = {"role": "assistant", "parts": [{"text": answer}]}
    return chain(root, messages + [said], pictures)[len(chain(root, messages, pictures)):]


def load(path):
    """The cases of a file, with what JSON can't hold made of its hexadecimal digits."""
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    for case in cases:
        root = case["root"]
        root["seed"] = int(root["seed"], 16)
        root["fingerprint"] = bytes.fromhex(root["fingerprint"])
        case["pictures"] = [bytes.fromhex(picture) for picture in case["pictures"]]
    return cases


if __name__ == "__main__":
    for path in sys.argv[1:]:
        for case in load(path):
            request = case["root"], case["messages"], case["pictures"]
            print(case["name"])
            for segment, link in zip(segments(*request[1:]), chain(*request)):
                print(f"  {link.hex()}  {'text' if segment[0] == TEXT else 'picture'}")
