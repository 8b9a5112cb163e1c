#!/usr/bin/env bash
# Format, layers, file sizes, protos, shell scripts and clang-tidy (on the
# files changed since $SPANLM_TIDY_BASE, or with none: not at all).
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t sources < <(git ls-files --cached --others --exclude-standard \
  '*.h' '*.cc' '*.cu' '*.cuh')
echo "lint: format of ${#sources[@]} files"
clang-format-14 --dry-run --Werror "${sources[@]}"

python3 tools/check_layers.py
python3 tools/check_size.py
python3 tests/lint/check_tools_test.py

echo "lint: protos"
(cd proto && ../.deps/venv/bin/buf lint)

mapfile -t scripts < <(git ls-files --cached --others --exclude-standard \
  '*.sh' .ci/run)
echo "lint: ${#scripts[@]} shell scripts"
shellcheck "${scripts[@]}"

if [[ -n ${SPANLM_TIDY_BASE:-} ]]; then
  mapfile -t changed < <(git diff --name-only --diff-filter=d \
    "$SPANLM_TIDY_BASE" -- '*.cc')
  echo "lint: clang-tidy of ${#changed[@]} files"
  if ((${#changed[@]} > 0)); then
    cmake --preset release >/dev/null
    # Without the precompiled headers, which only their own compiler can read.
    mkdir -p build/tidy
    sed 's/ -Winvalid-pch//; s/ -include [^ ]*cmake_pch\.hxx//' \
      build/release/compile_commands.json >build/tidy/compile_commands.json
    clang-tidy-14 --quiet --extra-arg=-std=c++17 -p build/tidy "${changed[@]}"
  fi
fi
echo "lint: clean"
