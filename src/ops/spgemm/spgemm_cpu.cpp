// SPDX-License-Identifier: Apache-2.0
// Row by row (Gustavson): row i of C is the sum of B's rows k, each scaled by A[i, k].
//
// Short rows are sorted and summed several at once (row_group-inl.hpp). Three ways to sum and order
// any other row, by its number of products and the span of its columns:
// - copy:   one row of B, scaled;
// - window: sums at their places in the span, walked in order (window-inl.hpp);
// - sort:   products sorted by column, equal columns summed (sort-inl.hpp).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/spgemm/spgemm_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <utility>
#include <vector>

#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "ops/spgemm/column_table-inl.hpp"
#include "ops/spgemm/row_group-inl.hpp"
#include "ops/spgemm/row_products.hpp"
#include "ops/spgemm/sort-inl.hpp"
#include "ops/spgemm/window-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

// ---- First phase --------------------------------------------------------------------------------

template <Marks Kind, class I>
HWY_INLINE std::int64_t count_window(const Typed<NoValue, I>& op, std::int64_t i,
                                     const RowWork& work, SpgemmScratch& scratch) {
  const std::int64_t bytes = mark_bytes(Kind, work.width());
  std::uint8_t* const marks = scratch.marks.reserve<std::uint8_t>(bytes, 0);
  add_to_window<Kind, false>(op, i, work.low, static_cast<float*>(nullptr), marks);
  return count_marks(marks, bytes);
}

template <class I>
HWY_INLINE std::int64_t count_row(const Typed<NoValue, I>& op, std::int64_t i, const RowWork& work,
                                  SpgemmScratch& scratch) {
  switch (choose(work, op.canonical)) {
    case Method::copy:
      break;
    case Method::window:
      return work.width() / tuning::spgemm_byte_columns_per_product <= work.products
                 ? count_window<Marks::bytes>(op, i, work, scratch)
                 : count_window<Marks::bits>(op, i, work, scratch);
    case Method::sort: {
      std::int64_t count = 0;
      with_key(work, [&](auto key)
                         HWY_ATTR { count = count_columns<decltype(key)>(op, i, work, scratch); });
      return count;
    }
  }
  return work.products;
}

/// Replaces the products of each row by its positions in C; returns their sum.
std::int64_t CountRows(const SpgemmOperands& operands, std::int64_t begin, std::int64_t end,
                       std::int64_t* counts, SpgemmScratch& scratch) {
  return visit_index(operands.a.pattern.index_dtype, "A", [&](auto index) HWY_ATTR {
    const Typed<NoValue, typename decltype(index)::type> op(operands);
    if (operands.tabled) {
      ColumnTable(op, operands.b.pattern.cols, scratch).count(begin, end, counts);
      return std::accumulate(counts + begin, counts + end, std::int64_t{0});
    }
    RowGroups<NoValue, typename decltype(index)::type> groups(op, operands.b.pattern.cols);
    groups.split(
        begin, end, counts + begin,
        [&](const RowGroup& group) HWY_ATTR { groups.count(group, counts + group.begin); },
        [&](std::int64_t i, const Repeat& repeat) HWY_ATTR {
          counts[i] = counts[repeat.row];
          return true;
        },
        [&](std::int64_t i) HWY_ATTR { counts[i] = count_row(op, i, survey(op, i), scratch); });
    return std::accumulate(counts + begin, counts + end, std::int64_t{0});
  });
}

// ---- Second phase -------------------------------------------------------------------------------

/// Where rows begin..end of C are built: in place where type and room allow, else in scratch.
///
/// `padding` elements beyond them may be overwritten, if rows that the same thread writes later
/// lie there.
template <class T, class I>
struct Rows {
  Rows(const SpgemmResult& result, std::int64_t begin, std::int64_t end, std::int64_t piece_end,
       std::int64_t padding, SpgemmScratch& scratch)
      : c(result), at(c.indptr[begin]), count(c.indptr[end] - at) {
    const bool room = at + count + padding <= piece_end;
    if (room && item_size(c.index_dtype) == sizeof(I)) {
      columns = static_cast<I*>(c.indices) + at;
    } else {
      columns = scratch.columns.reserve<I>(count + padding);
    }
    if constexpr (std::is_same_v<T, Sum<T>>) {
      if (room) values = static_cast<T*>(c.values) + at;
    }
    if (values == nullptr) values = scratch.values.reserve<Sum<T>>(count + padding);
  }

  /// Copies to C the columns that were built in scratch.
  void finish_columns() const {
    with_columns([&](auto* to) {
      if (static_cast<const void*>(to) == columns) return;
      for (std::int64_t n = 0; n < count; ++n) {
        to[n] = static_cast<std::remove_reference_t<decltype(*to)>>(columns[n]);
      }
    });
  }

  /// Makes the columns those of an earlier row, which has as many, plus the shift.
  void move_columns(std::int64_t row, std::int64_t shift) const {
    with_columns([&](auto* to) {
      using J = std::remove_reference_t<decltype(*to)>;
      const J* const from = to - (at - c.indptr[row]);
      for (std::int64_t n = 0; n < count; ++n) to[n] = static_cast<J>(from[n] + shift);
    });
  }

  /// Copies to C the values that were built in scratch, rounded.
  void finish_values() const {
    if constexpr (has_values<T>) {
      T* const to = static_cast<T*>(c.values) + at;
      if (static_cast<const void*>(to) == values) return;
      for (std::int64_t n = 0; n < count; ++n) to[n] = narrow<T>(values[n]);
    }
  }

  /// Whether the columns of a row that is built in place have no gaps.
  bool is_contiguous() const {
    bool contiguous = false;
    with_columns([&](const auto* to) { contiguous = to[count - 1] - to[0] == count - 1; });
    return contiguous;
  }

  template <class Body>
  void with_columns(Body&& body) const {
    if (c.index_dtype == DType::int32) {
      body(static_cast<std::int32_t*>(c.indices) + at);
    } else {
      body(static_cast<std::int64_t*>(c.indices) + at);
    }
  }

  const SpgemmResult& c;
  std::int64_t at, count;
  I* columns;
  Sum<T>* values = nullptr;
};

template <class T, class I>
HWY_INLINE void fill_copy(const Typed<T, I>& op, std::int64_t p, const Rows<T, I>& row) {
  const std::int64_t begin = op.b_indptr[op.a_indices[p]];
  std::copy_n(op.b_indices + begin, row.count, row.columns);
  if constexpr (has_values<T>) {
    const Sum<T> scale = widen(op.a_values[p]);
    Sum<T>* HWY_RESTRICT values = row.values;
    for (std::int64_t q = 0; q < row.count; ++q) {
      values[q] = add_product<Sum<T>>(scale, widen(op.b_values[begin + q]), untouched<Sum<T>>);
    }
  }
}

/// The columns of row i, by ones in place of its products.
template <class T, class I>
void find_columns(const Typed<T, I>& op, std::int64_t i, const RowWork& work, I* columns,
                  SpgemmScratch& scratch) {
  const std::int64_t width = work.width() + window_padding;
  float* const ones = scratch.ones.reserve<float>(width, untouched<float>);
  std::uint8_t* const marks =
      scratch.marks.reserve<std::uint8_t>(mark_bytes(Marks::blocks, work.width()), 0);
  add_to_window<Marks::blocks, true>(Typed<NoValue, I>(op), i, work.low, ones, marks);
  take_window(work.width(), work.low, ones, marks, columns, scratch.keys.reserve<float>(width));
}

template <class T, class I>
HWY_INLINE void fill_window(const Typed<T, I>& op, std::int64_t i, const RowWork& work,
                            const Rows<T, I>& row, SpgemmScratch& scratch) {
  const std::int64_t width = work.width(), low = work.low;
  ScratchMemory& window = has_values<T> ? scratch.sums : scratch.ones;
  Sum<T>* const sums = window.reserve<Sum<T>>(width + window_padding, untouched<Sum<T>>);
  if (row.count == width) {
    add_to_window<Marks::none, true>(op, i, low, sums, static_cast<std::uint8_t*>(nullptr));
    for (std::int64_t n = 0; n < width; ++n) {
      row.columns[n] = static_cast<I>(low + n);
      row.values[n] = sums[n];
      sums[n] = untouched<Sum<T>>;
    }
    return;
  }
  std::uint8_t* const marks =
      scratch.marks.reserve<std::uint8_t>(mark_bytes(Marks::blocks, width), 0);
  add_to_window<Marks::blocks, true>(op, i, low, sums, marks);
  if (take_window(width, low, sums, marks, row.columns, row.values) == row.count) return;
  // An element that sums to -0 looked untouched.
  find_columns(op, i, work, row.columns, scratch);
  add_to_window<Marks::none, true>(op, i, low, sums, marks);
  for (std::int64_t n = 0; n < row.count; ++n) {
    row.values[n] = std::exchange(sums[row.columns[n] - low], untouched<Sum<T>>);
  }
}

template <class K, class T, class I>
HWY_INLINE void fill_sorted(const Typed<T, I>& op, std::int64_t i, const RowWork& work,
                            const Rows<T, I>& row, SpgemmScratch& scratch) {
  const auto* elements = order_columns<K>(op, i, work, row.columns, scratch);
  if constexpr (has_values<T>) {
    std::fill_n(row.values, row.count, untouched<Sum<T>>);
    add_to_elements(op, i, elements, row.values);
  }
}

/// For each product of row i of C, which has its columns, which of them is its own.
template <class T, class I>
void number_products(const Typed<T, I>& op, std::int64_t i, const Rows<T, I>& row,
                     Element* HWY_RESTRICT elements, SpgemmScratch& scratch) {
  row.with_columns([&](const auto* columns) {
    const std::int64_t low = columns[0], width = columns[row.count - 1] - low + 1;
    const bool tabled = width <= tuning::spgemm_window_columns;
    Element* const numbers = scratch.numbers.reserve<Element>(tabled ? width : 0);
    for (std::int64_t n = 0; tabled && n < row.count; ++n) {
      numbers[columns[n] - low] = static_cast<Element>(n);
    }
    for_each_operand_row(op, i, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      for (std::int64_t q = begin; q < end; ++q) {
        const std::int64_t column = op.b_indices[q];
        *elements++ = tabled
                          ? numbers[column - low]
                          : static_cast<Element>(
                                std::lower_bound(columns, columns + row.count, column) - columns);
      }
    });
  });
}

/// Row i by one of the three methods.
template <class T, class I>
HWY_INLINE void fill_row(const Typed<T, I>& op, std::int64_t i, const Rows<T, I>& row,
                         const RowWork& work, Method method, SpgemmScratch& scratch) {
  switch (method) {
    case Method::copy:
      return fill_copy(op, work.last_entry, row);
    case Method::window:
      return fill_window(op, i, work, row, scratch);
    case Method::sort:
      with_key(work,
               [&](auto key) HWY_ATTR { fill_sorted<decltype(key)>(op, i, work, row, scratch); });
  }
}

template <class T, class I>
void fill_rows(const SpgemmOperands& operands, std::int64_t begin, std::int64_t end,
               const SpgemmResult& c, SpgemmScratch& scratch) {
  const Typed<T, I> op(operands);
  RowGroups<T, I> groups(op, operands.b.pattern.cols);
  const std::int64_t piece_end = c.indptr[end];
  const auto fill_group = [&](const RowGroup& group) HWY_ATTR {
    const Rows<T, I> rows(c, group.begin, group.end, piece_end, group_padding, scratch);
    groups.fill(group, rows.columns, rows.values);
    rows.finish_columns();
    rows.finish_values();
  };
  constexpr std::int64_t block = 256;
  std::int64_t products[block];
  const auto fill_repeat = [&](std::int64_t i, const Repeat& repeat) HWY_ATTR {
    const Rows<T, I> row(c, i, i + 1, piece_end, 0, scratch);
    const std::int64_t row_products = products[i - begin];
    row.move_columns(repeat.row, repeat.shift);
    if constexpr (has_values<T>) {
      Element* const elements = scratch.shape_elements[repeat.shape].reserve<Element>(row_products);
      if (groups.first_time(repeat)) number_products(op, i, row, elements, scratch);
      std::fill_n(row.values, row.count, untouched<Sum<T>>);
      add_to_elements(op, i, elements, row.values);
      row.finish_values();
    }
    return row_products < tuning::spgemm_contiguous_products || !row.is_contiguous();
  };
  const auto fill_one = [&](std::int64_t i) HWY_ATTR {
    const RowWork work = survey(op, i);
    const Method method = choose(work, op.canonical);
    const std::int64_t padding = method == Method::window ? window_padding : 0;
    const Rows<T, I> row(c, i, i + 1, piece_end, padding, scratch);
    fill_row(op, i, row, work, method, scratch);
    row.finish_columns();
    row.finish_values();
  };
  for (; begin < end; begin += block) {
    const std::int64_t block_end = std::min(end, begin + block);
    count_products(op.a_indptr, op.a_indices, op.b_indptr, begin, block_end, products);
    groups.split(begin, block_end, products, fill_group, fill_repeat, fill_one);
  }
}

void FillRows(const SpgemmOperands& op, std::int64_t begin, std::int64_t end, const SpgemmResult& c,
              SpgemmScratch& scratch) {
  visit_index(op.a.pattern.index_dtype, "A", [&](auto index) {
    using I = typename decltype(index)::type;
    if (c.values == nullptr) return fill_rows<NoValue, I>(op, begin, end, c, scratch);
    visit_value(op.a.dtype, "A", [&](auto value) {
      fill_rows<typename decltype(value)::type, I>(op, begin, end, c, scratch);
    });
  });
}

/// Number of positions p in begin..end with indices[p] >= indices[p + 1].
template <class I>
HWY_INLINE std::int64_t count_descents(const I* indices, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<I> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  std::int64_t count = 0, p = begin;
  for (; p + lanes <= end; p += lanes) {
    const auto ascents = hn::Lt(hn::LoadU(d, indices + p), hn::LoadU(d, indices + p + 1));
    count += lanes - static_cast<std::int64_t>(hn::CountTrue(d, ascents));
  }
  for (; p < end; ++p) count += indices[p] >= indices[p + 1];
  return count;
}

/// Whether the columns of each of the rows increase strictly.
bool CanonicalRows(const CsrPattern& pattern, std::int64_t begin, std::int64_t end) {
  return visit_index(pattern.index_dtype, "B", [&](auto index) HWY_ATTR {
    using I = typename decltype(index)::type;
    const I* indptr = static_cast<const I*>(pattern.indptr);
    const I* indices = static_cast<const I*>(pattern.indices);
    // Descents anywhere against descents from one row to the next: the long loop has no branch.
    std::int64_t between_rows = 0;
    for (std::int64_t i = begin + 1; i < end; ++i) {
      const std::int64_t p = indptr[i];
      if (p > indptr[i - 1] && p < indptr[end]) between_rows += indices[p - 1] >= indices[p];
    }
    return count_descents(indices, indptr[begin],
                          std::max<std::int64_t>(indptr[begin], indptr[end] - 1)) == between_rows;
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {
namespace {

bool is_canonical(const CsrPattern& pattern) {
  const auto canonical_rows = GOSSAMER_SIMD_FUNCTION(CanonicalRows);
  const std::int64_t pieces = pieces_of(pattern.nnz + pattern.rows, pattern.rows);
  std::atomic<bool> canonical{true};
  visit_index(pattern.index_dtype, "B", [&](auto index) {
    const auto* indptr = static_cast<const typename decltype(index)::type*>(pattern.indptr);
    parallel_for(pieces, [&](std::int64_t piece) {
      if (!canonical_rows(pattern, balanced_row(indptr, pattern.rows, piece, pieces),
                          balanced_row(indptr, pattern.rows, piece + 1, pieces))) {
        canonical = false;
      }
    });
  });
  return canonical;
}

/// The operands, and what is worth knowing about B where finding out is cheap beside the product.
SpgemmOperands operands_of(const CsrView& a, const CsrView& b, std::int64_t work) {
  const CsrPattern& pattern = b.pattern;
  const bool prefetch = pattern.nnz + pattern.rows > tuning::spgemm_cached_positions;
  const bool tabled =
      pattern.cols <= std::min(work, tuning::spgemm_table_columns) &&
      pattern.cols / tuning::spgemm_table_columns_per_product * a.pattern.rows <= work;
  return {a, b, pattern.nnz <= work && is_canonical(pattern), prefetch, tabled};
}

/// Runs body(piece, scratch) for all pieces; a thread keeps its scratch from piece to piece.
template <class Body>
void for_each_piece(std::int64_t pieces, Body&& body) {
  std::atomic<std::int64_t> next{0};
  parallel_for(std::min<std::int64_t>(num_threads(), pieces), [&](std::int64_t) {
    SpgemmScratch scratch;
    for (std::int64_t piece; (piece = next.fetch_add(1)) < pieces;) body(piece, scratch);
  });
}

}  // namespace

std::int64_t spgemm_count_cpu(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr) {
  // Pieces of rows of about equal size in A, then split where they hold more than their share of
  // products.
  std::vector<std::int64_t> starts(static_cast<std::size_t>(pieces_of(a.nnz + a.rows, a.rows)) + 1);
  std::vector<std::int64_t> products(starts.size() - 1);
  visit_index(a.index_dtype, "A", [&](auto index) {
    using I = typename decltype(index)::type;
    const std::int64_t pieces = static_cast<std::int64_t>(products.size());
    for (std::size_t piece = 0; piece < starts.size(); ++piece) {
      starts[piece] = balanced_row(static_cast<const I*>(a.indptr), a.rows,
                                   static_cast<std::int64_t>(piece), pieces);
    }
    parallel_for(pieces, [&](std::int64_t at) {
      const std::size_t piece = static_cast<std::size_t>(at);
      std::int64_t* const counts = indptr + 1;
      count_products(static_cast<const I*>(a.indptr), static_cast<const I*>(a.indices),
                     static_cast<const I*>(b.indptr), starts[piece], starts[piece + 1],
                     counts + starts[piece]);
      products[piece] =
          std::accumulate(counts + starts[piece], counts + starts[piece + 1], std::int64_t{0});
    });
  });
  const std::int64_t work = std::accumulate(products.begin(), products.end(), std::int64_t{0});
  indptr[0] = 0;
  if (work == 0) return 0;

  const std::int64_t share = std::max<std::int64_t>(1, work / pieces_of(work, a.rows));
  std::vector<std::int64_t> rows{0};
  for (std::size_t piece = 0; piece < products.size(); ++piece) {
    std::int64_t sum = 0;
    for (std::int64_t i = starts[piece]; products[piece] > 2 * share && i < starts[piece + 1];
         ++i) {
      sum += indptr[i + 1];
      if (sum < share) continue;
      rows.push_back(i + 1);
      sum = 0;
    }
    if (rows.back() < starts[piece + 1]) rows.push_back(starts[piece + 1]);
  }

  CsrView a_view, b_view;
  a_view.pattern = a;
  b_view.pattern = b;
  const SpgemmOperands op = operands_of(a_view, b_view, work);
  const auto count_rows = GOSSAMER_SIMD_FUNCTION(CountRows);
  const std::int64_t pieces = static_cast<std::int64_t>(rows.size()) - 1;
  std::vector<std::int64_t> offsets(rows.size());
  for_each_piece(pieces, [&](std::int64_t at, SpgemmScratch& scratch) {
    const std::size_t piece = static_cast<std::size_t>(at);
    offsets[piece + 1] = count_rows(op, rows[piece], rows[piece + 1], indptr + 1, scratch);
  });
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  parallel_for(pieces, [&](std::int64_t at) {
    const std::size_t piece = static_cast<std::size_t>(at);
    std::int64_t offset = offsets[piece];
    for (std::int64_t i = rows[piece]; i < rows[piece + 1]; ++i) {
      offset += indptr[i + 1];
      indptr[i + 1] = offset;
    }
  });
  return offsets.back();
}

void spgemm_fill_cpu(const CsrView& a, const CsrView& b, const SpgemmResult& c) {
  const std::int64_t rows = a.pattern.rows;
  const std::int64_t nnz = c.indptr[rows];
  if (nnz == 0) return;
  const SpgemmOperands op = operands_of(a, b, nnz);
  const std::int64_t pieces = pieces_of(nnz, rows);
  const auto fill_rows = GOSSAMER_SIMD_FUNCTION(FillRows);
  for_each_piece(pieces, [&](std::int64_t piece, SpgemmScratch& scratch) {
    fill_rows(op, balanced_row(c.indptr, rows, piece, pieces),
              balanced_row(c.indptr, rows, piece + 1, pieces), c, scratch);
  });
}

}  // namespace gossamer
#endif  // HWY_ONCE
