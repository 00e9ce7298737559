#!/usr/bin/env python3
"""Writes unicode_tables.c from the Unicode Character Database.

    python3 worker/engine/make_unicode_tables.py [FOLDER] > worker/engine/unicode_tables.c

FOLDER holds UnicodeData.txt and PropList.txt (Debian's package unicode-data; default
/usr/share/unicode). The committed table is from version 15.0.0, the one that llama.cpp's tables
come from, so that both call the same characters letters.
"""
import re
import sys
from pathlib import Path

LETTER, NUMBER, MARK, PUNCTUATION, SPACE = 1, 2, 4, 8, 16
OF_CATEGORY = {"L": LETTER, "N": NUMBER, "M": MARK, "P": PUNCTUATION}
CODE_POINTS = 0x110000
PER_LINE = 8


def read_classes(folder):
    classes = bytearray(CODE_POINTS)
    first = None
    for line in (folder / "UnicodeData.txt").read_text().splitlines():
        field = line.split(";")
        code, name, flag = int(field[0], 16), field[1], OF_CATEGORY.get(field[2][0], 0)
        if name.endswith(", First>"):
            first = code
            continue
        start = first if name.endswith(", Last>") else code
        classes[start : code + 1] = bytes([flag]) * (code + 1 - start)
    for line in (folder / "PropList.txt").read_text().splitlines():
        match = re.match(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*; White_Space\b", line)
        if match:
            start, end = int(match[1], 16), int(match[2] or match[1], 16)
            for code in range(start, end + 1):
                classes[code] |= SPACE
    return classes


def read_version(folder):
    head = (folder / "PropList.txt").read_text().splitlines()[0]
    return re.search(r"PropList-([0-9.]+)\.txt", head)[1]


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/unicode")
    classes = read_classes(folder)
    ranges = [
        start << 8 | classes[start]
        for start in range(CODE_POINTS)
        if start == 0 or classes[start] != classes[start - 1]
    ]
    print("/* unicode_tables.c - classes of all code points; written by make_unicode_tables.py from")
    print(f" * Unicode {read_version(folder)}, not by hand. Each number is (first code point << 8 | class) of a range")
    print(" * that ends where the next begins. */")
    print('#include "worker/engine/unicode.h"\n')
    print("/* clang-format off */")
    print(f"const size_t unicode_range_count = {len(ranges)};")
    print(f"const uint32_t unicode_ranges[{len(ranges)}] = {{")
    for i in range(0, len(ranges), PER_LINE):
        print("    " + " ".join(f"0x{r:08x}," for r in ranges[i : i + PER_LINE]))
    print("};")


main()
