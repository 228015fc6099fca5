// SPDX-License-Identifier: Apache-2.0
// The positions of a matrix that its diagonals describe.
#include <algorithm>
#include <limits>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/row_offsets.hpp"
#include "ops/structure/structure_tuning.hpp"

namespace gossamer {
namespace {

/// The rows that a diagonal has elements in; both ends fall as offsets grow.
std::int64_t first_row(const Diagonal& diagonal) {
  return std::max<std::int64_t>(0, -diagonal.offset);
}

std::int64_t end_row(const Diagonal& diagonal, std::int64_t rows, std::int64_t cols) {
  const std::int64_t first = first_row(diagonal);
  return first + std::min(rows - first, cols - std::max<std::int64_t>(0, diagonal.offset));
}

/// Writes start, start + step, ... to every stride-th element.
template <class I>
void count_up(I* out, std::int64_t stride, std::int64_t count, std::int64_t start,
              std::int64_t step) {
  if (stride == 1) {  // a loop that is vectorized
    for (std::int64_t k = 0; k < count; ++k) out[k] = static_cast<I>(start + step * k);
  } else {
    for (std::int64_t k = 0; k < count; ++k) out[stride * k] = static_cast<I>(start + step * k);
  }
}

}  // namespace

std::int64_t count_diagonals(std::int64_t rows, std::int64_t cols,
                             std::span<const Diagonal> diagonals) {
  if (rows < 0 || cols < 0) {
    throw InvalidArgument(
        message("diagonals: a shape of (", rows, ", ", cols, ") has a negative side"));
  }
  std::int64_t total = 0;
  for (std::size_t d = 0; d < diagonals.size(); ++d) {
    const std::int64_t offset = diagonals[d].offset;
    if (offset <= -rows || offset >= cols) {
      throw InvalidArgument(message("diagonals: offset ", offset, " is outside of ", rows,
                                    " rows and ", cols, " columns"));
    }
    if (d > 0 && offset <= diagonals[d - 1].offset) {
      throw InvalidArgument(message("diagonals: offset ", offset, " follows ",
                                    diagonals[d - 1].offset, ", expected ascending ones"));
    }
    const std::int64_t length = end_row(diagonals[d], rows, cols) - first_row(diagonals[d]);
    if (length > std::numeric_limits<std::int64_t>::max() - total) {
      throw InvalidArgument(message("diagonals: ", d + 1, " diagonals of ", rows, " rows and ",
                                    cols, " columns have more positions than int64 counts"));
    }
    total += length;
  }
  return total;
}

void fill_diagonals(std::int64_t rows, std::int64_t cols, std::span<const Diagonal> diagonals,
                    DType index_dtype, void* indptr, void* indices, void* map) {
  check_index_range("diagonals", index_dtype, rows, cols, count_diagonals(rows, cols, diagonals));
  visit_index(index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    I* const offsets = static_cast<I*>(indptr);
    parallel_ranges(rows, tuning::stream_grain, [&](std::int64_t begin, std::int64_t end) {
      std::int64_t p = 0;
      std::size_t first = diagonals.size(), last = diagonals.size();
      for (const Diagonal& diagonal : diagonals) {
        const std::int64_t stop = std::min(begin, end_row(diagonal, rows, cols));
        p += std::max<std::int64_t>(0, stop - first_row(diagonal));
      }
      for (std::int64_t i = begin, stop = begin; i < end; i = stop) {
        // The rows from i to `stop` have an element of each diagonal from `first` up to `last`.
        while (first > 0 && first_row(diagonals[first - 1]) <= i) --first;
        while (last > 0 && end_row(diagonals[last - 1], rows, cols) <= i) --last;
        stop = std::min(end, i + tuning::diagonal_rows);
        if (first > 0) stop = std::min(stop, first_row(diagonals[first - 1]));
        if (last > 0) stop = std::min(stop, end_row(diagonals[last - 1], rows, cols));
        const std::int64_t wide = std::max<std::int64_t>(
            0, static_cast<std::int64_t>(last) - static_cast<std::int64_t>(first));
        count_up(offsets + i, 1, stop - i, p, wide);
        for (std::size_t d = first; d < last; ++d) {
          const auto& [offset, value, step] = diagonals[d];
          const std::int64_t to = p + static_cast<std::int64_t>(d - first);
          count_up(static_cast<I*>(indices) + to, wide, stop - i, i + offset, 1);
          count_up(static_cast<I*>(map) + to, wide, stop - i,
                   value + step * (i - first_row(diagonals[d])), step);
        }
        p += wide * (stop - i);
      }
      if (end == rows) offsets[rows] = static_cast<I>(p);
    });
  });
}

}  // namespace gossamer
