#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_whitespace.py FILE...: trailing space, merge marks, missing or extra
newline at the end, files over 1 MiB. Prints one line a finding; exits 1 if any.
"""

import pathlib
import sys

LARGEST_BYTES = 1 << 20
MERGE_MARKS = (b"<" * 7 + b" ", b">" * 7 + b" ")


def findings(path):
    data = path.read_bytes()
    if len(data) > LARGEST_BYTES:
        yield f"{path}: {len(data)} bytes, at most {LARGEST_BYTES}"
    for number, line in enumerate(data.split(b"\n"), 1):
        if line != line.rstrip():
            yield f"{path}:{number}: space at the end of the line"
        if line.startswith(MERGE_MARKS):
            yield f"{path}:{number}: merge mark"
    if data and (not data.endswith(b"\n") or data.endswith(b"\n\n")):
        yield f"{path}: want exactly one newline at the end"


def main():
    found = [f for name in sys.argv[1:] for f in findings(pathlib.Path(name))]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
