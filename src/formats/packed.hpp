// SPDX-License-Identifier: Apache-2.0
// What the packed formats share: the visitor of stored types and their conversions, the walk over
// rows.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "gossamer/packed.hpp"

namespace gossamer {

/// Calls body(TypeTag<T>{}) with the C++ type of a stored value type.
template <class Body>
decltype(auto) visit_packed(PackedDType dtype, Body&& body) {
  switch (dtype) {
#define GOSSAMER_CASE(enumerator, type) \
  case PackedDType::enumerator:         \
    return body(TypeTag<type>{});
    GOSSAMER_FOR_EACH_PACKED_DTYPE(GOSSAMER_CASE)
#undef GOSSAMER_CASE
  }
  throw InvalidDType(message("dtype ", static_cast<int>(dtype), " is not a packed value type"));
}

/// Calls body(TypeTag<T>{}) with the C++ type of a dense operand.
template <class Body>
decltype(auto) visit_dense(DType dtype, std::string_view argument, Body&& body) {
  switch (dtype) {
    case DType::float32:
      return body(TypeTag<float>{});
    case DType::float16:
      return body(TypeTag<float16>{});
    case DType::bfloat16:
      return body(TypeTag<bfloat16>{});
    default:
      throw InvalidDType(
          message(argument, " has dtype ", name(dtype),
                  "; packed matrices take float32, float16 and bfloat16: cast it first"));
  }
}

// ---- Stored types -------------------------------------------------------------------------------

template <class V>
inline constexpr bool is_8bit = sizeof(V) == 1;

/// The magnitude of an 8-bit type that a row's scale maps its largest one to.
constexpr float largest_value(PackedDType dtype) {
  return dtype == PackedDType::int8 ? 127.0f : 448.0f;
}

constexpr float widen_float8(std::uint32_t bits) {
  const std::uint32_t magnitude = bits & 0x7f;
  const std::uint32_t sign = (bits & 0x80) << 24;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (magnitude < 8) {  // subnormal: multiples of 2^-9
    const float value = static_cast<float>(magnitude) * 0x1p-9f;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
}

inline constexpr auto float8_values = [] {
  std::array<float, 256> table{};
  for (std::uint32_t bits = 0; bits < 256; ++bits) table[bits] = widen_float8(bits);
  return table;
}();

GOSSAMER_INLINE float widen(std::int8_t value) { return static_cast<float>(value); }
GOSSAMER_INLINE float widen(float8_e4m3 value) { return float8_values[value.bits]; }

/// Rounds a finite value to a stored type, to nearest, ties to even; the 8-bit types saturate.
template <class V>
GOSSAMER_INLINE V narrow_packed(float value) {
  if constexpr (std::is_same_v<V, std::int8_t>) {
    return static_cast<std::int8_t>(std::lrintf(std::fmin(std::fmax(value, -127.0f), 127.0f)));
  } else if constexpr (std::is_same_v<V, float8_e4m3>) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (bits >> 24) & 0x80;
    const float magnitude = std::fabs(value);
    std::uint32_t rounded = 0x7e;
    if (magnitude < 0x1p-6f) {
      // Adding 2^14 aligns multiples of 2^-9 at the bottom of the significand, rounded by the
      // addition.
      rounded =
          std::bit_cast<std::uint32_t>(magnitude + 0x1p14f) - std::bit_cast<std::uint32_t>(0x1p14f);
    } else if (magnitude < 448.0f) {
      const std::uint32_t from = bits & 0x7fffffffu;
      rounded = (from - (120u << 23) + 0x7ffffu + ((from >> 20) & 1u)) >> 20;
    }
    return float8_e4m3{static_cast<std::uint8_t>(sign | rounded)};
  } else {
    return narrow<V>(value);
  }
}

// ---- Rows ---------------------------------------------------------------------------------------

/// The slot at which a row begins; `row` may be rows.
inline std::int64_t row_offset(const PackedView& packed, std::int64_t row) {
  return packed.offset_dtype == DType::int32
             ? static_cast<const std::int32_t*>(packed.row_offsets)[row]
             : static_cast<const std::int64_t*>(packed.row_offsets)[row];
}

/// What the values of a row are multiplied by.
inline float row_scale(const PackedView& packed, std::int64_t row) {
  return packed.scales == nullptr ? 1.0f : packed.scales[row];
}

/// Writes the columns of a row's slots, ascending. columns has room for decoded_length(packed)
/// elements.
void decode_columns(const PackedView& packed, std::int64_t row, std::int32_t* columns);

/// Writes `count` values from slot `first` on as float, not scaled. Room as for decode_columns.
void decode_values(const PackedView& packed, std::int64_t first, std::int64_t count, float* values);

/// Writes a row with its zeros, not scaled. Room as for decode_columns.
void decode_row(const PackedView& packed, std::int64_t row, float* elements);

/// Writes `count` values as the stored type: rounded as by narrow_packed, those of the 8-bit types
/// divided by `scale`.
void narrow_values(PackedDType dtype, const float* values, std::int64_t count, float scale,
                   void* output);

/// Elements that decoding a row may write: at most one slot a column, and a vector's width of
/// excess.
inline std::int64_t decoded_length(const PackedView& packed) { return packed.cols + 64; }

}  // namespace gossamer
