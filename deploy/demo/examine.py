#!/usr/bin/python3
"""examine.py - puts an examination that generate.py wrote to a running pool, greedily.

    python3 examine.py /tmp/examination [--endpoint ipc://...]

Writes answers.jsonl beside questions.jsonl; score.py marks it. A question that the pool refuses gets the
error as its answer, which is then wrong. Needs python3-zmq and python3-msgpack."""

import argparse
import json
import os
import sys

import msgpack
import zmq

AT_ONCE = 4  # questions under way; enough to keep two workers busy
SILENCE_MS = 120_000


def default_endpoint():
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    directory = f"{runtime}/quire" if runtime else f"/tmp/quire-{os.geteuid()}"
    return f"ipc://{os.environ.get('QUIRE_RUNTIME_DIR', directory)}/clients.ipc"


def send(socket, folder, question, request_id):
    request = {"v": 1, "t": "REQUEST", "id": request_id, "max_tokens": 60,
               "messages": question["messages"], "sampling": {"temperature": 0}}
    frames = [msgpack.packb(request)]
    for name in question["pictures"]:
        with open(os.path.join(folder, name), "rb") as f:
            frames.append(f.read())
    socket.send_multipart(frames)


def receive(socket):
    if not socket.poll(SILENCE_MS):
        sys.exit("the pool has gone silent")
    return msgpack.unpackb(socket.recv_multipart()[0])


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("folder")
    a.add_argument("--endpoint", default=os.environ.get("QUIRE_ENDPOINT") or default_endpoint())
    args = a.parse_args()
    with open(os.path.join(args.folder, "questions.jsonl"), encoding="utf-8") as f:
        waiting = [json.loads(line) for line in f]
    waiting.reverse()

    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(args.endpoint)
    socket.send_multipart([msgpack.packb({"v": 1, "t": "HELLO", "version_min": 1, "version_max": 1})])
    if not socket.poll(2000):
        sys.exit(f"no broker answers at {args.endpoint}; start one with `quire up`")
    socket.recv_multipart()  # WELCOME

    asked, said = {}, {}
    with open(os.path.join(args.folder, "answers.jsonl"), "w", encoding="utf-8") as out:
        while waiting or asked:
            while waiting and len(asked) < AT_ONCE:
                question, request_id = waiting.pop(), os.urandom(16)
                asked[request_id], said[request_id] = question["id"], ""
                send(socket, args.folder, question, request_id)
            message = receive(socket)
            request_id = message.get("id")
            if request_id not in asked:
                continue
            if message["t"] == "TOKENS":
                said[request_id] += message.get("text", "")
                continue
            if message["t"] == "ERROR":
                said[request_id] = f"ERROR {message['code']} {message.get('text', '')}"
            if message["t"] in ("DONE", "ERROR"):
                line = {"id": asked.pop(request_id), "answer": said.pop(request_id).strip()}
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
