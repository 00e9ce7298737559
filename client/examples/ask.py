#!/usr/bin/env python3
"""Asks a quire pool about a picture: ask.py photo.jpg "What is in the picture?"

Needs python3-zmq and python3-msgpack. The messages are described in proto/SPEC.md."""
import argparse
import os
import sys

import msgpack
import zmq

runtime = os.environ.get("XDG_RUNTIME_DIR")
directory = f"{runtime}/quire" if runtime else f"/tmp/quire-{os.geteuid()}"
local = f"ipc://{os.environ.get('QUIRE_RUNTIME_DIR', directory)}/clients.ipc"
parser = argparse.ArgumentParser(description="Ask a quire pool about a picture.")
parser.add_argument("picture", help="a JPEG or PNG file")
parser.add_argument("question")
parser.add_argument("--endpoint", default=os.environ.get("QUIRE_ENDPOINT") or local)
parser.add_argument("--patience-s", type=int, default=600, help="longest silence (600)")
args = parser.parse_args()

socket = zmq.Context.instance().socket(zmq.DEALER)
socket.linger = 0
socket.connect(args.endpoint)
hello = {"v": 1, "t": "HELLO", "version_min": 1, "version_max": 1}
parts = [{"picture": 0}, {"text": args.question}]
request = {"v": 1, "t": "REQUEST", "id": os.urandom(16), "sampling": {"temperature": 0},
           "messages": [{"role": "user", "parts": parts}]}
socket.send_multipart([msgpack.packb(hello)])
with open(args.picture, "rb") as file:
    socket.send_multipart([msgpack.packb(request), file.read()])
message = {"t": ""}
while message["t"] not in ("DONE", "ERROR"):
    if not socket.poll(1000 * args.patience_s if message["t"] else 2000):  # WELCOME comes at once
        sys.exit(f"no broker answers at {args.endpoint}; start one with `quire up`")
    message = msgpack.unpackb(socket.recv())
    print(message.get("text", "") if message["t"] == "TOKENS" else "", end="", flush=True)
print()
if message["t"] == "ERROR":
    sys.exit(f"error {message['code']}: {message.get('text', '')}")
