// SPDX-License-Identifier: Apache-2.0
// Element types, and the one list of value types that drives dispatch and instantiation.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gossamer {

/// IEEE 754 binary16, held as its bits.
struct float16 {
  std::uint16_t bits;
};

/// The upper half of a binary32, held as its bits.
struct bfloat16 {
  std::uint16_t bits;
};

using complex64 = std::complex<float>;
using complex128 = std::complex<double>;

/// Element type of an array.
enum class DType : std::uint8_t {
  float16,
  bfloat16,
  float32,
  float64,
  complex64,
  complex128,
  int32,
  int64,
};

/// The supported value types as X(enumerator, C++ type, accumulator).
#define GOSSAMER_FOR_EACH_VALUE_DTYPE(X)                     \
  X(float16, ::gossamer::float16, float)                     \
  X(bfloat16, ::gossamer::bfloat16, float)                   \
  X(float32, float, float)                                   \
  X(float64, double, double)                                 \
  X(complex64, ::gossamer::complex64, ::gossamer::complex64) \
  X(complex128, ::gossamer::complex128, ::gossamer::complex128)

/// The supported index types as X(enumerator, C++ type).
#define GOSSAMER_FOR_EACH_INDEX_DTYPE(X) \
  X(int32, std::int32_t)                 \
  X(int64, std::int64_t)

/// Bytes an element.
std::size_t item_size(DType dtype);

/// NumPy's name of the type, such as "float32".
std::string_view name(DType dtype);

}  // namespace gossamer
