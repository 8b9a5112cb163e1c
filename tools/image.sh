#!/usr/bin/env bash
# image.sh [TAG]: builds the container image with docker or buildah, whichever
# is there. Arguments for the builder go into $SPANLM_IMAGE_ARGS.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^project(spanlm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
tag=${1:-spanlm:$version}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
read -r -a extra <<<"${SPANLM_IMAGE_ARGS:-}"
arguments=(
  --tag "$tag" --file Dockerfile
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
  "${extra[@]}" .
)

if docker info >/dev/null 2>&1; then
  docker build "${arguments[@]}"
elif command -v buildah >/dev/null; then
  # Without the docker format an image has no HEALTHCHECK.
  buildah bud --format docker "${arguments[@]}"
else
  echo "image: needs a running docker, or buildah" >&2
  exit 1
fi
echo "image: $tag"
