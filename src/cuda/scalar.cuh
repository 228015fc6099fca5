// SPDX-License-Identifier: Apache-2.0
// Value types as kernels hold them: arithmetic, conversions, loads and shuffles.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

#include "gossamer/dtype.hpp"

namespace gossamer::cuda {

/// std::complex of the same layout, with operators that run on a device.
template <class R>
struct alignas(2 * sizeof(R)) Complex {
  R real, imag;
};

template <class R>
__device__ __forceinline__ Complex<R> operator+(Complex<R> a, Complex<R> b) {
  return {a.real + b.real, a.imag + b.imag};
}

template <class T>
inline constexpr bool is_device_complex = false;
template <class R>
inline constexpr bool is_device_complex<Complex<R>> = true;

/// The device's name of a value type.
template <class T>
struct DeviceTypeOf {
  using type = T;
};
template <>
struct DeviceTypeOf<float16> {
  using type = __half;
};
template <>
struct DeviceTypeOf<bfloat16> {
  using type = __nv_bfloat16;
};
template <>
struct DeviceTypeOf<complex64> {
  using type = Complex<float>;
};
template <>
struct DeviceTypeOf<complex128> {
  using type = Complex<double>;
};
template <class T>
using DeviceType = typename DeviceTypeOf<T>::type;

__device__ __forceinline__ float widen(__half value) { return __half2float(value); }
__device__ __forceinline__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ double widen(double value) { return value; }
template <class R>
__device__ __forceinline__ Complex<R> widen(Complex<R> value) {
  return value;
}

/// The type that values of a device type are summed in.
template <class T>
using DeviceAccumulator = decltype(widen(T{}));

/// Rounds an accumulator to a stored type, to nearest, ties to even.
template <class T>
__device__ __forceinline__ T narrow(DeviceAccumulator<T> value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else {
    return value;
  }
}

/// acc + a * b by the textbook formula.
template <class T>
__device__ __forceinline__ T multiply_add(T a, T b, T acc) {
  if constexpr (is_device_complex<T>) {
    return {acc.real + a.real * b.real - a.imag * b.imag,
            acc.imag + a.real * b.imag + a.imag * b.real};
  } else {
    return acc + a * b;
  }
}

template <class T>
__device__ __forceinline__ T conjugate_if(bool conjugate, T value) {
  if constexpr (is_device_complex<T>) {
    if (conjugate) value.imag = -value.imag;
  }
  return value;
}

template <class T>
__device__ __forceinline__ T shuffle_xor(T value, int mask) {
  if constexpr (is_device_complex<T>) {
    return {__shfl_xor_sync(~0u, value.real, mask), __shfl_xor_sync(~0u, value.imag, mask)};
  } else {
    return __shfl_xor_sync(~0u, value, mask);
  }
}

/// The value of a lane of a group of `width` lanes, which alone take part.
template <class T>
__device__ __forceinline__ T shuffle_in_group(unsigned group, T value, int lane, int width) {
  if constexpr (is_device_complex<T>) {
    return {__shfl_sync(group, value.real, lane, width),
            __shfl_sync(group, value.imag, lane, width)};
  } else {
    return __shfl_sync(group, value, lane, width);
  }
}

/// Sum over groups of `width` neighbouring lanes (a power of two), in every lane. The whole warp
/// takes part.
template <class T>
__device__ __forceinline__ T sum_lanes(T value, int width) {
  for (int mask = 1; mask < width; mask *= 2) value = value + shuffle_xor(value, mask);
  return value;
}

/// Neighbouring values that are loaded and stored at once.
template <class T, int Width>
struct alignas(sizeof(T) * Width) Vector {
  T element[Width];
};

template <int Bytes>
struct WordOf;
template <>
struct WordOf<2> {
  using type = unsigned short;
};
template <>
struct WordOf<4> {
  using type = unsigned;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<16> {
  using type = uint4;
};

/// Loads what is read once, so that it leaves the caches first.
template <class T>
__device__ __forceinline__ T load_once(const T* from) {
  const auto word = __ldcs(reinterpret_cast<const typename WordOf<sizeof(T)>::type*>(from));
  T value;
  std::memcpy(&value, &word, sizeof(T));
  return value;
}

}  // namespace gossamer::cuda
