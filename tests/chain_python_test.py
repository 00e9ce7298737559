#!/usr/bin/env python3
"""client/examples/chain.py beside the reference chains. Usage: chain_python_test.py EXAMPLES GOLDEN"""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import chain  # noqa: E402

cases, failed = 0, 0
for path in sorted(pathlib.Path(sys.argv[2]).glob("*.json")):
    for case in chain.load(path):
        request = case["root"], case["messages"], case["pictures"]
        parts = [part for *_, part in chain.segments(*request[1:])]
        expected = {"links": [s["link"] for s in case["segments"]],
                    "pictures": [s["picture"] for s in case["segments"] if "picture" in s],
                    "answer": case.get("answer", {}).get("links")}
        got = {"links": [link.hex() for link in chain.chain(*request)],
               "pictures": [chain.picture_link(request[0], part, request[2][part["picture"]]).hex()
                            for part in parts if part is not None],
               "answer": None}
        if "answer" in case:
            got["answer"] = [link.hex()
                             for link in chain.answer_links(*request, case["answer"]["text"])]
        cases += 1
        if got != expected:
            print(f"{path.name}: {case['name']}: {got} is not {expected}")
            failed += 1
print(f"{cases} chains made, {failed} wrong")
sys.exit(failed > 0 or cases < 25)
