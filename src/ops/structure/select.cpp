// SPDX-License-Identifier: Apache-2.0
// Some rows or columns of a pattern, in one pass over what is kept.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

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

void check_targets(const CsrPattern& pattern, const CsrPattern& targets) {
  if (targets.rows != pattern.cols || targets.index_dtype != pattern.index_dtype) {
    throw InvalidArgument(message("select_columns: targets has ", targets.rows, " rows of ",
                                  name(targets.index_dtype), ", expected ", pattern.cols, " of ",
                                  name(pattern.index_dtype)));
  }
}

/// The numbers that columns get: a column's are those in [begin[c], begin[c + 1]), by way of
/// `renumbered` unless they stay as they are. `once`: no column gets more than one.
template <class I>
struct Targets {
  explicit Targets(const CsrPattern& targets)
      : begin(static_cast<const I*>(targets.indptr)),
        renumbered(static_cast<const I*>(targets.indices)) {
    for (std::int64_t c = 0; c < targets.rows; ++c) once &= begin[c + 1] - begin[c] <= 1;
    bool moved = false;
    for (std::int64_t t = 0; t < targets.nnz; ++t) moved |= renumbered[t] != static_cast<I>(t);
    if (!moved) renumbered = nullptr;
  }

  /// Writes a row of the result, `stop - next` positions of those from p on.
  void fill_row(const I* columns, I p, I next, const I stop, I* indices, I* map) const {
    const I start = next;
    if (once) {
      // Written whether it is kept or not: no branch to guess. The row ends with its last one.
      for (; next < stop; ++p) {
        indices[next] = begin[columns[p]];
        map[next] = p;
        next += begin[columns[p] + 1] - begin[columns[p]];
      }
    } else {
      for (; next < stop; ++p) {
        for (I t = begin[columns[p]]; t < begin[columns[p] + 1]; ++t) {
          indices[next] = t;
          map[next++] = p;
        }
      }
    }
    if (renumbered == nullptr) return;
    for (I at = start; at < stop; ++at) indices[at] = renumbered[indices[at]];
  }

  const I* begin;
  const I* renumbered;
  bool once = true;
};

std::int64_t pieces_of(std::int64_t work) { return work / tuning::stream_grain + 1; }

/// Of work that looks every column up, or divides by a step.
std::int64_t lookup_pieces(const CsrPattern& pattern) {
  return (pattern.nnz + pattern.rows) / tuning::lookup_grain + 1;
}

/// Writes the row offsets of what is kept, where times(c) is how often column c is, in a type that
/// holds what a row keeps.
template <class I, class Times>
std::int64_t count_kept(const CsrPattern& pattern, void* indptr, Times times) {
  const I* offsets = static_cast<const I*>(pattern.indptr);
  const I* columns = static_cast<const I*>(pattern.indices);
  return write_row_offsets(
      "select_columns", static_cast<I*>(indptr), lookup_pieces(pattern),
      [&](std::int64_t piece, std::int64_t pieces) {
        return balanced_row(offsets, pattern.rows, piece, pieces);
      },
      [&](std::int64_t first, std::int64_t last, I* counts) {
        for (std::int64_t i = first; i < last; ++i) {
          decltype(times(I())) kept = 0;
          for (I p = offsets[i]; p < offsets[i + 1]; ++p) kept += times(columns[p]);
          check_positions<I>("select_columns", kept);
          *counts++ = static_cast<I>(kept);
        }
      });
}

/// Calls body(source, target, length) for some rows: where their positions begin in the pattern and
/// in the result, and how many they are.
template <class I, class Body>
void for_each_picked_row(const CsrPattern& pattern, const std::int64_t* rows, std::int64_t count,
                         const void* indptr, Body&& body) {
  const I* from = static_cast<const I*>(pattern.indptr);
  const I* to = static_cast<const I*>(indptr);
  for_row_pieces(to, count, pieces_of(count + to[count]), [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) body(from[rows[i]], to[i], to[i + 1] - to[i]);
  });
}

/// Copies items of so many bytes each.
void copy_items(const void* from, std::int64_t source, void* to, std::int64_t target,
                std::int64_t count, std::size_t size) {
  if (count == 0) return;
  std::memcpy(static_cast<std::byte*>(to) + target * static_cast<std::int64_t>(size),
              static_cast<const std::byte*>(from) + source * static_cast<std::int64_t>(size),
              static_cast<std::size_t>(count) * size);
}

}  // namespace

std::int64_t count_rows(const CsrPattern& pattern, const std::int64_t* rows, std::int64_t count,
                        void* indptr) {
  return visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* from = static_cast<const I*>(pattern.indptr);
    I* const to = static_cast<I*>(indptr);
    const std::int64_t pieces = pieces_of(count);
    const auto begin_of = [&](std::int64_t piece) { return count * piece / pieces; };
    const auto length = [&](std::int64_t i) { return from[rows[i] + 1] - from[rows[i]]; };
    std::vector<std::int64_t> before(static_cast<std::size_t>(pieces) + 1);
    parallel_for(pieces, [&](std::int64_t piece) {
      std::int64_t total = 0;
      for (std::int64_t i = begin_of(piece); i < begin_of(piece + 1); ++i) total += length(i);
      before[static_cast<std::size_t>(piece) + 1] = total;
    });
    std::partial_sum(before.begin(), before.end(), before.begin());
    if (before.back() > std::numeric_limits<I>::max()) return before.back();
    parallel_for(pieces, [&](std::int64_t piece) {
      I next = static_cast<I>(before[static_cast<std::size_t>(piece)]);
      for (std::int64_t i = begin_of(piece); i < begin_of(piece + 1); ++i) {
        to[i] = next;
        next = static_cast<I>(next + length(i));
      }
    });
    to[count] = static_cast<I>(before.back());
    return before.back();
  });
}

void select_rows(const CsrPattern& pattern, const std::int64_t* rows, std::int64_t count,
                 const void* indptr, void* indices, void* map) {
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    for_each_picked_row<I>(pattern, rows, count, indptr, [&](I source, I target, I length) {
      const I* columns = static_cast<const I*>(pattern.indices);
      for (I p = 0; p < length; ++p) {
        static_cast<I*>(indices)[target + p] = columns[source + p];
        static_cast<I*>(map)[target + p] = source + p;
      }
    });
  });
}

void select_rows(const CsrView& a, const std::int64_t* rows, std::int64_t count, const void* indptr,
                 void* indices, void* values) {
  visit_index(a.pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const std::size_t size = item_size(a.dtype);
    for_each_picked_row<I>(a.pattern, rows, count, indptr, [&](I source, I target, I length) {
      copy_items(a.pattern.indices, source, indices, target, length, sizeof(I));
      copy_items(a.values, source, values, target, length, size);
    });
  });
}

std::int64_t count_columns(const CsrPattern& pattern, const IndexRange& columns, void* indptr) {
  check_range(pattern, columns);
  return visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const ColumnNumbers<I> numbers(columns);
    return count_kept<I>(pattern, indptr, [&](I column) {
      I number;
      return static_cast<I>(numbers.find(column, number));
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
    const std::int64_t pieces = lookup_pieces(pattern);
    for_row_pieces(offsets, pattern.rows, pieces, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        // Backwards, so that what was sorted stays sorted.
        std::int64_t next = numbers.backwards() ? to[i + 1] - 1 : to[i];
        const std::int64_t step = numbers.backwards() ? -1 : 1;
        // Written whether it is kept or not: no branch to guess. The row ends with its last one.
        I number;
        std::int64_t left = to[i + 1] - to[i];
        for (I p = offsets[i]; left > 0; ++p) {
          const bool kept = numbers.find(columns_in[p], number);
          static_cast<I*>(indices)[next] = number;
          static_cast<I*>(map)[next] = p;
          next += kept ? step : 0;
          left -= kept;
        }
      }
    });
  });
}

std::int64_t count_picked_columns(const CsrPattern& pattern, const CsrPattern& targets,
                                  void* indptr) {
  check_targets(pattern, targets);
  return visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* begin = static_cast<const I*>(targets.indptr);
    return count_kept<I>(pattern, indptr, [&](I column) -> std::int64_t {
      return begin[column + 1] - begin[column];
    });
  });
}

void fill_picked_columns(const CsrPattern& pattern, const CsrPattern& targets, const void* indptr,
                         void* indices, void* map) {
  check_targets(pattern, targets);
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* offsets = static_cast<const I*>(pattern.indptr);
    const I* columns = static_cast<const I*>(pattern.indices);
    const I* to = static_cast<const I*>(indptr);
    const Targets<I> numbers(targets);
    const std::int64_t pieces = lookup_pieces(pattern);
    for_row_pieces(offsets, pattern.rows, pieces, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        numbers.fill_row(columns, offsets[i], to[i], to[i + 1], static_cast<I*>(indices),
                         static_cast<I*>(map));
      }
    });
  });
}

}  // namespace gossamer
