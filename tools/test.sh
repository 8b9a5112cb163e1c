#!/usr/bin/env bash
# test.sh PRESET [CTEST-ARGS...]: runs a built preset's tests.
# Reference vectors come from $SPANLM_GOLDEN_DIR, else tests/testdata/golden.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:?usage: tools/test.sh PRESET [CTEST-ARGS...]}
shift
# Four times the cores: a server's test waits two seconds for its metrics'
# listener.
ctest --preset "$preset" --parallel $((4 * $(nproc))) "$@"
