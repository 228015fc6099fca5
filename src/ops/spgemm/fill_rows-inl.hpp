// SPDX-License-Identifier: Apache-2.0
// The columns and values of C's rows: the second phase, or the only one. Included once for each
// SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_FILL_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_FILL_ROWS_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_FILL_ROWS_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_FILL_ROWS_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ops/spgemm/repeat_sums-inl.hpp"
#include "ops/spgemm/row_group-inl.hpp"
#include "ops/spgemm/row_products.hpp"
#include "ops/spgemm/scratch.hpp"
#include "ops/spgemm/sort-inl.hpp"
#include "ops/spgemm/window-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Elements that building a row may write beyond its last.
constexpr std::int64_t row_padding = std::max(group_padding, window_padding);
static_assert(row_padding <= spgemm_piece_padding);

/// Rows of C where they are kept, whose offsets are known: built in place where type and room
/// allow, else in scratch.
///
/// Padding beyond them may be overwritten, if rows that the same thread writes later lie there.
template <class T, class I>
class PlacedRows {
 public:
  static constexpr bool counts_rows = false;

  PlacedRows(const SpgemmResult& c, std::int64_t end, SpgemmScratch& scratch)
      : c_(c), end_(c.indptr[end]), scratch_(scratch) {}

  /// Makes rows begin..end those that columns() and values() are of.
  void open(std::int64_t begin, std::int64_t end) {
    at_ = c_.indptr[begin];
    count_ = c_.indptr[end] - at_;
    const bool room = at_ + count_ + row_padding <= end_;
    const bool in_place = room && item_size(c_.index_dtype) == sizeof(I);
    columns_ = in_place ? static_cast<I*>(c_.indices) + at_
                        : scratch_.columns.reserve<I>(count_ + row_padding);
    values_ = nullptr;
    if constexpr (std::is_same_v<T, Sum<T>>) {
      if (room) values_ = static_cast<T*>(c_.values) + at_;
    }
    if (has_values<T> && values_ == nullptr) {
      values_ = scratch_.values.reserve<Sum<T>>(count_ + row_padding);
    }
  }

  /// Writes the products of each of the rows begin..end.
  void count(const Typed<T, I>& op, std::int64_t begin, std::int64_t end,
             std::int64_t* products) const {
    count_products(op.a_indptr, op.a_indices, op.b_indptr, begin, end, products);
  }

  I* columns() const { return columns_; }
  Sum<T>* values() const { return values_; }

  /// Keeps what was written to columns() and values(), these rounded.
  void close(const std::int64_t*) {
    with_columns(at_, [&](auto* to) {
      if (static_cast<const void*>(to) == columns_) return;
      for (std::int64_t n = 0; n < count_; ++n) {
        to[n] = static_cast<std::remove_reference_t<decltype(*to)>>(columns_[n]);
      }
    });
    if constexpr (has_values<T>) {
      T* const to = static_cast<T*>(c_.values) + at_;
      if (static_cast<const void*>(to) == values_) return;
      for (std::int64_t n = 0; n < count_; ++n) to[n] = narrow<T>(values_[n]);
    }
  }

  std::int64_t skip(std::int64_t) const { return 0; }

  /// Makes the columns of the open row those of an earlier one plus the shift. Returns how many.
  std::int64_t move_columns(std::int64_t row, std::int64_t shift) const {
    const std::int64_t count = count_;
    I* const to = columns_;
    with_columns(c_.indptr[row], [=](const auto* from) {
      for (std::int64_t n = 0; n < count; ++n) to[n] = static_cast<I>(from[n] + shift);
    });
    return count;
  }

 private:
  template <class Body>
  void with_columns(std::int64_t at, Body&& body) const {
    if (c_.index_dtype == DType::int32) {
      body(static_cast<std::int32_t*>(c_.indices) + at);
    } else {
      body(static_cast<std::int64_t*>(c_.indices) + at);
    }
  }

  const SpgemmResult& c_;
  std::int64_t end_, at_ = 0, count_ = 0;
  I* columns_ = nullptr;
  Sum<T>* values_ = nullptr;
  SpgemmScratch& scratch_;
};

/// Rows of C one after the other, counted as they come.
template <class T, class I>
class AppendedRows {
 public:
  static constexpr bool counts_rows = true;

  /// indptr[i + 1], which holds the products of row i, becomes the number of positions of the rows
  /// begin..i.
  AppendedRows(I* columns, Sum<T>* values, std::int64_t begin, std::int64_t* indptr)
      : columns_(columns), values_(values), first_(begin), next_(begin), indptr_(indptr) {}

  void open(std::int64_t begin, std::int64_t end) {
    skip(begin);
    end_ = end;
  }

  void count(const Typed<T, I>&, std::int64_t begin, std::int64_t end,
             std::int64_t* products) const {
    std::copy(indptr_ + begin + 1, indptr_ + end + 1, products);
  }

  I* columns() const { return columns_ + at_; }
  Sum<T>* values() const { return values_ + at_; }

  void close(const std::int64_t* counts) {
    for (; next_ < end_; ++next_) indptr_[next_ + 1] = at_ += *counts++;
  }

  std::int64_t move_columns(std::int64_t row, std::int64_t shift) const {
    const std::int64_t from_at = row == first_ ? 0 : indptr_[row];
    const std::int64_t count = indptr_[row + 1] - from_at;
    const I* HWY_RESTRICT from = columns_ + from_at;
    I* HWY_RESTRICT to = columns();
    for (std::int64_t n = 0; n < count; ++n) to[n] = static_cast<I>(from[n] + shift);
    return count;
  }

  /// Rows before `until` that were not opened are empty. Returns the positions of all.
  std::int64_t skip(std::int64_t until) {
    for (; next_ < until; ++next_) indptr_[next_ + 1] = at_;
    return at_;
  }

 private:
  I* columns_;
  Sum<T>* values_;
  std::int64_t first_, next_, end_ = 0, at_ = 0;
  std::int64_t* indptr_;
};

template <class T, class I>
HWY_INLINE std::int64_t fill_copy(const Typed<T, I>& op, std::int64_t p, I* columns,
                                  [[maybe_unused]] Sum<T>* HWY_RESTRICT values) {
  const std::int64_t k = op.a_indices[p], begin = op.b_indptr[k];
  const std::int64_t count = op.b_indptr[k + 1] - begin;
  std::copy_n(op.b_indices + begin, count, columns);
  if constexpr (has_values<T>) {
    const Sum<T> scale = widen(op.a_values[p]);
    for (std::int64_t q = 0; q < count; ++q) {
      values[q] = add_product<Sum<T>>(scale, widen(op.b_values[begin + q]), untouched<Sum<T>>);
    }
  }
  return count;
}

template <Marks Kind, class T, class I>
HWY_INLINE std::int64_t fill_window(const Typed<T, I>& op, std::int64_t i, const RowWork& work,
                                    I* columns, Sum<T>* values, SpgemmScratch& scratch) {
  const std::int64_t width = work.width(), low = work.low;
  Sum<T>* sums = nullptr;
  if constexpr (has_values<T>) {
    sums = scratch.sums.reserve<Sum<T>>(width + window_padding, untouched<Sum<T>>);
  }
  if constexpr (Kind == Marks::none) {
    add_to_window<Kind>(op, i, low, sums, nullptr);
    I* HWY_RESTRICT to_columns = columns;
    Sum<T>* HWY_RESTRICT to_values = values;
    Sum<T>* HWY_RESTRICT from = sums;
    for (std::int64_t n = 0; n < width; ++n) {
      to_columns[n] = static_cast<I>(low + n);
      if constexpr (has_values<T>) {
        to_values[n] = from[n];
        from[n] = untouched<Sum<T>>;
      }
    }
    return width;
  } else {
    auto* const marks = scratch.marks.reserve<std::uint8_t>(mark_bytes(Kind, width), 0);
    add_to_window<Kind>(op, i, low, sums, marks);
    return take_window<Kind, T>(width, low, sums, marks, columns, values);
  }
}

template <class K, class T, class I>
HWY_INLINE std::int64_t fill_sorted(const Typed<T, I>& op, std::int64_t i, const RowWork& work,
                                    I* columns, Sum<T>* values, SpgemmScratch& scratch) {
  using Position = typename K::Position;
  Position* const elements = scratch.elements.reserve<Position>(work.products);
  const std::int64_t count = order_columns<K>(op, i, work, columns, elements, scratch);
  if constexpr (has_values<T>) {
    std::fill_n(values, count, untouched<Sum<T>>);
    add_to_elements(op, i, elements, values);
  }
  return count;
}

/// Row i, of `products`, by one of the three methods. Returns its positions.
template <class T, class I>
HWY_INLINE std::int64_t fill_row(const Typed<T, I>& op, std::int64_t i, std::int64_t products,
                                 I* columns, Sum<T>* values, SpgemmScratch& scratch) {
  const RowWork work = work_of(op, i, products);
  switch (choose(work, op.canonical)) {
    case Method::copy:
      return fill_copy(op, work.last_entry, columns, values);
    case Method::window:
      return with_marks(work, [&](auto kind) HWY_ATTR {
        return fill_window<decltype(kind)::value>(op, i, work, columns, values, scratch);
      });
    case Method::sort:
      break;
  }
  return with_key(work, [&](auto key) HWY_ATTR {
    return fill_sorted<decltype(key)>(op, i, work, columns, values, scratch);
  });
}

/// For each product of row i of C, which has the columns, which of them is its own.
template <class T, class I>
void number_products(const Typed<T, I>& op, std::int64_t i, const I* columns, std::int64_t count,
                     Element* HWY_RESTRICT elements, SpgemmScratch& scratch) {
  const std::int64_t low = columns[0], width = columns[count - 1] - low + 1;
  const bool tabled = width <= tuning::spgemm_window_columns;
  Element* const numbers = scratch.numbers.reserve<Element>(tabled ? width : 0);
  for (std::int64_t n = 0; tabled && n < count; ++n) {
    numbers[columns[n] - low] = static_cast<Element>(n);
  }
  for_each_operand_row(op, i, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t q = begin; q < end; ++q) {
      const I column = op.b_indices[q];
      *elements++ =
          tabled
              ? numbers[column - low]
              : static_cast<Element>(std::lower_bound(columns, columns + count, column) - columns);
    }
  });
}

/// Rows begin..end, into PlacedRows or AppendedRows. Returns their positions, where these count.
template <class T, class I, class RowsOfC>
std::int64_t fill_rows(const SpgemmOperands& operands, std::int64_t begin, std::int64_t end,
                       RowsOfC rows, SpgemmScratch& scratch) {
  const Typed<T, I> op(operands);
  RowGroups<T, I> groups(op, operands.b.pattern.cols);
  constexpr std::int64_t block = 256;
  std::int64_t products[block];
  const auto fill_group = [&](const RowGroup& group) HWY_ATTR {
    std::int64_t* const counts = RowsOfC::counts_rows ? products + (group.begin - begin) : nullptr;
    rows.open(group.begin, group.end);
    groups.fill(group, rows.columns(), rows.values(), counts);
    rows.close(counts);
  };
  [[maybe_unused]] bool in_steps[tuning::spgemm_row_shapes] = {};
  const auto fill_repeat = [&](std::int64_t i, const Repeat& repeat) HWY_ATTR {
    const std::int64_t row_products = products[i - begin];
    rows.open(i, i + 1);
    const I* const columns = rows.columns();
    const std::int64_t count = rows.move_columns(repeat.row, repeat.shift);
    if constexpr (has_values<T>) {
      Element* const elements = scratch.shape_elements[repeat.shape].reserve<Element>(row_products);
      [[maybe_unused]] ScratchMemory& steps = scratch.shape_steps[repeat.shape];
      const bool first_time = groups.first_time(repeat);
      if (first_time) number_products(op, i, columns, count, elements, scratch);
      if constexpr (sums_by_steps<T>) {
        if (first_time) {
          in_steps[repeat.shape] =
              op.canonical && plan_steps(op, i, row_products, count, elements, steps, scratch);
        }
        if (in_steps[repeat.shape]) {
          add_steps(op, i, count, steps.reserve<SumStep>(0), rows.values());
          rows.close(&count);
          return true;
        }
      }
      std::fill_n(rows.values(), count, untouched<Sum<T>>);
      add_to_elements(op, i, elements, rows.values());
    }
    rows.close(&count);
    return row_products < tuning::spgemm_contiguous_products ||
           columns[count - 1] - columns[0] != count - 1;
  };
  const auto fill_one = [&](std::int64_t i) HWY_ATTR {
    rows.open(i, i + 1);
    const std::int64_t count =
        fill_row(op, i, products[i - begin], rows.columns(), rows.values(), scratch);
    rows.close(&count);
  };
  for (; begin < end; begin += block) {
    const std::int64_t block_end = std::min(end, begin + block);
    rows.count(op, begin, block_end, products);
    groups.split(begin, block_end, products, fill_group, fill_repeat, fill_one);
  }
  return rows.skip(end);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
