// SPDX-License-Identifier: Apache-2.0
// gap4, gap8: for each slot the number of zeros since the slot before it in its row, in 4 or 8 bits
// (low nibble first). A longer gap is bridged by fillers: slots of value 0 and the largest gap,
// each taking a column.
#pragma once

#include <cstdint>

#include "gossamer/packed.hpp"

namespace gossamer::gap {

/// Bits of a gap.
constexpr int bits(PackedFormat format) { return format == PackedFormat::gap4 ? 4 : 8; }

/// The gap of a slot.
template <int Bits>
inline std::uint32_t gap_at(const std::uint8_t* gaps, std::int64_t slot) {
  if constexpr (Bits == 4) {
    return (gaps[slot >> 1] >> ((slot & 1) * 4)) & 15u;
  } else {
    return gaps[slot];
  }
}

/// Slots of a row whose nonzeros are in these ascending columns.
std::int64_t count_slots(PackedFormat format, const std::int32_t* columns, std::int64_t count);

/// Writes a row's gaps, a byte each, and its values with a zero for each filler. Returns the slots
/// written.
std::int64_t fill_row(PackedFormat format, const std::int32_t* columns, const float* values,
                      std::int64_t count, std::uint8_t* gaps, float* slot_values);

/// Writes `count` gaps from slot `first` on into the format's array. Neighbouring slots may be
/// written by other threads at the same time if the bytes that they share were zero before.
void store_gaps(PackedFormat format, const std::uint8_t* gaps, std::int64_t first,
                std::int64_t count, std::uint8_t* positions);

/// Checks one row: every slot within its columns. Returns its fillers. Throws InvalidArgument.
std::int64_t validate_row(const PackedView& packed, std::int64_t row);

}  // namespace gossamer::gap
