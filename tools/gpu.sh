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
# Fails where compute-sanitizer is missing. synccheck must be told how many barriers to follow.
for tool in memcheck racecheck initcheck "synccheck --num-cuda-barriers 65536"; do
  echo "== gpu: C++ tests under $tool"
  # shellcheck disable=SC2086 # its options
  compute-sanitizer --tool $tool --report-api-errors no --error-exitcode 1 "$program"
done
for tests in tests/gpu tests/python; do
  echo "== gpu: $tests"
  "$python" -m pytest -q "$tests"
done
if (($#)); then
  echo "== gpu: $*"
  "$@"
fi
