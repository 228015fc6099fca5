// SPDX-License-Identifier: Apache-2.0
// The componentwise bound every product is held to:
// |ŷ − y| ≤ γ₍ₖ₊c₎ Σ|a||x| + u_out |y| + underflow, γₙ = nu / (1 − nu), u of the accumulator.
#pragma once

#include <cmath>
#include <complex>
#include <limits>

#include "core/scalar.hpp"

namespace gossamer::testing {

template <class T>
using RealAccumulator = decltype(std::real(Accumulator<T>()));

/// Unit roundoff and smallest positive number of a stored type.
template <class T>
double output_roundoff() {
  if constexpr (std::is_same_v<T, float16>) return 0x1p-11;
  if constexpr (std::is_same_v<T, bfloat16>) return 0x1p-8;
  return static_cast<double>(std::numeric_limits<RealAccumulator<T>>::epsilon()) / 2;
}
template <class T>
double output_underflow() {
  if constexpr (std::is_same_v<T, float16>) return 0x1p-24;
  if constexpr (std::is_same_v<T, bfloat16>) return 0x1p-133;
  return static_cast<double>(std::numeric_limits<RealAccumulator<T>>::denorm_min());
}
template <class T>
double output_max() {
  if constexpr (std::is_same_v<T, float16>) return 65504.0;
  return static_cast<double>(std::numeric_limits<RealAccumulator<T>>::max());
}

/// A sum of `terms` products in extended precision, and the sum of the products' moduli.
struct ExactSum {
  std::complex<long double> value;
  long double moduli = 0;
  std::int64_t terms = 0;

  template <class T>
  void add(T a, T b) {
    const std::complex<long double> x(widen(a)), y(widen(b));
    value = multiply_add(x, y, value);
    moduli += std::abs(x) * std::abs(y);
    ++terms;
  }
};

/// Whether a result is within the bound. Where a term is not finite the result must not be either;
/// where the moduli's sum exceeds the type's range nothing is said.
template <class T>
bool within_bound(T result, const ExactSum& exact) {
  constexpr std::int64_t c = 2;
  const std::complex<long double> got(widen(result));
  if (!std::isfinite(static_cast<double>(exact.moduli)) && !std::isfinite(exact.moduli)) {
    return !(std::isfinite(got.real()) && std::isfinite(got.imag()));
  }
  if (exact.moduli > output_max<T>() * 0.99L) return true;
  const long double u = std::numeric_limits<RealAccumulator<T>>::epsilon() / 2;
  const long double n = static_cast<long double>((is_complex<T> ? 2 : 1) * exact.terms + c);
  const long double gamma = n * u / (1 - n * u);
  const long double bound = gamma * exact.moduli + output_roundoff<T>() * std::abs(exact.value) +
                            n * std::numeric_limits<RealAccumulator<T>>::denorm_min() +
                            output_underflow<T>();
  return std::abs(got.real() - exact.value.real()) <= bound &&
         std::abs(got.imag() - exact.value.imag()) <= bound;
}

}  // namespace gossamer::testing
