#!/usr/bin/env bash
# Compiles and links the cuda preset where nvcc is; its tests run where a GPU
# is and say `skipped: no CUDA device` elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v nvcc >/dev/null; then
  echo "cuda: no nvcc on this machine: nothing to compile"
  exit 0
fi
tools/build.sh cuda
tools/test.sh cuda -L cuda
