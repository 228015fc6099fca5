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

/// A sum of `terms` products of T in extended precision, and the sum of the products' moduli.
template <class T>
struct ExactSum {
  using Real = std::conditional_t<std::is_same_v<RealAccumulator<T>, double>, long double, double>;
  using Value = std::conditional_t<is_complex<T>, std::complex<Real>, Real>;

  Value value{};
  Real moduli = 0;
  std::int64_t terms = 0;

  void add(T a, T b) {
    const Value x(widen(a)), y(widen(b));
    value = multiply_add(x, y, value);
    moduli += std::abs(x) * std::abs(y);
    ++terms;
  }
};

/// Whether a result is within the bound. Where a term is not finite the result must not be either;
/// where the moduli's sum exceeds the type's range nothing is said.
template <class T>
bool within_bound(T result, const ExactSum<T>& exact) {
  using Real = typename ExactSum<T>::Real;
  constexpr std::int64_t c = 2;
  const typename ExactSum<T>::Value got(widen(result));
  if (!std::isfinite(exact.moduli)) {
    return !(std::isfinite(std::real(got)) && std::isfinite(std::imag(got)));
  }
  if (exact.moduli > output_max<T>() * 0.99) return true;
  const Real u = std::numeric_limits<RealAccumulator<T>>::epsilon() / 2;
  const Real n = static_cast<Real>((is_complex<T> ? 2 : 1) * exact.terms + c);
  const Real gamma = n * u / (1 - n * u);
  const Real bound = gamma * exact.moduli +
                     static_cast<Real>(output_roundoff<T>()) * std::abs(exact.value) +
                     n * std::numeric_limits<RealAccumulator<T>>::denorm_min() +
                     static_cast<Real>(output_underflow<T>());
  return std::abs(std::real(got) - std::real(exact.value)) <= bound &&
         std::abs(std::imag(got) - std::imag(exact.value)) <= bound;
}

}  // namespace gossamer::testing
