#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the package with CUDA and tests it on this machine's GPU, with the Python packages that are already there
# (nothing is downloaded), then runs its arguments as a command: gpu.sh [COMMAND ARGUMENT...]
# CUDA_ARCHITECTURES (default 90) says what to compile for, HIGHWAY_ROOT where include/hwy and include/doctest are.
# PREBUILT=DIR takes what another machine built: the installed package in DIR/site, and DIR/gossamer_gpu_tests.
# PARTS=REGEX runs those behind the C++ tests whose names it matches: tests-gpu, racecheck-tiles, ...
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
logs=$PWD/build/gpu/logs
mkdir -p "$logs"
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader

if [[ -n ${PREBUILT:-} ]]; then
  site=$(realpath "$PREBUILT")/site program=$(realpath "$PREBUILT")/gossamer_gpu_tests
else
  site=$PWD/build/gpu/site program=build/gpu/cmake/tests/gpu/gossamer_gpu_tests
  echo "== gpu: build for sm_${CUDA_ARCHITECTURES:=90}"
  CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) "$python" -m pip install -q --no-index --no-deps --no-build-isolation \
    --upgrade --target "$site" \
    --config-settings=build-dir=build/gpu/cmake \
    --config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES="$CUDA_ARCHITECTURES" \
    --config-settings=cmake.define.GOSSAMER_CUDA=ON \
    --config-settings=cmake.define.GOSSAMER_BUILD_GPU_TESTS=ON .
fi
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} PATH=$site/bin:$PATH

export GOSSAMER_BATTERY=$PWD/build/gpu/battery.bin
"$python" tests/battery/battery.py --out "$GOSSAMER_BATTERY"
echo "== gpu: C++ tests"
"$program"

# The rest runs side by side: a sanitizer keeps one core busy, and the GPU little.
declare -A running=()
check() { # NAME COMMAND...
  [[ $1 =~ ${PARTS:-} ]] || return 0
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
# The tests that take longest under a tool are pieces of their own.
longest="matmul is within*"
for tool in memcheck initcheck; do
  sanitize "$tool-matmul" $tool -- --test-case="$longest"
  sanitize "$tool" $tool -- --test-case-exclude="$longest"
done
sanitize racecheck-matmul racecheck -- --test-case="$longest"
sanitize racecheck-delta-rows racecheck -- --test-case="products by delta*"
sanitize racecheck-tiles racecheck -- --test-case="products by bitmap*"
sanitize racecheck racecheck -- --test-case-exclude="$longest,products by *"
sanitize synccheck-matmul synccheck -- --test-case="$longest"
# Packed products have more barriers than it follows by itself; following many makes each launch slow.
sanitize synccheck-products synccheck --num-cuda-barriers 65536 -- --test-case="products by *"
sanitize synccheck synccheck -- --test-case-exclude="$longest,products by *"
workers=()
if "$python" -c "import xdist" 2>/dev/null; then workers=(-n $((($(nproc) + 1) / 2)) --dist worksteal); fi
# Each worker would take all processors, PyTorch's compiler as many processes.
export OMP_NUM_THREADS=2 TORCHINDUCTOR_COMPILE_THREADS=1
check tests-gpu "$python" -m pytest -q --durations=10 "${workers[@]}" tests/gpu
# JAX's arrays are on the CPU here.
check tests-python env JAX_PLATFORMS=cpu "$python" -m pytest -q --durations=10 "${workers[@]}" tests/python

if ((!${#running[@]})); then
  echo "gpu: PARTS='$PARTS' matches no part" >&2
  exit 1
fi
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
