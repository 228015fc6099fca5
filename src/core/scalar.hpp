// SPDX-License-Identifier: Apache-2.0
// Arithmetic on single values: what each type sums in, and the conversions of the 16-bit types.
#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <type_traits>

#include "gossamer/dtype.hpp"

#if defined(__GNUC__)
#define GOSSAMER_INLINE inline __attribute__((always_inline))
#else
#define GOSSAMER_INLINE inline
#endif

namespace gossamer {

template <class T>
inline constexpr bool is_complex = false;
template <class T>
inline constexpr bool is_complex<std::complex<T>> = true;

template <class T>
inline constexpr bool is_16bit = std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;

/// The type that values of type T are summed in.
template <class T>
struct AccumulatorOf;
#define GOSSAMER_ACCUMULATOR(enumerator, type, accumulator) \
  template <>                                               \
  struct AccumulatorOf<type> {                              \
    using type_ = accumulator;                              \
  };
GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_ACCUMULATOR)
#undef GOSSAMER_ACCUMULATOR
template <class T>
using Accumulator = typename AccumulatorOf<T>::type_;

/// The type that the reference implementations sum in: more digits than the accumulator has.
template <class T>
using Wide = std::conditional_t<
    is_complex<T>,
    std::complex<std::conditional_t<std::is_same_v<T, complex128>, long double, double>>,
    std::conditional_t<std::is_same_v<T, double>, long double, double>>;

template <class T>
GOSSAMER_INLINE T widen(T value) {
  return value;
}

GOSSAMER_INLINE float widen(bfloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

GOSSAMER_INLINE float widen(float16 value) {
#if defined(__FLT16_MAX__)
  return static_cast<float>(std::bit_cast<_Float16>(value.bits));  // one instruction where F16C is
#else
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000u) << 16;
  // Scaling by 2^112 moves the exponent to float32's bias and renormalizes subnormals.
  float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  if (magnitude >= 0x7c00u) scaled = std::bit_cast<float>((magnitude << 13) | 0x7f800000u);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign);
#endif
}

/// Rounds an accumulator to a stored type, to nearest, ties to even.
template <class T>
GOSSAMER_INLINE T narrow(Accumulator<T> value) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    // NaN keeps its sign and becomes quiet; rounding could carry it into infinity.
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
      return bfloat16{static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
    }
    return bfloat16{static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
  } else if constexpr (std::is_same_v<T, float16>) {
#if defined(__FLT16_MAX__)
    return float16{std::bit_cast<std::uint16_t>(static_cast<_Float16>(value))};
#else
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return float16{static_cast<std::uint16_t>(sign | 0x7e00u)};
    if (magnitude >= 0x477ff000u) return float16{static_cast<std::uint16_t>(sign | 0x7c00u)};
    if (magnitude < 0x38800000u) {
      // Adding 0.5 aligns a subnormal's bits at the bottom of the significand, rounded by the
      // addition.
      const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
      return float16{static_cast<std::uint16_t>(
          sign | (std::bit_cast<std::uint32_t>(aligned) - std::bit_cast<std::uint32_t>(0.5f)))};
    }
    const std::uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u);
    return float16{static_cast<std::uint16_t>(sign | (rounded >> 13))};
#endif
  } else {
    return value;
  }
}

/// acc + a * b by the textbook formula, without the library's special cases for infinite parts.
template <class T>
GOSSAMER_INLINE T multiply_add(T a, T b, T acc) {
  if constexpr (is_complex<T>) {
    return T(acc.real() + a.real() * b.real() - a.imag() * b.imag(),
             acc.imag() + a.real() * b.imag() + a.imag() * b.real());
  } else {
    return acc + a * b;
  }
}

/// a * b by the same formula; multiply_add would make a product of -0 a 0.
template <class T>
GOSSAMER_INLINE T product(T a, T b) {
  if constexpr (is_complex<T>) {
    return T(a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real());
  } else {
    return a * b;
  }
}

template <bool Conjugate, class T>
GOSSAMER_INLINE T conjugate_if(T value) {
  if constexpr (Conjugate && is_complex<T>) {
    return T(value.real(), -value.imag());
  } else {
    return value;
  }
}

}  // namespace gossamer
