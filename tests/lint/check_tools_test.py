#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lint tools find what they are for, and nothing in a clean tree."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


def run(tool, files):
    """Runs a tool over a tree of {path: text}; returns (exit code, output)."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, TOOLS / tool, folder],
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout


class CheckLayersTest(unittest.TestCase):

    def test_refuses_libtorch_in_the_server_and_names_the_line(self):
        code, output = run("check_layers.py", {
            "server/server.cc": '#include <vector>\n#include "ATen/ATen.h"\n'})
        self.assertEqual(code, 1)
        self.assertIn("server/server.cc:2: may not include ATen/ATen.h", output)

    def test_refuses_protobuf_in_the_engine(self):
        code, output = run("check_layers.py", {
            "engine/engine.cc": '#include "google/protobuf/message.h"\n'})
        self.assertEqual(code, 1)
        self.assertIn("google/protobuf/message.h", output)

    def test_refuses_every_generated_message_in_the_engine(self):
        for header in ("spanlm/v1/scoring.pb.h",
                       "spanlm/internal/v1/resume_token.pb.h",
                       "google/rpc/status.pb.h", "grpc/health/v1/health.pb.h"):
            code, output = run("check_layers.py", {
                "engine/engine.cc": f'#include "{header}"\n'})
            self.assertEqual(code, 1, header)
            self.assertIn(header, output)

    def test_refuses_an_inner_folder_of_the_engine_to_the_server(self):
        files = {"engine/step/span_step.h": "", "engine/engine.h": "",
                 "server/server.cc": '#include "engine/engine.h"\n'
                                     '#include "engine/step/span_step.h"\n'}
        code, output = run("check_layers.py", files)
        self.assertEqual(code, 1)
        self.assertIn("server.cc:2", output)
        self.assertNotIn("server.cc:1", output)

    def test_lets_kernels_see_highway_but_not_abseil(self):
        code, output = run("check_layers.py", {
            "engine/kernels/cpu/a.cc": "#include <cmath>\n"
                                       '#include "hwy/highway.h"\n',
            "engine/kernels/cpu/b.cc": '#include "absl/types/span.h"\n'})
        self.assertEqual(code, 1)
        self.assertNotIn("a.cc", output)
        self.assertIn("b.cc:1", output)

    def test_refuses_includes_that_do_not_start_at_the_root(self):
        for include in ("../../engine/step/span_step.h", "./parse.h",
                        "parse.h"):
            code, output = run("check_layers.py", {
                "engine/step/span_step.h": "", "server/rpc/parse.h": "",
                "server/rpc/parse.cc": f'#include "{include}"\n'})
            self.assertEqual(code, 1, include)
            self.assertIn(f"server/rpc/parse.cc:1: may not include {include}",
                          output)

    def test_accepts_a_clean_tree(self):
        code, _ = run("check_layers.py", {
            "base/log.cc": '#include "spdlog/spdlog.h"\n',
            "train/main.cc": '#include "CLI/CLI.hpp"\n'})
        self.assertEqual(code, 0)


class CheckSizeTest(unittest.TestCase):

    def test_names_a_file_over_its_bound(self):
        code, output = run("check_size.py", {
            "engine/long.cc": "\n" * 401, "engine/short.cc": "\n" * 400,
            "engine/CMakeLists.txt": "\n" * 121})
        self.assertEqual(code, 1)
        self.assertIn("engine/long.cc: 401 lines, at most 400", output)
        self.assertIn("engine/CMakeLists.txt: 121 lines", output)
        self.assertNotIn("short", output)


if __name__ == "__main__":
    unittest.main()
