#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds build/libworkbench.so for Hopper.
cd "$(dirname "$0")" && mkdir -p build
exec nvcc -O3 -std=c++20 --expt-relaxed-constexpr -gencode=arch=compute_90a,code=sm_90a -shared -Xcompiler -fPIC,-O3,-static-libstdc++ "$@" -o build/libworkbench.so [0-9]*.cu
