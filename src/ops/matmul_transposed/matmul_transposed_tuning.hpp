// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace gossamer::tuning {

/// Pieces of rows that a transposed product adds up apart, at most; a power of two.
inline constexpr std::size_t transposed_pieces = 32;

/// Rows and nonzeros that a piece has at least.
inline constexpr std::int64_t transposed_piece_cost = 8192;

/// Columns of the result that are added up over the pieces at a time.
inline constexpr std::int64_t transposed_sum_grain = 4096;

}  // namespace gossamer::tuning
