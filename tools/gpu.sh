#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the package with CUDA and tests it on this machine's GPU, with the Python packages that are already there
# (nothing is downloaded), then runs its arguments as a command: gpu.sh [COMMAND ARGUMENT...]
# CUDA_ARCHITECTURES (default 90) says what to compile for, HIGHWAY_ROOT where include/hwy and include/doctest are.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
site=$PWD/build/gpu/site
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader

echo "== gpu: build for sm_${CUDA_ARCHITECTURES:=90}"
CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) "$python" -m pip install -q --no-index --no-deps --no-build-isolation \
  --upgrade --target "$site" \
  -C build-dir=build/gpu/cmake -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$CUDA_ARCHITECTURES" \
  -C cmake.define.GOSSAMER_CUDA=ON -C cmake.define.GOSSAMER_BUILD_GPU_TESTS=ON .
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} PATH=$site/bin:$PATH

program=build/gpu/cmake/tests/gpu/gossamer_gpu_tests
export GOSSAMER_BATTERY=$PWD/build/gpu/battery.bin
"$python" tests/battery/battery.py --out "$GOSSAMER_BATTERY"
echo "== gpu: C++ tests"
"$program"
# Fails where compute-sanitizer is missing.
sanitize() { # TOOL [OPTION...] -- [ARGUMENT OF THE TESTS...]
  echo "== gpu: C++ tests under $*"
  local options=()
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  compute-sanitizer --report-api-errors no --error-exitcode 1 --tool "${options[@]}" "$program" "${@:2}"
}
sanitize memcheck --
sanitize racecheck --
sanitize initcheck --
# Packed products have more barriers than it follows by itself; following many makes each launch slow.
sanitize synccheck -- --test-case-exclude="products by *"
sanitize synccheck --num-cuda-barriers 65536 -- --test-case="products by *"
for tests in tests/gpu tests/python; do
  echo "== gpu: $tests"
  "$python" -m pytest -q "$tests"
done
if (($#)); then
  echo "== gpu: $*"
  "$@"
fi
