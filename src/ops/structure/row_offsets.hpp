// SPDX-License-Identifier: Apache-2.0
// The first phase of operations whose rows differ in length: counts of rows become offsets.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "gossamer/errors.hpp"
#include "ops/structure/structure_tuning.hpp"

namespace gossamer {

/// Throws InvalidArgument naming the operation when so many positions do not fit I.
template <class I>
void check_positions(std::string_view operation, std::int64_t positions) {
  if (positions > std::numeric_limits<I>::max()) {
    throw InvalidArgument(
        message(operation, ": ", positions, " positions do not fit int32 indices; use int64"));
  }
}

/// Writes row offsets from counts that count_rows(first, last, counts) writes for the rows [first,
/// last); piece_row(piece, pieces) bounds the pieces that are counted side by side. Returns the
/// total. Throws InvalidArgument naming the operation when the total does not fit I.
template <class I, class PieceRow, class CountRows>
std::int64_t write_row_offsets(std::string_view operation, I* offsets, std::int64_t pieces,
                               PieceRow piece_row, CountRows count_rows) {
  std::vector<std::int64_t> before(static_cast<std::size_t>(pieces) + 1);
  parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t first = piece_row(piece, pieces), last = piece_row(piece + 1, pieces);
    count_rows(first, last, offsets + 1 + first);
    std::int64_t total = 0;
    for (std::int64_t i = first; i < last; ++i) total += offsets[i + 1];
    before[static_cast<std::size_t>(piece) + 1] = total;
  });
  for (std::size_t piece = 1; piece < before.size(); ++piece) before[piece] += before[piece - 1];
  const std::int64_t total = before.back();
  check_positions<I>(operation, total);
  offsets[0] = 0;
  parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t last = piece_row(piece + 1, pieces);
    I sum = static_cast<I>(before[static_cast<std::size_t>(piece)]);
    for (std::int64_t i = piece_row(piece, pieces); i < last; ++i) {
      sum = static_cast<I>(sum + offsets[i + 1]);
      offsets[i + 1] = sum;
    }
  });
  return total;
}

}  // namespace gossamer
