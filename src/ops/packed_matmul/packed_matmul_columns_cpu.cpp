// SPDX-License-Identifier: Apache-2.0
// Rows of any packed format times many columns, and its transpose. The rows meet X (or Y) one block
// of columns of P after the other, so that the block's part of X stays in cache; of each row the
// block's slots are decoded to a short list, which is walked slot by slot over vectors of columns
// of X.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_columns_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "formats/packed.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "ops/packed_matmul/row_cursors-inl.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Columns of P in a block: as many as keep the block's part of X in the L1 cache, or more where
/// that would leave too few slots of a row.
std::int64_t block_step(const PackedView& packed, std::int64_t width) {
  const double density = static_cast<double>(packed.slots + 1) /
                         (static_cast<double>(packed.rows) * static_cast<double>(packed.cols));
  const auto columns = std::max(tuning::packed_block_floats / width,
                                static_cast<std::int64_t>(tuning::packed_block_slots / density));
  return std::min(packed.cols + 31, columns) / 32 * 32;
}

/// Calls body(k) for k in [0, count), four at a time where it can.
template <class Body>
HWY_INLINE void for_each_slot(std::int64_t count, Body&& body) {
  std::int64_t k = 0;
  for (; k + 4 <= count; k += 4) {
    unroll<4>([&](auto chain) HWY_ATTR { body(k + chain, chain); });
  }
  for (; k < count; ++k) body(k, std::integral_constant<int, 0>());
}

/// sums += the slots times `Vectors` vectors of X's rows.
template <int Vectors, class Slots>
HWY_INLINE void add_slots(const Slots& slots, const float* HWY_RESTRICT x, std::int64_t width,
                          float* HWY_RESTRICT sums) {
  constexpr int chains = Vectors >= 4 ? 1 : Vectors == 2 ? 2 : 4;
  const FloatTag d;
  FloatVec partial[chains][Vectors];
  unroll<Vectors>([&](auto v) HWY_ATTR {
    partial[0][v] = hn::Load(d, sums + v * float_lanes);
    unroll<chains - 1>([&](auto chain) HWY_ATTR { partial[chain + 1][v] = hn::Zero(d); });
  });
  for_each_slot(slots.count, [&](std::int64_t k, auto chain) HWY_ATTR {
    const auto value = hn::Set(d, slots.values[k]);
    const float* HWY_RESTRICT from = x + slots.columns[k] * width;
    unroll<Vectors>([&](auto v) HWY_ATTR {
      auto& sum = partial[chain % chains][v];
      sum = hn::MulAdd(value, hn::Load(d, from + v * float_lanes), sum);
    });
  });
  unroll<Vectors>([&](auto v) HWY_ATTR {
    unroll<chains - 1>([&](auto chain) HWY_ATTR {
      partial[0][v] = hn::Add(partial[0][v], partial[chain + 1][v]);
    });
    hn::Store(partial[0][v], d, sums + v * float_lanes);
  });
}

/// y's rows += the slots times `Vectors` vectors of one row of X.
template <int Vectors, class Slots>
HWY_INLINE void scatter_slots(const Slots& slots, const float* HWY_RESTRICT x, float scale,
                              std::int64_t width, float* HWY_RESTRICT y) {
  const FloatTag d;
  FloatVec factor[Vectors];
  unroll<Vectors>([&](auto v) HWY_ATTR {
    factor[v] = hn::Mul(hn::Load(d, x + v * float_lanes), hn::Set(d, scale));
  });
  for_each_slot(slots.count, [&](std::int64_t k, auto) HWY_ATTR {
    const auto value = hn::Set(d, slots.values[k]);
    float* HWY_RESTRICT to = y + slots.columns[k] * width;
    unroll<Vectors>([&](auto v) HWY_ATTR {
      const auto sum = hn::Load(d, to + v * float_lanes);
      hn::Store(hn::MulAdd(value, factor[v], sum), d, to + v * float_lanes);
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

template <class V>
void rows_of(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  const std::int64_t step = block_step(packed, x.width);
  RowCursors<V> cursors(packed, begin, end, step);
  std::fill(sums, sums + (end - begin) * x.width, 0.0f);
  for (std::int64_t j = 0; j < packed.cols; j += step) {
    for (std::int64_t r = 0; r < end - begin; ++r) {
      const auto slots = cursors.take(r, std::min(packed.cols, j + step));
      for_vector_groups(x.width, [&](auto vectors, std::int64_t first) HWY_ATTR {
        add_slots<vectors>(slots, x.data + first, x.width, sums + r * x.width + first);
      });
    }
  }
  for (std::int64_t r = 0; packed.scales != nullptr && r < end - begin; ++r) {
    for (std::int64_t c = 0; c < x.width; ++c) sums[r * x.width + c] *= packed.scales[begin + r];
  }
}

template <class V>
void transposed_of(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                   float* y) {
  const std::int64_t step = block_step(packed, x.width);
  RowCursors<V> cursors(packed, begin, end, step);
  for (std::int64_t j = 0; j < packed.cols; j += step) {
    for (std::int64_t r = 0; r < end - begin; ++r) {
      const auto slots = cursors.take(r, std::min(packed.cols, j + step));
      for_vector_groups(x.width, [&](auto vectors, std::int64_t first) HWY_ATTR {
        scatter_slots<vectors>(slots, x.data + (begin + r) * x.width + first,
                               row_scale(packed, begin + r), x.width, y + first);
      });
    }
  }
}

void ColumnsRows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                 float* sums) {
  visit_packed(packed.dtype, [&](auto tag) {
    rows_of<typename decltype(tag)::type>(packed, x, begin, end, sums);
  });
}

void ColumnsTransposed(const PackedView& packed, const RowsOfX& x, std::int64_t begin,
                       std::int64_t end, float* y) {
  visit_packed(packed.dtype, [&](auto tag) {
    transposed_of<typename decltype(tag)::type>(packed, x, begin, end, y);
  });
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
