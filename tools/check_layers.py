#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the dependency rule: which folder may include what.

The table is docs/architecture.md's. Prints one line a forbidden include and
exits 1; exits 0 when there is none.
"""

import pathlib
import re
import sys

# Outside libraries by how their includes begin. What is in none of these is
# the C++ or C standard library, or the operating system.
LIBRARIES = {
    "torch": ("ATen/", "torch/", "c10/"),
    "grpc": ("grpc/", "grpcpp/"),
    "protobuf": ("google/protobuf/", "google/rpc/", "proto/", "spanlm/"),
    "absl": ("absl/",),
    "spdlog": ("spdlog/",),
    "json": ("nlohmann/",),
    "cli": ("CLI/",),
    "prometheus": ("prometheus/",),
    "highway": ("hwy/",),
    "cuda": ("cuda", "cub/", "cooperative_groups"),
    "openssl": ("openssl/",),
    "libzip": ("zip.h",),
    "zlib": ("zlib.h",),
    "test": ("gtest/", "gmock/", "benchmark/"),
}

# Folder or file → libraries and own folders or files it may include. The
# longest matching key decides. "engine/*.h" stands for the engine's door.
DOOR = "engine/*.h"
RULES = {
    "base": ["absl", "spdlog", "json", "base"],
    "base/command_line.cc": ["absl", "cli", "base"],
    "engine": ["absl", "base", DOOR, "engine/cache"],
    "engine/model_config.cc": ["absl", "json", "base", DOOR],
    "engine/cache": ["absl", "base", DOOR, "engine/cache"],
    "engine/kernels": ["highway", "engine/kernels"],
    "engine/kernels/cuda": ["cuda", "engine/kernels"],
    "engine/step": ["absl", "base", DOOR, "engine/kernels", "engine/cache",
                    "engine/step"],
    "engine/checkpoint": ["absl", "json", "openssl", "libzip", "zlib", "base",
                          DOOR, "engine/checkpoint"],
    "engine/attention": ["torch", "absl", "base", DOOR, "engine/kernels",
                         "engine/cache", "engine/attention"],
    "engine/model": ["torch", "absl", "base", DOOR, "engine/attention",
                     "engine/model"],
    "engine/runtime": ["torch", "cuda", "absl", "base", DOOR, "engine"],
    "server/jobs": ["absl", "base", DOOR, "server/jobs"],
    "server/metrics": ["absl", "prometheus", "base", "server/metrics"],
    "server/scheduler": ["absl", "base", DOOR, "server/jobs/job.h",
                         "server/jobs/reason.h", "server/metrics",
                         "server/scheduler"],
    "server/rpc": ["grpc", "protobuf", "absl", "openssl", "json", "base", DOOR,
                   "server"],
    "server": ["grpc", "protobuf", "absl", "json", "base", DOOR, "server"],
    "server/main.cc": ["absl", "cli", "json", "base", DOOR, "server"],
    "train": ["torch", "absl", "cli", "json", "openssl", "prometheus", "base",
              "engine", "train"],
    "client": ["grpc", "protobuf", "absl", "cli", "json", "base", "client"],
}
SOURCES = {".h", ".cc", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.MULTILINE)


def rule_of(path):
    """The entry of RULES for a file, by the longest key that leads to it."""
    keys = [k for k in RULES if path == k or path.startswith(k + "/")]
    return RULES[max(keys, key=len)] if keys else None


def library_of(include):
    for name, prefixes in LIBRARIES.items():
        if include.startswith(prefixes):
            return name
    return None


def is_relative(include, folder, root):
    """Whether an include starts at its file's folder instead of the root."""
    return include.startswith(".") or "/../" in include or (
        (folder / include).exists() and not (root / include).exists())


def is_allowed(include, rule, root):
    """Whether a file under `rule` may have this include."""
    if (root / include).exists():  # ours
        for entry in rule:
            if entry == DOOR:
                if re.fullmatch(r"engine/[^/]+\.h", include) or \
                        include == "engine/cache/slot_pool.h":
                    return True
            elif include == entry or include.startswith(entry + "/"):
                return True
        return False
    library = library_of(include)
    return library is None or library in rule


def violations(root):
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root).as_posix()
        if path.suffix not in SOURCES or relative.startswith((".", "build/")):
            continue
        rule = rule_of(relative)
        if rule is None:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in INCLUDE.finditer(text):
            include = match.group(1)
            if is_relative(include, path.parent, root) or \
                    not is_allowed(include, rule, root):
                line = text.count("\n", 0, match.start()) + 1
                yield f"{relative}:{line}: may not include {include}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(violations(root))
    print("\n".join(found) or "layers: no forbidden include")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
