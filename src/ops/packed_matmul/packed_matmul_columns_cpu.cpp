// SPDX-License-Identifier: Apache-2.0
// Rows of any packed format times many columns, and its transpose: a few rows at a time are decoded
// into cache as plain lists, which then meet X (or Y) one block of columns of P after the other.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_columns_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "formats/packed.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// The decoded slots of a few rows and how far each row was walked.
class DecodedRows {
 public:
  explicit DecodedRows(const PackedView& packed) : packed_(packed) {}

  /// Decodes rows from `begin` on: as many before `end` as fit the cache, one at least. Returns
  /// their end.
  std::int64_t decode(std::int64_t begin, std::int64_t end) {
    const std::int64_t first = row_offset(packed_, begin);
    std::int64_t last = begin + 1;
    while (last < end && row_offset(packed_, last + 1) - first <= tuning::packed_decoded_slots)
      ++last;
    // Each row ends with a column beyond all others, so that a walk stops there.
    const std::int64_t room = row_offset(packed_, last) - first + (last - begin) + 64;
    if (static_cast<std::int64_t>(columns_.size()) < room) {
      columns_.resize(static_cast<std::size_t>(room));
      values_.resize(static_cast<std::size_t>(room));
    }
    cursors_.clear();
    std::int64_t at = 0;
    for (std::int64_t i = begin; i < last; ++i) {
      const std::int64_t slot = row_offset(packed_, i);
      const std::int64_t count = row_offset(packed_, i + 1) - slot;
      cursors_.push_back(at);
      decode_columns(packed_, i, columns_.data() + at);
      decode_values(packed_, slot, count, values_.data() + at);
      at += count;
      columns_[static_cast<std::size_t>(at++)] = std::numeric_limits<std::int32_t>::max();
    }
    return last;
  }

  /// Walks the slots of the r-th decoded row up to column `limit`: body(slots, columns, values)
  /// four at a time, then one at a time. The next walk begins there if `advance`, else where this
  /// one began.
  template <class Body>
  HWY_INLINE void walk(std::int64_t r, std::int32_t limit, bool advance, Body&& body) {
    std::int64_t& cursor = cursors_[static_cast<std::size_t>(r)];
    const std::int32_t* HWY_RESTRICT columns = columns_.data() + cursor;
    const float* HWY_RESTRICT values = values_.data() + cursor;
    const std::int32_t* const start = columns;
    while (columns[0] < limit && columns[1] < limit && columns[2] < limit && columns[3] < limit) {
      body(std::integral_constant<int, 4>(), columns, values);
      columns += 4;
      values += 4;
    }
    while (*columns < limit) body(std::integral_constant<int, 1>(), columns++, values++);
    if (advance) cursor += columns - start;
  }

 private:
  const PackedView& packed_;
  std::vector<std::int32_t> columns_;
  std::vector<float> values_;
  std::vector<std::int64_t> cursors_;
};

/// Columns of P whose part of X, or Y, stays in the innermost cache.
std::int64_t columns_at_once(std::int64_t width) { return tuning::packed_block_floats / width; }

/// sums += the row's slots before `limit` times `Vectors` vectors of X's rows.
template <int Vectors>
HWY_INLINE void add_row(DecodedRows& rows, std::int64_t r, std::int32_t limit, bool advance,
                        const float* HWY_RESTRICT x, std::int64_t width, float* HWY_RESTRICT sums) {
  constexpr int chains = Vectors >= 4 ? 1 : Vectors == 2 ? 2 : 4;
  const FloatTag d;
  FloatVec partial[chains][Vectors];
  unroll<Vectors>([&](auto v) HWY_ATTR {
    partial[0][v] = hn::Load(d, sums + v * float_lanes);
    unroll<chains - 1>([&](auto chain) HWY_ATTR { partial[chain + 1][v] = hn::Zero(d); });
  });
  rows.walk(r, limit, advance,
            [&](auto slots, const std::int32_t* columns, const float* values) HWY_ATTR {
              unroll<decltype(slots)::value>([&](auto k) HWY_ATTR {
                const auto value = hn::Set(d, values[k]);
                const float* HWY_RESTRICT from = x + columns[k] * width;
                unroll<Vectors>([&](auto v) HWY_ATTR {
                  auto& sum = partial[k % chains][v];
                  sum = hn::MulAdd(value, hn::Load(d, from + v * float_lanes), sum);
                });
              });
            });
  unroll<Vectors>([&](auto v) HWY_ATTR {
    unroll<chains - 1>([&](auto chain) HWY_ATTR {
      partial[0][v] = hn::Add(partial[0][v], partial[chain + 1][v]);
    });
    hn::Store(partial[0][v], d, sums + v * float_lanes);
  });
}

/// y's rows += the row's slots before `limit` times `Vectors` vectors of one row of X.
template <int Vectors>
HWY_INLINE void scatter_row(DecodedRows& rows, std::int64_t r, std::int32_t limit, bool advance,
                            const float* HWY_RESTRICT x, std::int64_t width, float scale,
                            float* HWY_RESTRICT y) {
  const FloatTag d;
  FloatVec factor[Vectors];
  for (int v = 0; v < Vectors; ++v) {
    factor[v] = hn::Mul(hn::Load(d, x + v * float_lanes), hn::Set(d, scale));
  }
  rows.walk(r, limit, advance,
            [&](auto slots, const std::int32_t* columns, const float* values) HWY_ATTR {
              unroll<decltype(slots)::value>([&](auto k) HWY_ATTR {
                const auto value = hn::Set(d, values[k]);
                float* HWY_RESTRICT to = y + columns[k] * width;
                unroll<Vectors>([&](auto v) HWY_ATTR {
                  const auto sum = hn::Load(d, to + v * float_lanes);
                  hn::Store(hn::MulAdd(value, factor[v], sum), d, to + v * float_lanes);
                });
              });
            });
}

/// Calls body(std::integral_constant<int, Vectors>, first) for groups of vectors that cover `width`
/// floats.
template <class Body>
HWY_INLINE void for_vector_groups(std::int64_t width, Body&& body) {
  constexpr int widest = HWY_TARGET == HWY_SCALAR ? 16 : 8;
  std::int64_t v = 0;
  const std::int64_t vectors = width / float_lanes;
  for (; v + widest <= vectors; v += widest) {
    body(std::integral_constant<int, widest>(), v * float_lanes);
  }
  if (v + 4 <= vectors) {
    body(std::integral_constant<int, 4>(), v * float_lanes);
    v += 4;
  }
  if (v + 2 <= vectors) {
    body(std::integral_constant<int, 2>(), v * float_lanes);
    v += 2;
  }
  if (v < vectors) body(std::integral_constant<int, 1>(), v * float_lanes);
}

void ColumnsRows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                 float* sums) {
  DecodedRows rows(packed);
  const std::int64_t step = columns_at_once(x.width);
  std::fill(sums, sums + (end - begin) * x.width, 0.0f);
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t last = rows.decode(i, end);
    for (std::int64_t j = 0; j < packed.cols; j += step) {
      const auto limit = static_cast<std::int32_t>(std::min(packed.cols, j + step));
      for (std::int64_t r = i; r < last; ++r) {
        for_vector_groups(x.width, [&](auto vectors, std::int64_t first) HWY_ATTR {
          add_row<vectors>(rows, r - i, limit, first + vectors * float_lanes == x.width,
                           x.data + first, x.width, sums + (r - begin) * x.width + first);
        });
      }
    }
    for (std::int64_t r = i; packed.scales != nullptr && r < last; ++r) {
      for (std::int64_t c = 0; c < x.width; ++c)
        sums[(r - begin) * x.width + c] *= packed.scales[r];
    }
    i = last;
  }
}

void ColumnsTransposed(const PackedView& packed, const RowsOfX& x, std::int64_t begin,
                       std::int64_t end, float* y) {
  DecodedRows rows(packed);
  const std::int64_t step = columns_at_once(x.width);
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t last = rows.decode(i, end);
    for (std::int64_t j = 0; j < packed.cols; j += step) {
      const auto limit = static_cast<std::int32_t>(std::min(packed.cols, j + step));
      for (std::int64_t r = i; r < last; ++r) {
        for_vector_groups(x.width, [&](auto vectors, std::int64_t first) HWY_ATTR {
          scatter_row<vectors>(rows, r - i, limit, first + vectors * float_lanes == x.width,
                               x.data + r * x.width + first, x.width, row_scale(packed, r),
                               y + first);
        });
      }
    }
    i = last;
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void columns_rows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                  float* sums) {
  GOSSAMER_SIMD_FUNCTION(ColumnsRows)(packed, x, begin, end, sums);
}

void columns_transposed(const PackedView& packed, const RowsOfX& x, std::int64_t begin,
                        std::int64_t end, float* y) {
  GOSSAMER_SIMD_FUNCTION(ColumnsTransposed)(packed, x, begin, end, y);
}

}  // namespace gossamer
#endif  // HWY_ONCE
