#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles the CUDA half of the engine (preset cuda). Running it is what tools/gpu.sh does, on a machine with a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v nvcc >/dev/null; then
  echo "== cuda: skipped, no nvcc on the PATH"
elif [[ -z $(find src -name '*.cu' -print -quit) ]]; then
  echo "== cuda: skipped, no CUDA sources"
else
  echo "== cuda: compile"
  export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH" # the Python that CMake finds
  cmake --preset cuda >/dev/null
  cmake --build --preset cuda --parallel "$(nproc)"
fi
