"""score.py - marks answers to an examination that generate.py wrote.

    python3 score.py questions.jsonl answers.jsonl [--total 90] [--kind 75] [--wrong]

answers.jsonl holds one {"id": ..., "answer": ...} per line. A missing answer is a wrong one. Prints a table
by kind; exits 1 when the total or any kind is below its bar (in percent)."""

import argparse
import json
import re
import sys


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def plain(text):
    """Case, punctuation and spacing are no part of an answer."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


def mark(questions, answers):
    """Returns {kind: [right, asked]} and the questions answered wrongly with what was said."""
    said = {a["id"]: a["answer"] for a in answers}
    table, wrong = {}, []
    for q in questions:
        reply = said.get(q["id"])
        right = reply is not None and plain(reply) in [plain(a) for a in q["accept"]]
        row = table.setdefault(q["kind"], [0, 0])
        row[0] += right
        row[1] += 1
        if not right:
            wrong.append((q, reply))
    return table, wrong


def asked(question):
    return " ".join(p.get("text", "[picture]") for m in question["messages"] for p in m["parts"])


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("questions")
    a.add_argument("answers")
    a.add_argument("--total", type=float, default=0, help="least percentage of all answers")
    a.add_argument("--kind", type=float, default=0, help="least percentage of each kind")
    a.add_argument("--wrong", action="store_true", help="also list what was answered wrongly")
    args = a.parse_args()
    table, wrong = mark(lines(args.questions), lines(args.answers))
    right, total = (sum(row[i] for row in table.values()) for i in (0, 1))
    if total == 0:
        sys.exit("no questions")
    if args.wrong:
        for q, reply in wrong:
            print(f"{q['id']} {q['kind']}: {asked(q)}\n    right: {q['accept'][0]}\n    said:  {reply}")
    print("| kind | right | asked | % |\n|---|---|---|---|")
    for kind, (r, n) in sorted(table.items()):
        print(f"| {kind} | {r} | {n} | {100 * r / n:.1f} |")
    print(f"| **total** | {right} | {total} | {100 * right / total:.1f} |")
    low = [k for k, (r, n) in table.items() if 100 * r / n < args.kind]
    if 100 * right / total < args.total:
        low.append("the total")
    if low:
        sys.exit("below the bar: " + ", ".join(low))


if __name__ == "__main__":
    main()
