#!/usr/bin/env python3
"""What our encoder writes, read by another msgpack implementation; and the other way round is what
client/examples/ask.py does. Usage: proto_python_test.py PROTO_DUMP"""
import subprocess
import sys

import msgpack


def identity(first):
    return bytes([first]) + bytes(range(1, 16))


EXPECTED = {
    "request": {
        "v": 1, "t": "REQUEST", "id": identity(0x28), "deadline_ms": 30000, "tenant": "shop",
        "model": "demo", "max_tokens": 100, "logprobs": 5, "stop": ["\n\n", "User:"],
        "schema": '{"type": "object"}', "count_only": True, "priority": 2,
        "sampling": {"temperature": 0.5, "top_k": 20, "top_p": 0.75, "min_p": 0.125,
                     "repeat_penalty": 1.25, "presence_penalty": -0.5, "frequency_penalty": 0.25,
                     "repeat_last_n": 32, "seed": 0},
        "messages": [
            {"role": "system", "parts": [{"text": "Be brief."}]},
            {"role": "user", "parts": [{"picture": 1, "max_pixels": 1048576, "detail": "low"},
                                       {"text": "And in this one?"},
                                       {"picture": 0}]},
            {"role": "assistant", "parts": [{"text": ""}]}]},
    "request-raw": {
        "v": 1, "t": "REQUEST", "id": identity(0x2B), "priority": 0,
        "messages": [{"role": "raw", "parts": [{"text": "Once upon"}, {"text": " a time"}]}]},
    "tokens": {"v": 1, "t": "TOKENS", "id": identity(0x22), "index": 40, "n": 2, "text": "café"},
    "tokens-logprobs": {
        "v": 1, "t": "TOKENS", "id": identity(0x23), "index": 5, "n": 2, "text": "café",
        "entries": [
            {"id": 7, "logprob": -0.25, "text": b"caf",
             "others": [{"id": 7, "logprob": -0.25, "text": b"caf"},
                        {"id": 8, "logprob": -1.5, "text": b"\xc3"},
                        {"id": 9, "logprob": -3.0, "text": b""}]},
            {"id": -1, "logprob": -9.5, "text": b"\xc3\xa9"}]},
    "done": {
        "v": 1, "t": "DONE", "id": identity(0x24), "reason": "stop", "stop": 1,
        "usage": {"prompt_positions": 11, "reused_positions": 12, "answer_tokens": 13,
                  "pictures": 14, "pictures_encoded": 15, "tiles_encoded": 16,
                  "picture_positions": 17},
        "timings": {"queue_us": 21, "wait_us": 22, "picture_us": 23, "prefill_us": 24,
                    "first_token_us": 25, "decode_us": 1 << 40, "total_us": 27,
                    "predicted_us": 28},
        "seed": (1 << 64) - 1, "worker": "w1", "model": "demo", "attempts": 2,
        "segment_ends": (7).to_bytes(4, "little") + (267).to_bytes(4, "little")},
    "error": {"v": 1, "t": "ERROR", "id": identity(0x25), "serial": 99, "code": -13,
              "text": "queue full", "retry_ms": 1500},
    "ready": {"v": 1, "t": "READY", "version_min": 1, "version_max": 2, "name": "w1",
              "incarnation": 0xFEDCBA9876543210, "model": "demo", "template": "smolvlm",
              "tools": "hermes",
              "software": "quire 0.1.0",
              "fingerprint": bytes(range(1, 17)), "credits": 8, "pages_total": 4096,
              "context": 8192, "pid": 4711, "vision": True, "resumes": True,
              "extended": True},
    "reply": {"v": 1, "t": "REPLY", "incarnation": 41, "ticket": 1 << 33, "attempt": 2,
              "ids": (5).to_bytes(4, "little") + (262).to_bytes(4, "little")},
    "work": {"v": 1, "t": "WORK", "ticket": 42, "attempt": 3, "deadline_ms": 60000,
             "seed": 0xFEDCBA9876543210,
             "replay": b"".join(n.to_bytes(4, "little") for n in (7, 520, 9)),
             "replay_bytes": 1 << 34},
    "heartbeat": {"v": 1, "t": "HEARTBEAT", "incarnation": 31, "active": 32, "waiting": 33,
                  "pages_free": 34, "prefill_us_per_position": 35, "decode_us_per_token": 36,
                  "tile_us": 37, "step_us": 38, "tokens_total": 39, "positions_total": 40,
                  "rss_bytes": 41, "pages_evicted": 42, "feature_bytes": 43, "draining": True},
    "links": {"v": 1, "t": "LINKS", "incarnation": 46, "reset": True,
              "held": b"link-of-16-bytes" + (64).to_bytes(4, "little") + b"another-link-..." + bytes(4),
              "dropped": b"a-link-it-forgot"},
    "inventory": {"v": 1, "t": "INVENTORY"},
    "ops-explain": {"v": 1, "t": "OPS", "serial": 5, "query": "explain", "id": b"0123456789abcdef"},
    "ops-explanation": {
        "v": 1, "t": "OPS_REPLY", "serial": 5, "query": "explain",
        "explanation": {
            "found": True, "past": True, "id": identity(0x2A), "policy": "least-loaded",
            "prompt_positions": 151, "predicted_us": 152, "first_token_us": 153,
            "segments": [
                {"kind": "text", "role": "system", "bytes": 131, "positions": 132, "known": True,
                 "link": b"the-link-of-text", "owners": b"\x00\x01"},
                {"kind": "picture", "role": "user", "bytes": 133, "positions": 134,
                 "link": b"the-link-of-pict"}],
            "workers": [
                {"name": "w1", "fits": True, "credit": True, "chosen": True, "held_segments": 141,
                 "held_positions": 142, "missing_pictures": 143, "wait_us": 144,
                 "encode_us": 145, "prefill_us": 146, "total_us": 147},
                {"name": "w2", "held_segments": 1}]}},
    "ops-loss": {"v": 1, "t": "OPS_REPLY", "serial": 6, "query": "losses",
                 "loss": {"in_flight": 161, "links": 162, "positions": 163, "shared_links": 164,
                          "pictures": 165}},
    "beat": {"v": 1, "t": "BEAT", "known": False},
}

dump = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout
samples = {name: msgpack.unpackb(bytes.fromhex(data))
           for name, data in (line.split() for line in dump.splitlines())}
failed = 0
for name, expected in EXPECTED.items():
    if samples[name] != expected:
        print(f"{name}: {samples[name]} is not {expected}")
        failed += 1
for name, message in samples.items():
    if message["v"] != 1 or not message["t"].isupper():
        print(f"{name}: no envelope in {message}")
        failed += 1
print(f"{len(samples)} messages read, {failed} wrong")
sys.exit(failed > 0)
