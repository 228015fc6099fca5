// SPDX-License-Identifier: Apache-2.0
// What operations on the rows of two canonical patterns share: checks, and even shares of the work.
#pragma once

#include <cstdint>
#include <string_view>

#include "formats/csr.hpp"
#include "gossamer/views.hpp"
#include "ops/structure/row_offsets.hpp"

namespace gossamer {

/// Throws unless both have one shape and index dtype.
void check_row_pairs(std::string_view operation, const CsrPattern& a, const CsrPattern& b);

/// Throws unless both have one shape, index dtype and value dtype.
void check_row_pairs(std::string_view operation, const CsrView& a, const CsrView& b);

inline std::int64_t pair_pieces(const CsrPattern& a, const CsrPattern& b) {
  return (a.nnz + b.nnz + a.rows) / tuning::merge_grain + 1;
}

/// The first row of a piece when the rows and the entries of both are split evenly.
template <class I>
std::int64_t pair_row(const I* a, const I* b, std::int64_t rows, std::int64_t piece,
                      std::int64_t pieces) {
  if (piece == 0) return 0;
  if (piece >= pieces) return rows;
  return (balanced_row(a, rows, piece, pieces) + balanced_row(b, rows, piece, pieces)) / 2;
}

/// Calls body(i) for every row of both, side by side.
template <class I, class Body>
void for_each_row_pair(const CsrPattern& a, const CsrPattern& b, Body&& body) {
  const I* a_offsets = static_cast<const I*>(a.indptr);
  const I* b_offsets = static_cast<const I*>(b.indptr);
  const std::int64_t pieces = pair_pieces(a, b);
  parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t last = pair_row(a_offsets, b_offsets, a.rows, piece + 1, pieces);
    for (std::int64_t i = pair_row(a_offsets, b_offsets, a.rows, piece, pieces); i < last; ++i) {
      body(i);
    }
  });
}

/// Writes row offsets of what count_row(i) counts in each row of both; returns the total.
template <class I, class CountRow>
std::int64_t write_pair_offsets(std::string_view operation, const CsrPattern& a,
                                const CsrPattern& b, void* indptr, CountRow&& count_row) {
  const I* a_offsets = static_cast<const I*>(a.indptr);
  const I* b_offsets = static_cast<const I*>(b.indptr);
  return write_row_offsets(
      operation, static_cast<I*>(indptr), pair_pieces(a, b),
      [&](std::int64_t piece, std::int64_t pieces) {
        return pair_row(a_offsets, b_offsets, a.rows, piece, pieces);
      },
      [&](std::int64_t first, std::int64_t last, I* counts) {
        for (std::int64_t i = first; i < last; ++i) *counts++ = count_row(i);
      });
}

}  // namespace gossamer
