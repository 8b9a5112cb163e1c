#!/usr/bin/env bash
# Runs the benchmarks of the release build, with the machine's limits beside
# them.
set -euo pipefail
cd "$(dirname "$0")/.."
build/release/bin/spanlm_step_bench "$@"
