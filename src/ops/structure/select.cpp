// SPDX-License-Identifier: Apache-2.0
// Some rows or columns of a pattern, in one pass over what is kept.
#include <algorithm>
#include <cstdlib>
#include <type_traits>

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

/// Numbers the columns of a range: 0, 1, ... for begin, begin + step, ...
template <class I>
class ColumnNumbers {
  using U = std::make_unsigned_t<I>;

 public:
  explicit ColumnNumbers(const IndexRange& range)
      : begin_(static_cast<I>(range.begin)),
        backwards_(range.step < 0),
        extent_(static_cast<U>(std::max<std::int64_t>(
            0, backwards_ ? range.begin - range.end : range.end - range.begin))) {
    // A step beyond the range, which I may not hold, leaves its first column like one to its end.
    const std::int64_t longest = std::max<std::int64_t>(1, static_cast<std::int64_t>(extent_));
    stride_ = static_cast<U>(std::abs(std::clamp(range.step, -longest, longest)));
  }

  bool backwards() const { return backwards_; }

  /// Whether the range holds a column; its number then is `number`.
  bool find(I column, I& number) const {
    // Columns before the range's begin become numbers beyond any extent.
    const U distance = static_cast<U>(backwards_ ? begin_ - column : column - begin_);
    if (stride_ == 1) {
      number = static_cast<I>(distance);
      return distance < extent_;
    }
    number = static_cast<I>(distance / stride_);
    return distance < extent_ && distance % stride_ == 0;
  }

 private:
  I begin_;
  bool backwards_;
  U extent_, stride_;
};

void check_range(const CsrPattern& pattern, const IndexRange& range) {
  if (range.step == 0) throw InvalidArgument("select_columns: range.step = 0, expected another");
  const std::int64_t before = range.step < 0 ? -1 : 0;  // what a range that counts down ends with
  const auto within = [&](std::int64_t at) { return at >= before && at <= pattern.cols + before; };
  if (!within(range.begin) || !within(range.end)) {
    throw InvalidArgument(message("select_columns: range from ", range.begin, " to ", range.end,
                                  " is not within ", pattern.cols, " columns"));
  }
}

std::int64_t pieces_of(std::int64_t work) { return work / tuning::stream_grain + 1; }

}  // namespace

void select_rows(const CsrPattern& pattern, const std::int64_t* rows, std::int64_t count,
                 const void* indptr, void* indices, void* map) {
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* from = static_cast<const I*>(pattern.indptr);
    const I* columns = static_cast<const I*>(pattern.indices);
    const I* to = static_cast<const I*>(indptr);
    const std::int64_t pieces = pieces_of(count + to[count]);
    for_row_pieces(to, count, pieces, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const I first = from[rows[i]];
        for (I p = to[i]; p < to[i + 1]; ++p) {
          const I source = static_cast<I>(first + (p - to[i]));
          static_cast<I*>(indices)[p] = columns[source];
          static_cast<I*>(map)[p] = source;
        }
      }
    });
  });
}

std::int64_t count_columns(const CsrPattern& pattern, const IndexRange& columns, void* indptr) {
  check_range(pattern, columns);
  return visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* offsets = static_cast<const I*>(pattern.indptr);
    const I* indices = static_cast<const I*>(pattern.indices);
    const ColumnNumbers<I> numbers(columns);
    return write_row_offsets(
        "count_columns", static_cast<I*>(indptr), pieces_of(pattern.nnz + pattern.rows),
        [&](std::int64_t piece, std::int64_t pieces) {
          return balanced_row(offsets, pattern.rows, piece, pieces);
        },
        [&](std::int64_t first, std::int64_t last, I* counts) {
          for (std::int64_t i = first; i < last; ++i) {
            I found = 0, number;
            for (I p = offsets[i]; p < offsets[i + 1]; ++p)
              found += numbers.find(indices[p], number);
            *counts++ = found;
          }
        });
  });
}

void fill_columns(const CsrPattern& pattern, const IndexRange& columns, const void* indptr,
                  void* indices, void* map) {
  check_range(pattern, columns);
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* offsets = static_cast<const I*>(pattern.indptr);
    const I* columns_in = static_cast<const I*>(pattern.indices);
    const I* to = static_cast<const I*>(indptr);
    const ColumnNumbers<I> numbers(columns);
    const std::int64_t pieces = pieces_of(pattern.nnz + pattern.rows);
    for_row_pieces(offsets, pattern.rows, pieces, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        // Backwards, so that what was sorted stays sorted.
        std::int64_t next = numbers.backwards() ? to[i + 1] - 1 : to[i];
        const std::int64_t step = numbers.backwards() ? -1 : 1;
        I number;
        for (I p = offsets[i]; p < offsets[i + 1]; ++p) {
          if (!numbers.find(columns_in[p], number)) continue;
          static_cast<I*>(indices)[next] = number;
          static_cast<I*>(map)[next] = p;
          next += step;
        }
      }
    });
  });
}

}  // namespace gossamer
