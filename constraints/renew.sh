#!/usr/bin/env bash
# Pin every dependency with its hashes, without addresses. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
pin() { # pin FILE EXTRA...
  local out=$1; shift
  local extras=(); for extra in "$@"; do extras+=(--extra "$extra"); done
  "$uv" pip compile pyproject.toml constraints/build.in "${extras[@]}" --quiet --python-version 3.11 --universal \
    --generate-hashes --no-emit-index-url --no-annotate --no-header --output-file "constraints/$out"
}
pin edge.txt edge
pin demo.txt edge ground sim
pin dev.txt dev
