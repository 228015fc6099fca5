// SPDX-License-Identifier: Apache-2.0
// Passes over index arrays at memory speed: they say whether something is wrong, not where.
#pragma once

#include <cstdint>

#include "gossamer/views.hpp"

namespace gossamer {

/// What a pass over column indices found. A pair is an index and its left neighbour.
struct IndexScan {
  bool in_range = true;          ///< every index lies in [0, limit)
  std::int64_t descents = 0;     ///< pairs whose right index is less
  std::int64_t non_ascents = 0;  ///< pairs whose right index is not greater
};

/// Scans the indices and the pairs at positions [begin, end); the first pair's left index is at
/// begin − 1. A pair at position 0 counts as ascending.
IndexScan scan_indices(DType index_dtype, const void* indices, std::int64_t begin, std::int64_t end,
                       std::int64_t limit);

/// What a pass over positions found.
struct PositionScan {
  bool in_range = true;       ///< every position lies within the shape
  bool rows_in_order = true;  ///< no row is less than the one before
  bool sorted = true;         ///< row-major order
  bool distinct = true;       ///< sorted, and no position equals the one before

  PositionScan& operator&=(const PositionScan& other) {
    in_range &= other.in_range;
    rows_in_order &= other.rows_in_order;
    sorted &= other.sorted;
    distinct &= other.distinct;
    return *this;
  }
};

/// Scans the positions at [begin, end), each against the one before.
PositionScan scan_positions(const CooPattern& coo, std::int64_t begin, std::int64_t end);

}  // namespace gossamer
