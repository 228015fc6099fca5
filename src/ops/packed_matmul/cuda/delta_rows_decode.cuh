// SPDX-License-Identifier: Apache-2.0
// What a warp does with a step of delta_rows: distances and values from their words, and the matrix
// instructions that sum them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <type_traits>

#include "ops/packed_matmul/cuda/delta_rows.hpp"

namespace gossamer::cuda::delta_rows {

/// d = a b + c, exact integers: 16x16 distances times 16x8.
__device__ __forceinline__ void prefix_mma(int (&d)[4], const unsigned (&a)[2], unsigned b,
                                           const int (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.u8.u8.s32 {%0,%1,%2,%3},{%4,%5},{%6},{%7,%8,%9,%10};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

/// d += a b in float32: 16x16 values times 16x8 of gathered x.
__device__ __forceinline__ void product_mma(float (&d)[4], const unsigned (&a)[4], __half2 b0,
                                            __half2 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"((unsigned&)b0), "r"((unsigned&)b1));
}
__device__ __forceinline__ void product_mma(float (&d)[4], const unsigned (&a)[4],
                                            __nv_bfloat162 b0, __nv_bfloat162 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"((unsigned&)b0), "r"((unsigned&)b1));
}

/// The distances of a unit less the least one, four bytes a register, from its words.
template <int Bits>
__device__ __forceinline__ void unpack(const unsigned* w,
                                       unsigned (&a)[DistanceCode<Bits>::steps][2]) {
  if constexpr (Bits == 8) {
    for (int r = 0; r < 4; ++r) a[r / 2][r % 2] = w[r];
  } else if constexpr (Bits == 4) {
    for (int r = 0; r < 4; ++r) a[r / 2][r % 2] = (w[r / 2] >> 4 * (r % 2)) & 0x0f0f0f0f;
  } else {
    for (int r = 0; r < 6; ++r) a[r / 2][r % 2] = (w[r % 3] >> 3 * (r / 3)) & 0x07070707;
    a[3][0] = (w[0] >> 6 & 0x03030303) | (w[2] >> 4 & 0x04040404);
    a[3][1] = (w[1] >> 6 & 0x03030303) | (w[2] >> 5 & 0x04040404);
  }
}

template <class X>
using Pair = std::conditional_t<std::is_same_v<X, __half>, __half2, __nv_bfloat162>;

/// Two neighbouring values, element 2 k and 2 k + 1 of the words w, as a pair of X (exact).
template <class V, class X>
__device__ __forceinline__ unsigned value_pair(const unsigned* w, int k) {
  if constexpr (std::is_same_v<V, X>) return w[k];
  __half2 h;
  if constexpr (std::is_same_v<V, std::int8_t>) {
    // byte ^ 0x80 in the significand of 1024 is 1024 + 128 + value.
    unsigned biased = __byte_perm(w[k / 2] ^ 0x80808080u, 0x64646464u, k % 2 ? 0x4342 : 0x4140);
    h = __hsub2((__half2&)biased, __float2half2_rn(1152.f));
  } else {
    h = __half2(
        __nv_cvt_fp8x2_to_halfraw2(__nv_fp8x2_storage_t(w[k / 2] >> 16 * (k % 2)), __NV_E4M3));
  }
  if constexpr (std::is_same_v<X, __half>) return (unsigned&)h;
  __nv_bfloat162 b = __float22bfloat162_rn(__half22float2(h));
  return (unsigned&)b;
}

/// Element e of the words w.
template <class V>
__device__ __forceinline__ float value_float(const unsigned* w, int e) {
  if constexpr (sizeof(V) == 4) {
    return __uint_as_float(w[e]);
  } else if constexpr (std::is_same_v<V, __nv_bfloat16>) {
    return __uint_as_float(e % 2 ? w[e / 2] & 0xffff0000u : w[e / 2] << 16);
  } else {
    unsigned pair = value_pair<V, std::conditional_t<sizeof(V) == 1, __half, V>>(w, e / 2);
    return e % 2 ? __high2float((__half2&)pair) : __low2float((__half2&)pair);
  }
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

/// The element of x at an address in shared memory.
template <class X>
__device__ __forceinline__ X gather(int address) {
  if constexpr (sizeof(X) == 4) {
    float v;
    asm("ld.shared.f32 %0,[%1];" : "=f"(v) : "r"(address));
    return v;
  } else {
    unsigned short v;
    asm("ld.shared.u16 %0,[%1];" : "=h"(v) : "r"(address));
    return (X&)v;
  }
}

}  // namespace gossamer::cuda::delta_rows
