// SPDX-License-Identifier: Apache-2.0
// Short rows by rank, without a branch on the data; long rows by radix sort.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/structure/row_sort_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "ops/structure/row_sort.hpp"
#include "ops/structure/structure_tuning.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Entries of one row before and after.
template <class I, class E>
struct Row {
  const I* columns;
  const void* payload;
  std::int64_t from;  ///< index of the first entry's payload
  I* out_columns;
  void* out_payload;
  std::int64_t to;

  HWY_INLINE void move(std::int64_t i, std::int64_t rank) const {
    out_columns[rank] = columns[i];
    store_element<E>(out_payload, to + rank, initial_element<E>(payload, from + i));
  }
};

/// A row of at most one vector: its columns stay in a register.
template <class I, class E>
HWY_INLINE bool sort_one_vector(const Row<I, E>& row, std::size_t n) {
  const hn::ScalableTag<I> d;
  const auto in_row = hn::FirstN(d, n), in_pair = hn::FirstN(d, n - 1);
  const auto columns = hn::MaskedLoad(in_row, d, row.columns);
  const auto next = hn::MaskedLoad(in_pair, d, row.columns + 1);
  if (hn::AllFalse(d, hn::And(in_pair, hn::Gt(columns, next)))) {
    for (std::size_t i = 0; i < n; ++i)
      row.move(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i));
    return hn::AllFalse(d, hn::And(in_pair, hn::Eq(columns, next)));
  }
  const auto padded = hn::IfThenElse(in_row, columns, hn::Set(d, std::numeric_limits<I>::max()));
  auto repeated = hn::FirstN(d, 0);
  for (std::size_t i = 0; i < n; ++i) {
    const auto column = hn::Set(d, row.columns[i]);
    const auto equal_before = hn::And(hn::Eq(padded, column), hn::FirstN(d, i));
    repeated = hn::Or(repeated, equal_before);
    const std::size_t rank = hn::CountTrue(d, hn::Or(hn::Lt(padded, column), equal_before));
    row.move(static_cast<std::int64_t>(i), static_cast<std::int64_t>(rank));
  }
  return hn::AllFalse(d, repeated);
}

/// Columns equal to their left neighbour are found after sorting.
template <class I>
HWY_INLINE bool is_distinct(const I* sorted, std::int64_t n) {
  I repeats = 0;
  for (std::int64_t i = 1; i < n; ++i) repeats |= static_cast<I>(sorted[i] == sorted[i - 1]);
  return repeats == 0;
}

template <class I>
HWY_INLINE bool is_sorted(const I* columns, std::int64_t n) {
  constexpr std::int64_t block = 64;
  std::int64_t i = 1;
  for (; i + block <= n; i += block) {
    I descents = 0;
    for (std::int64_t j = i; j < i + block; ++j) {
      descents |= static_cast<I>(columns[j] < columns[j - 1]);
    }
    if (descents != 0) return false;
  }
  I descents = 0;
  for (; i < n; ++i) descents |= static_cast<I>(columns[i] < columns[i - 1]);
  return descents == 0;
}

template <class I>
inline constexpr std::int64_t longest_ranked = std::min(
    tuning::rank_sort_length,
    tuning::rank_sort_vectors* static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<I>())));

/// A row of several vectors. Entries before i count when not greater, those after it when less.
template <class I, class E>
HWY_INLINE void rank_vectors(const Row<I, E>& row, std::int64_t n) {
  const hn::ScalableTag<I> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  HWY_ALIGN I columns[longest_ranked<I> + lanes];
  std::int64_t i = 0;
  for (; i < n; ++i) columns[i] = row.columns[i];
  for (; i % lanes != 0; ++i) columns[i] = std::numeric_limits<I>::max();
  const std::int64_t padded = i;
  for (i = 0; i < n; ++i) {
    const auto column = hn::Set(d, columns[i]);
    const std::int64_t own = i / lanes * lanes;
    std::size_t rank = 0;
    std::int64_t v = 0;
    for (; v < own; v += lanes) {
      rank += lanes - hn::CountTrue(d, hn::Gt(hn::Load(d, columns + v), column));
    }
    const auto same = hn::Load(d, columns + own);
    rank += hn::CountTrue(
        d, hn::Or(hn::Lt(same, column),
                  hn::And(hn::Eq(same, column), hn::FirstN(d, static_cast<std::size_t>(i - own)))));
    for (v = own + lanes; v < padded; v += lanes) {
      rank += hn::CountTrue(d, hn::Lt(hn::Load(d, columns + v), column));
    }
    row.move(i, static_cast<std::int64_t>(rank));
  }
}

/// One stable pass by the digit of column − lowest at `shift`.
template <class I, class E>
void radix_pass(const Row<I, E>& row, std::int64_t n, I lowest, int shift, int digit_bits) {
  using U = std::make_unsigned_t<I>;
  std::int64_t starts[1 << 11];
  std::fill_n(starts, std::size_t{1} << digit_bits, 0);
  const U mask = static_cast<U>((U{1} << digit_bits) - 1);
  const auto digit = [&](I column) HWY_ATTR {
    return static_cast<std::size_t>((static_cast<U>(column - lowest) >> shift) & mask);
  };
  for (std::int64_t i = 0; i < n; ++i) ++starts[digit(row.columns[i])];
  std::int64_t start = 0;
  for (std::size_t value = 0; value <= mask; ++value) {
    start += std::exchange(starts[value], start);
  }
  for (std::int64_t i = 0; i < n; ++i) row.move(i, starts[digit(row.columns[i])]++);
}

/// Least significant digit first, over the bits in which the row's columns can differ; the passes
/// write to the scratch and to the output by turns, to the output last.
template <class I, class E>
void radix_sort(const Row<I, E>& row, std::int64_t n, const RowSortScratch& scratch) {
  using U = std::make_unsigned_t<I>;
  I lowest = row.columns[0], highest = row.columns[0];
  for (std::int64_t i = 0; i < n; ++i) {
    lowest = std::min(lowest, row.columns[i]);
    highest = std::max(highest, row.columns[i]);
  }
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<U>(highest - lowest))));
  const int widest = n < tuning::wide_digit_length ? 8 : 11;
  const int passes = (bits + widest - 1) / widest;
  const int digit_bits = (bits + passes - 1) / passes;
  Row<I, E> pass = row;
  for (int k = 0; k < passes; ++k) {
    const bool into_output = (passes - k) % 2 == 1;
    pass.out_columns = into_output ? row.out_columns : static_cast<I*>(scratch.columns());
    pass.out_payload = into_output ? row.out_payload : scratch.payload();
    pass.to = into_output ? row.to : 0;
    radix_pass(pass, n, lowest, k * digit_bits, digit_bits);
    pass.columns = pass.out_columns;
    pass.payload = pass.out_payload;
    pass.from = pass.to;
  }
}

template <class I, class E>
HWY_INLINE bool sort_row(const Row<I, E>& row, std::int64_t n, const RowSortScratch& scratch) {
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<I>()));
  if (n == 1) {
    row.move(0, 0);
    return true;
  }
  if (n == 2) {
    const bool swap = row.columns[1] < row.columns[0];
    row.move(0, swap);
    row.move(1, !swap);
    return row.columns[0] != row.columns[1];
  }
  if (n <= lanes) return sort_one_vector(row, static_cast<std::size_t>(n));
  if (is_sorted(row.columns, n)) {
    for (std::int64_t i = 0; i < n; ++i) row.move(i, i);
  } else if (n <= longest_ranked<I>) {
    rank_vectors(row, n);
  } else {
    radix_sort(row, n, scratch);
  }
  return is_distinct(row.out_columns, n);
}

bool SortRows(const RowSort& job, const RowSortScratch& scratch) {
  return visit_index(job.index_dtype, "indices", [&](auto index) {
    return visit_payload(job.payload, [&](auto payload) {
      using I = typename decltype(index)::type;
      using E = typename decltype(payload)::type;
      const I* offsets = static_cast<const I*>(job.offsets);
      bool distinct = true;
      for (std::int64_t i = 0; i < job.rows; ++i) {
        const std::int64_t first = offsets[i];
        const std::int64_t last = i + 1 < job.rows ? offsets[i + 1] : job.end;
        if (first == last) continue;
        const Row<I, E> row{static_cast<const I*>(job.columns) + (first - job.base),
                            job.payload.in,
                            first - job.base,
                            static_cast<I*>(job.out_columns) + first,
                            job.payload.out,
                            first};
        distinct &= sort_row(row, last - first, scratch);
      }
      return distinct;
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

bool sort_rows(const RowSort& job, RowSortScratch& scratch) {
  std::int64_t longest = 0;
  visit_index(job.index_dtype, "indices", [&](auto index) {
    const auto* offsets = static_cast<const typename decltype(index)::type*>(job.offsets);
    for (std::int64_t i = 0; i < job.rows; ++i) {
      const std::int64_t last = i + 1 < job.rows ? offsets[i + 1] : job.end;
      longest = std::max<std::int64_t>(longest, last - offsets[i]);
    }
  });
  scratch.reserve(longest, item_size(job.index_dtype),
                  job.payload.out == nullptr ? 0 : job.payload.size);
  return GOSSAMER_SIMD_FUNCTION(SortRows)(job, scratch);
}

}  // namespace gossamer
#endif  // HWY_ONCE
