#!/usr/bin/env bash
# bench.sh [FLAGS...]: runs the benchmarks of the release build, with the
# machine's limits beside them, and writes build/release/bench.json.
set -euo pipefail
cd "$(dirname "$0")/.."
build/release/bin/spanlm_step_bench --json build/release/bench.json "$@"
