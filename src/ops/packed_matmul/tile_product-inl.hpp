// SPDX-License-Identifier: Apache-2.0
// The inner kernel of products with decoded panels: all sums of a tile in registers. Included once
// for each target, from within a kernel file.
#if defined(GOSSAMER_PACKED_TILE_PRODUCT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_PACKED_TILE_PRODUCT_INL_HPP
#undef GOSSAMER_PACKED_TILE_PRODUCT_INL_HPP
#else
#define GOSSAMER_PACKED_TILE_PRODUCT_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Rows and vectors of one tile: their sums, the vectors and one factor fit the registers.
inline constexpr int tile_rows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
inline constexpr int tile_vectors = 2;

inline constexpr std::int64_t panel_columns = tuning::packed_panel_columns;
/// Rows a multiple of 1 KiB apart would share places in the L1 cache: a line more.
inline constexpr std::int64_t panel_stride = panel_columns + 16;

/// A row-major matrix of floats.
struct Rows {
  const float* data;
  std::int64_t stride;
};

/// Fetches a cache line into the L2 cache.
HWY_INLINE void fetch(const void* from, std::int64_t line) {
  __builtin_prefetch(static_cast<const std::uint8_t*>(from) + 64 * line, 0, 2);
}

/// sums += the first `depth` columns of `Height` rows of `left` times as many rows of `right`, of
/// which `Vectors` vectors are taken.
template <int Height, int Vectors>
void multiply_tile(Rows left, std::int64_t depth, Rows right, float* HWY_RESTRICT sums,
                   std::int64_t sums_stride) {
  const FloatTag d;
  FloatVec partial[Height][Vectors];
  unroll<Height>([&](auto r) HWY_ATTR {
    unroll<Vectors>([&](auto v) HWY_ATTR {
      partial[r][v] = hn::Load(d, sums + r * sums_stride + v * float_lanes);
    });
  });
  const float* HWY_RESTRICT factors = left.data;
  const float* HWY_RESTRICT x = right.data;
  for (std::int64_t j = 0; j < depth; ++j, x += right.stride) {
    FloatVec row[Vectors];
    unroll<Vectors>([&](auto v) HWY_ATTR { row[v] = hn::LoadU(d, x + v * float_lanes); });
    unroll<Height>([&](auto r) HWY_ATTR {
      const auto factor = hn::Set(d, factors[r * left.stride + j]);
      unroll<Vectors>([&](auto v)
                          HWY_ATTR { partial[r][v] = hn::MulAdd(factor, row[v], partial[r][v]); });
    });
  }
  unroll<Height>([&](auto r) HWY_ATTR {
    unroll<Vectors>([&](auto v) HWY_ATTR {
      hn::Store(partial[r][v], d, sums + r * sums_stride + v * float_lanes);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
