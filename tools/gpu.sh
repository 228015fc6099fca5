#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the package with CUDA and tests it on this machine's GPU, with the Python packages that are already there
# (nothing is downloaded), then runs its arguments as a command: gpu.sh [COMMAND ARGUMENT...]
# CUDA_ARCHITECTURES (default 90) says what to compile for, HIGHWAY_ROOT where include/hwy and include/doctest are.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
site=$PWD/build/gpu/site logs=$PWD/build/gpu/logs
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

# The rest runs side by side: a sanitizer keeps one core busy, and the GPU little.
mkdir -p "$logs"
declare -A running=()
check() { # NAME COMMAND...
  echo "== gpu: $1 begins"
  "${@:2}" >"$logs/$1.log" 2>&1 &
  running[$1]=$!
}
# Fails where compute-sanitizer is missing.
sanitize() { # NAME TOOL [OPTION...] -- [ARGUMENT OF THE TESTS...]
  local name=$1 options=()
  shift
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  check "$name" compute-sanitizer --report-api-errors no --error-exitcode 1 --tool "${options[@]}" "$program" "${@:2}"
}
sanitize memcheck memcheck --
sanitize racecheck racecheck -- --test-case-exclude="products by *,matmul *"
sanitize racecheck-matmul racecheck -- --test-case="matmul *"
sanitize racecheck-products racecheck -- --test-case="products by *" --test-case-exclude="*rings*"
sanitize racecheck-rings racecheck -- --test-case="products by *rings*"
sanitize initcheck initcheck --
# Packed products have more barriers than it follows by itself; following many makes each launch slow.
sanitize synccheck synccheck -- --test-case-exclude="products by *"
sanitize synccheck-products synccheck --num-cuda-barriers 65536 -- --test-case="products by *"
workers=()
if "$python" -c "import xdist" 2>/dev/null; then workers=(-n $((($(nproc) + 1) / 2))); fi
check tests-gpu "$python" -m pytest -q "${workers[@]}" tests/gpu
# JAX's arrays are on the CPU here.
check tests-python env JAX_PLATFORMS=cpu "$python" -m pytest -q "${workers[@]}" tests/python

failed=()
for name in "${!running[@]}"; do
  if wait "${running[$name]}"; then verdict=passed; else verdict=failed failed+=("$name"); fi
  echo "== gpu: $name $verdict"
  tail -n "$([[ $verdict == passed ]] && echo 2 || echo 60)" "$logs/$name.log"
done
if ((${#failed[@]})); then
  echo "gpu: failed: ${failed[*]}; build/gpu/logs says how" >&2
  exit 1
fi
if (($#)); then
  echo "== gpu: $*"
  "$@"
fi
