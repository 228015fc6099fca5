#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the libFuzzer targets with clang and runs them for some seconds: fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."

if ! echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }' |
  clang++ -fsanitize=fuzzer,address,undefined -x c++ -o /dev/null - 2>/dev/null; then
  if ! command -v apt-get >/dev/null || ((EUID)); then
    echo "error: fuzzing needs clang and its run-time libraries: sudo apt-get install clang libclang-rt-dev" >&2
    exit 1
  fi
  echo "== fuzz: apt-get install clang"
  apt-get -qq update </dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y clang </dev/null >/dev/null
fi
echo "== fuzz: $1 seconds"
export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
cmake --preset fuzz -DGOSSAMER_FUZZ_SECONDS="$1" >/dev/null
cmake --build --preset fuzz
ctest --preset fuzz --verbose --no-tests=error | grep -E "stat::|ERROR|SUMMARY|Test +#|tests passed"
