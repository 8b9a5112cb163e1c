#!/usr/bin/env bash
# Compiles and links the cuda preset where nvcc is; its tests run where a GPU
# is and say `skipped: no CUDA device` elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v nvcc >/dev/null; then
  echo "cuda: no nvcc on this machine: nothing to compile"
  exit 0
fi
# The three programs and the tests of CUDA: the rest is the release preset's.
tools/build.sh cuda --target spanlm spanlm-server spanlm-train \
  spanlm_engine_cuda_test
tools/test.sh cuda -L cuda
