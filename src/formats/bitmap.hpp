// SPDX-License-Identifier: Apache-2.0
// bitmap: one bit a position, little bit order, rows padded with zero bits to 32 columns; the
// nonzeros row by row.
#pragma once

#include <cstdint>

#include "gossamer/packed.hpp"

namespace gossamer::bitmap {

/// Bytes of a row's bits.
constexpr std::int64_t row_bytes(std::int64_t cols) { return (cols + 31) / 32 * 4; }

/// Writes the bits of a row whose nonzeros are in these ascending columns.
void write_row(const std::int32_t* columns, std::int64_t count, std::int64_t cols,
               std::uint8_t* bits);

/// Checks one row against its offsets. Throws InvalidArgument.
void validate_row(const PackedView& packed, std::int64_t row, std::int64_t slots);

}  // namespace gossamer::bitmap
