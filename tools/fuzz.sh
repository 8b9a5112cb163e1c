#!/usr/bin/env bash
# Builds the fuzz preset and runs each target for $SECONDS_EACH seconds (60) on
# a copy of its corpus. What crashes is left in build/fuzz/crashes/.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-60}

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target \
  fuzz_config_json fuzz_safetensors fuzz_torch_file

corpora=$(mktemp -d)
trap 'rm -rf "$corpora"' EXIT
mkdir -p build/fuzz/crashes
for target in config_json safetensors torch_file; do
  cp -r "tests/fuzz/corpus/$target" "$corpora/"
  echo "fuzz: $target for $seconds s"
  "build/fuzz/bin/fuzz_$target" -max_total_time="$seconds" -max_len=16384 \
    -rss_limit_mb=2048 -timeout=10 -print_final_stats=0 -verbosity=0 \
    -artifact_prefix="build/fuzz/crashes/$target-" "$corpora/$target"
done
echo "fuzz: no crash"
