#!/usr/bin/env bash
# Installs what a build needs on Debian 12: packages (as root; otherwise names
# them and stops), LibTorch from its PyPI wheel and the lint tools, the latter
# two below .deps/. A second run finds everything and does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  g++ cmake ninja-build make git ccache pkg-config unzip
  clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev shellcheck
  python3 python3-pip python3-venv
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  grpc-proto libabsl-dev prometheus-cpp-dev libcli11-dev libgloo-dev libspdlog-dev
  nlohmann-json3-dev libhwy-dev libzip-dev libssl-dev
  libgtest-dev libgmock-dev libbenchmark-dev
)
torch_wheel='torch==2.11.0'
torch_needs=('nvidia-cuda-runtime==13.0.96' 'nvidia-cuda-cupti==13.0.85')
lint_tools=('buf-bin==1.75.0' 'kubernetes-validate==1.37.0')

missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 2>/dev/null |
    awk '$2 == "installed" {print $1}' | sort -u)
  for package in "${packages[@]}"; do
    grep -qx -- "$package" <<<"$installed" || echo "$package"
  done
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then return; fi
  if ((EUID != 0)); then
    echo "setup: these Debian packages are missing; install them as root:" >&2
    echo "  apt-get install ${missing[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${#missing[@]} Debian packages" >&2
  local log
  log=$(mktemp)
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
    { cat "$log" >&2; exit 1; }
  rm "$log"
}

# Wheels are zip files: unpacked, not installed, as nothing here runs Python.
unpack_torch() {
  if [[ -n ${SPANLM_TORCH_DIR:-} ]]; then
    [[ -e $SPANLM_TORCH_DIR/lib/libtorch_cpu.so ]] || {
      echo "setup: SPANLM_TORCH_DIR=$SPANLM_TORCH_DIR holds no LibTorch" >&2
      exit 1
    }
    return
  fi
  if [[ -e .deps/torch.ready ]]; then return; fi
  echo "setup: fetching LibTorch ($torch_wheel, 531 MB)" >&2
  local wheels
  wheels=$(mktemp -d)
  python3 -m pip download -q --no-deps --only-binary=:all: \
    --python-version 3.11 --implementation cp --abi cp311 \
    --platform manylinux_2_28_x86_64 -d "$wheels" "$torch_wheel"
  python3 -m pip download -q --no-deps --only-binary=:all: \
    --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 \
    -d "$wheels" "${torch_needs[@]}"
  mkdir -p .deps
  for wheel in "$wheels"/*.whl; do
    unzip -qq -o "$wheel" -d .deps -x '*.py' '*.pyi' '*/test/*'
  done
  rm -rf "$wheels"
  touch .deps/torch.ready
}

install_lint_tools() {
  if [[ -e .deps/venv.ready ]]; then return; fi
  echo "setup: installing lint tools: ${lint_tools[*]}" >&2
  python3 -m venv .deps/venv
  .deps/venv/bin/pip install -q --disable-pip-version-check "${lint_tools[@]}"
  touch .deps/venv.ready
}

install_packages
unpack_torch
install_lint_tools
