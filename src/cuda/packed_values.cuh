// SPDX-License-Identifier: Apache-2.0
// Conversions of the packed value types and of dense elements, bit for bit the host's.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "gossamer/packed.hpp"

namespace gossamer::cuda {

__device__ inline float widened(float value) { return value; }
__device__ inline float widened(float16 value) {
  return __half2float(__ushort_as_half(value.bits));
}
__device__ inline float widened(bfloat16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
__device__ inline float widened(std::int8_t value) { return value; }
__device__ inline float widened(float8_e4m3 value) {
  const unsigned magnitude = value.bits & 0x7fu, sign = (value.bits & 0x80u) << 24;
  if (magnitude == 0x7f) return __uint_as_float(sign | 0x7fc00000u);
  if (magnitude < 8) {  // subnormal: multiples of 2^-9
    return __uint_as_float(sign | __float_as_uint(static_cast<float>(magnitude) * 0x1p-9f));
  }
  return __uint_as_float(sign | ((magnitude << 20) + (120u << 23)));
}

/// Rounds to nearest, ties to even; a NaN keeps its sign and the upper bits of its payload, as the
/// host's processors do it.
template <class T>
__device__ inline T narrowed(float value) {
  const unsigned bits = __float_as_uint(value);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  if constexpr (std::is_same_v<T, float16>) {
    if (nan) {
      return {static_cast<std::uint16_t>((bits >> 16 & 0x8000u) | 0x7e00u | (bits >> 13 & 0x3ffu))};
    }
    return {__half_as_ushort(__float2half_rn(value))};
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    if (nan) return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
    return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
  } else if constexpr (std::is_same_v<T, std::int8_t>) {
    return static_cast<std::int8_t>(__float2int_rn(fminf(fmaxf(value, -127.0f), 127.0f)));
  } else if constexpr (std::is_same_v<T, float8_e4m3>) {
    const unsigned sign = bits >> 24 & 0x80u;
    const float magnitude = fabsf(value);
    unsigned rounded = 0x7e;
    if (magnitude < 0x1p-6f) {
      // Adding 2^14 aligns multiples of 2^-9 at the bottom of the significand, rounded by the
      // addition.
      rounded = __float_as_uint(__fadd_rn(magnitude, 0x1p14f)) - __float_as_uint(0x1p14f);
    } else if (magnitude < 448.0f) {
      const unsigned from = bits & 0x7fffffffu;
      rounded = (from - (120u << 23) + 0x7ffffu + (from >> 20 & 1u)) >> 20;
    }
    return {static_cast<std::uint8_t>(sign | rounded)};
  } else {
    return value;
  }
}

/// Eight neighbours of a dense row, loaded or stored at once where they are contiguous and aligned.
template <class T>
struct alignas(16) EightColumns {
  T value[8];
};

}  // namespace gossamer::cuda
