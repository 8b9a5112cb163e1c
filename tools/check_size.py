#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that no source file is over 400 lines, no CMakeLists.txt over 120.

Prints one line a file that is too long and exits 1; exits 0 when there is none.
"""

import pathlib
import sys

BOUNDS = {".h": 400, ".cc": 400, ".cu": 400, ".cuh": 400, ".py": 400,
          ".sh": 400, ".proto": 400}
CMAKE_BOUND = 120


def bound_of(path):
    if path.name == "CMakeLists.txt":
        return CMAKE_BOUND
    return BOUNDS.get(path.suffix)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = []
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if relative.startswith((".", "build/")) or not path.is_file():
            continue
        bound = bound_of(path)
        if bound is None:
            continue
        lines = path.read_bytes().count(b"\n")
        if lines > bound:
            found.append(f"{relative}: {lines} lines, at most {bound}")
    print("\n".join(found) or "size: no file over its bound")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
