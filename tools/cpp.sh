#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Configures, builds and tests one CMake preset: cpp.sh PRESET [CTEST ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:-}
shift || true
export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH" # the Python that CMake finds
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"

tested=$(ctest --list-presets | sed -n 's/^ *"\([^"]*\)".*/\1/p')
if ! grep -qx -- "$preset" <<<"$tested"; then
  echo "tools/cpp.sh: preset '$preset' has no tests; those that have: ${tested//$'\n'/, }." \
    "Any other is built by cmake --preset NAME && cmake --build --preset NAME" >&2
  exit 2
fi

echo "== test: C++, preset $preset"
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset" --output-on-failure --no-tests=error "$@"
