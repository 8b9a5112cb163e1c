#!/usr/bin/env bash
# build.sh PRESET [CMAKE-BUILD-ARGS...]: configures and builds a preset of
# CMakePresets.json.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:?usage: tools/build.sh PRESET [CMAKE-BUILD-ARGS...]}
shift

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cmake --preset "$preset" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
cmake --build --preset "$preset" "$@"
