// SPDX-License-Identifier: Apache-2.0
// CSR: row offsets (indptr), column indices, and one value an index.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/threads.hpp"
#include "gossamer/views.hpp"

namespace gossamer {

/// The first row of piece `piece` when rows and nonzeros together are split evenly into `pieces`.
///
/// Rows count too, so that a long run of empty rows is shared as well.
template <class I>
std::int64_t balanced_row(const I* indptr, std::int64_t rows, std::int64_t piece,
                          std::int64_t pieces) {
  const double total = static_cast<double>(indptr[rows]) + static_cast<double>(rows);
  const std::int64_t target =
      static_cast<std::int64_t>(total * static_cast<double>(piece) / static_cast<double>(pieces));
  if (piece >= pieces) return rows;
  std::int64_t low = 0, high = rows;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (static_cast<std::int64_t>(indptr[middle]) + middle < target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Calls body(first, last) for the rows of each of `pieces` pieces, side by side.
template <class I, class Body>
void for_row_pieces(const I* indptr, std::int64_t rows, std::int64_t pieces, Body&& body) {
  parallel_for(pieces, [&](std::int64_t piece) {
    body(balanced_row(indptr, rows, piece, pieces), balanced_row(indptr, rows, piece + 1, pieces));
  });
}

/// Throws InvalidArgument naming the operation when a dimension or the count does not fit the index
/// dtype.
void check_index_range(std::string_view operation, DType index_dtype, std::int64_t rows,
                       std::int64_t cols, std::int64_t nnz);

}  // namespace gossamer
