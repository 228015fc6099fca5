// SPDX-License-Identifier: Apache-2.0
// Counting by a table of all columns: each names the last row that reached it. For products of few
// columns, whose table stays in the cache. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_COLUMN_TABLE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_COLUMN_TABLE_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_COLUMN_TABLE_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_COLUMN_TABLE_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "ops/spgemm/operands-inl.hpp"
#include "ops/spgemm/repeats-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Counts the distinct columns of rows. Short rows are listed one after the other and looked up
/// together, so that no branch depends on how long a row of A or of B is.
template <class I>
class ColumnTable {
 public:
  ColumnTable(const Typed<NoValue, I>& op, std::int64_t columns, SpgemmScratch& scratch)
      : op_(op),
        columns_(columns),
        last_row_(scratch.last_rows.reserve<std::uint8_t>(columns, 0)),
        tag_(scratch.last_tag),
        repeats_(op_) {}

  /// Replaces the products of rows begin..end, which are in `counts`, by their positions in C.
  void count(std::int64_t begin, std::int64_t end, std::int64_t* counts) {
    const I* const a_indptr = op_.a_indptr;
    std::int64_t first = begin, listed = 0;
    const auto look_up = [&](std::int64_t until) HWY_ATTR {
      look_up_rows(first, until, counts);
      first = until;
      listed = 0;
    };
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t products = counts[i];
      const std::int64_t entries = a_indptr[i + 1] - a_indptr[first];
      if (listed + products > list_products || entries > list_entries || i - first == list_rows) {
        look_up(i);
      }
      const Repeat repeat = repeats_.find(i, products);
      if (repeat.row >= 0) {
        look_up(i);
        counts[i] = counts[repeat.row];
        first = i + 1;
      } else if (products > list_products || a_indptr[i + 1] - a_indptr[i] > list_entries) {
        counts[i] = count_row(i);
        first = i + 1;
      } else {
        listed += products;
      }
    }
    look_up(end);
  }

 private:
  static constexpr std::int64_t list_products = 1024, list_entries = 512, list_rows = 128;
  static constexpr int column_bits = 24;
  static_assert(tuning::spgemm_table_columns <= 1 << column_bits);

  /// The first of `rows` numbers that no column of the table holds.
  HWY_INLINE std::uint32_t next_tags(std::int64_t rows) {
    if (tag_ + rows > 255) {
      std::fill_n(last_row_, columns_, std::uint8_t{0});
      tag_ = 0;
    }
    const std::uint32_t tag = tag_ + 1;
    tag_ += static_cast<std::uint32_t>(rows);
    return tag;
  }

  std::int64_t count_row(std::int64_t i) {
    const std::uint8_t tag = static_cast<std::uint8_t>(next_tags(1));
    std::int64_t count = 0;
    for_each_operand_row(op_, i, [&](std::int64_t, std::int64_t begin, std::int64_t end) HWY_ATTR {
      for (std::int64_t q = begin; q < end; ++q) {
        std::uint8_t& last_row = last_row_[op_.b_indices[q]];
        count += last_row != tag;
        last_row = tag;
      }
    });
    return count;
  }

  /// count, for rows that fit the list.
  void look_up_rows(std::int64_t begin, std::int64_t end, std::int64_t* counts) {
    if (begin == end) return;
    const std::int64_t listed = list_rows_of(begin, end);
    const std::uint32_t* HWY_RESTRICT keys = keys_;
    std::uint8_t* HWY_RESTRICT last_rows = last_row_;
    std::uint32_t distinct = 0;
    for (std::int64_t n = 0; n < listed; ++n) {
      const std::uint8_t tag = static_cast<std::uint8_t>(keys[n] >> column_bits);
      std::uint8_t& last_row = last_rows[keys[n] & ((1u << column_bits) - 1)];
      distinct += last_row != tag;
      last_row = tag;
      distinct_[n + 1] = distinct;
    }
    std::int64_t at = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t next = at + counts[i];
      counts[i] = distinct_[next] - distinct_[at];
      at = next;
    }
  }

  /// Lists the columns of the rows' products, each with its row's tag; returns how many.
  HWY_INLINE std::int64_t list_rows_of(std::int64_t begin, std::int64_t end) {
    using Tags = Together<std::uint32_t, I>;
    const typename Tags::template Tag<std::uint32_t> d;
    const typename Tags::template Tag<I> di;
    const typename Tags::template Tag<std::make_unsigned_t<I>> du;
    const std::int64_t first = op_.a_indptr[begin], last = op_.a_indptr[end];
    const std::uint32_t tag = next_tags(end - begin) - static_cast<std::uint32_t>(begin);
    for (std::int64_t i = begin; i < end; ++i) {
      const auto row = hn::Set(d, (tag + static_cast<std::uint32_t>(i)) << column_bits);
      for (std::int64_t p = op_.a_indptr[i]; p < op_.a_indptr[i + 1]; p += Tags::lanes) {
        hn::StoreU(row, d, tags_ + (p - first));
      }
    }
    std::int64_t n = 0;
    const Typed<NoValue, I> op = op_;
    for (std::int64_t p = first; p < last; ++p) {
      if (op.prefetch) prefetch_operand_row(op, p);
      const std::int64_t k = op.a_indices[p];
      const std::int64_t at = op.b_indptr[k], length = op.b_indptr[k + 1] - at;
      // Highway's scalar MaskedLoad reads what is masked out, too.
      if (HWY_TARGET == HWY_SCALAR && length == 0) continue;
      const auto row = hn::Set(d, tags_[p - first]);
      // At least once: few rows of B are empty, and then nothing that counts is written.
      std::int64_t q = 0;
      do {
        const auto valid = hn::FirstN(di, static_cast<std::size_t>(length - q));
        const auto columns = hn::BitCast(du, hn::MaskedLoad(valid, di, op.b_indices + at + q));
        hn::StoreU(hn::Or(resize_lanes(d, columns), row), d, keys_ + n + q);
        q += Tags::lanes;
      } while (q < length);
      n += length;
    }
    return n;
  }

  const Typed<NoValue, I> op_;
  std::int64_t columns_;
  std::uint8_t* HWY_RESTRICT last_row_;
  std::uint32_t& tag_;
  RowRepeats<NoValue, I> repeats_;
  HWY_ALIGN std::uint32_t tags_[list_entries + 16];
  HWY_ALIGN std::uint32_t keys_[list_products + 16];
  HWY_ALIGN std::uint32_t distinct_[list_products + 1] = {};
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
