// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "gossamer/reductions.hpp"
#include "ops/structure/structure_tuning.hpp"

namespace gossamer {
namespace {

/// Positions up to which a row is read through: fewer steps by halves cost more, as nobody foresees
/// their turns.
constexpr std::int64_t read_through = 16;

/// The part [begin, end) of a sorted row that holds all of a column's positions, if there are any.
template <class I>
void narrow_down(const I* columns, I column, std::int64_t& begin, std::int64_t& end) {
  std::int64_t count = end - begin;
  if (count <= read_through) return;
  while (count > read_through) {
    const std::int64_t half = count / 2;
    begin += columns[begin + half] < column ? half : 0;
    count -= half;
  }
  std::int64_t last = begin + count;
  while (last < end && columns[last] == column) ++last;
  end = last;
}

}  // namespace

std::int64_t diagonal_length(const CsrPattern& pattern, std::int64_t k) {
  if (k >= pattern.cols || k <= -pattern.rows) return 0;
  return std::min(pattern.rows - std::max<std::int64_t>(0, -k),
                  pattern.cols - std::max<std::int64_t>(0, k));
}

void diagonal(const CsrView& a, std::int64_t k, bool sorted, void* elements) {
  visit_value(a.dtype, "values", [&](auto value) {
    visit_index(a.pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const T* values = static_cast<const T*>(a.values);
      const I* columns = static_cast<const I*>(a.pattern.indices);
      const std::int64_t length = diagonal_length(a.pattern, k);
      if (length == 0) return;  // k may be any number
      const I* offsets = static_cast<const I*>(a.pattern.indptr) + std::max<std::int64_t>(0, -k);
      const std::int64_t first_column = std::max<std::int64_t>(0, k);
      // Rows that are read through cost what they hold.
      const std::int64_t mean = (offsets[length] - offsets[0]) / length;
      const std::int64_t grain = std::max<std::int64_t>(1, tuning::stream_grain / (mean + 1));
      parallel_ranges(length, grain, [&](std::int64_t n, std::int64_t last) {
        for (; n < last; ++n) {
          const I column = static_cast<I>(first_column + n);
          std::int64_t p = offsets[n], end = offsets[n + 1];
          if (sorted) narrow_down(columns, column, p, end);
          while (p < end && columns[p] != column) ++p;
          // The first value starts the sum, so that a single negative zero stays one.
          Accumulator<T> sum = p < end ? widen(values[p++]) : Accumulator<T>{};
          for (; p < end; ++p) {
            if (columns[p] == column) sum += widen(values[p]);
          }
          static_cast<T*>(elements)[n] = narrow<T>(sum);
        }
      });
    });
  });
}

}  // namespace gossamer
