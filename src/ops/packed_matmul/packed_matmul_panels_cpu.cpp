// SPDX-License-Identifier: Apache-2.0
// Packed rows times many columns, for matrices that are not very sparse: a few rows at a time are
// decoded, zeros included, and multiplied as a dense matrix is, with all sums in registers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_panels_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "formats/packed.hpp"
#include "ops/packed_matmul/aligned_floats.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "ops/packed_matmul/row_cursors-inl.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Rows and vectors of X of one tile: their sums, the vectors and one factor fit the registers.
inline constexpr int tile_rows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
inline constexpr int tile_vectors = 2;

inline constexpr std::int64_t panel_columns = tuning::packed_panel_columns;
/// Rows a multiple of 1 KiB apart would share places in the L1 cache: a line more.
inline constexpr std::int64_t panel_stride = panel_columns + 16;

/// Where a tile's rows go on after the panel, and which of the cache lines from there on to fetch:
/// the next panel's values come from memory while this one is multiplied.
struct Ahead {
  const void* rows[tile_rows];
  std::int64_t begin, end;
};

/// sums += columns of tile_rows rows of a panel times `Vectors` vectors of each row of X.
template <int Vectors>
void multiply_tile(const float* HWY_RESTRICT panel, std::int64_t columns,
                   const float* HWY_RESTRICT x, std::int64_t x_stride, float* HWY_RESTRICT sums,
                   std::int64_t sums_stride, const Ahead& ahead) {
  const FloatTag d;
  FloatVec partial[tile_rows][Vectors];
  unroll<tile_rows>([&](auto r) HWY_ATTR {
    unroll<Vectors>([&](auto v) HWY_ATTR {
      partial[r][v] = hn::Load(d, sums + r * sums_stride + v * float_lanes);
    });
  });
  std::int64_t j = 0;
  for (int i = 0; i < tile_rows; ++i) {
    for (std::int64_t line = ahead.begin; line < ahead.end; ++line) {
      __builtin_prefetch(static_cast<const std::uint8_t*>(ahead.rows[i]) + 64 * line, 0, 2);
    }
    for (; j < columns * (i + 1) / tile_rows; ++j, x += x_stride) {
      FloatVec row[Vectors];
      unroll<Vectors>([&](auto v) HWY_ATTR { row[v] = hn::Load(d, x + v * float_lanes); });
      unroll<tile_rows>([&](auto r) HWY_ATTR {
        const auto factor = hn::Set(d, panel[r * panel_stride + j]);
        unroll<Vectors>(
            [&](auto v) HWY_ATTR { partial[r][v] = hn::MulAdd(factor, row[v], partial[r][v]); });
      });
    }
  }
  unroll<tile_rows>([&](auto r) HWY_ATTR {
    unroll<Vectors>([&](auto v) HWY_ATTR {
      hn::Store(partial[r][v], d, sums + r * sums_stride + v * float_lanes);
    });
  });
}

template <class V>
void rows_of(const PackedView& packed, const SlabsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  const std::int64_t rows = end - begin;
  const std::int64_t used = (rows + tile_rows - 1) / tile_rows * tile_rows;
  const AlignedFloats panel = aligned_floats(tile_rows * panel_stride);
  std::fill(panel.get(), panel.get() + tile_rows * panel_stride, 0.0f);
  std::fill(sums, sums + used * x.width, 0.0f);
  RowCursors<V> cursors(packed, begin, end, panel_columns);
  const std::int64_t lines = packed.slots / packed.rows * panel_columns / packed.cols *
                                 static_cast<std::int64_t>(sizeof(V)) / 64 +
                             1;
  for (std::int64_t j = 0; j < packed.cols; j += panel_columns) {
    const std::int64_t columns = std::min(panel_columns, packed.cols - j);
    for (std::int64_t r = 0; r < rows; r += tile_rows) {
      Ahead ahead;
      for (std::int64_t i = 0; i < tile_rows; ++i) {
        if (r + i < rows) cursors.expand_row(r + i, j, j + columns, panel.get() + i * panel_stride);
        ahead.rows[i] = cursors.values(std::min(r + i, rows - 1));
      }
      for (std::int64_t c = 0; c < x.width;) {
        const std::int64_t slab = c / slab_columns * slab_columns;
        const std::int64_t stride = std::min(slab_columns, x.width - slab);
        const float* from = x.data + slab * packed.cols + j * stride + (c - slab);
        const bool wide = c - slab + tile_vectors * float_lanes <= stride;
        const auto multiply = wide ? multiply_tile<tile_vectors> : multiply_tile<1>;
        const std::int64_t next = c + (wide ? tile_vectors : 1) * float_lanes;
        ahead.begin = lines * c / x.width;
        ahead.end = lines * next / x.width;
        multiply(panel.get(), columns, from, stride, sums + r * x.width + c, x.width, ahead);
        c = next;
      }
    }
  }
  for (std::int64_t r = 0; packed.scales != nullptr && r < rows; ++r) {
    for (std::int64_t c = 0; c < x.width; ++c) sums[r * x.width + c] *= packed.scales[begin + r];
  }
}

void PanelRows(const PackedView& packed, const SlabsOfX& x, std::int64_t begin, std::int64_t end,
               float* sums) {
  visit_packed(packed.dtype, [&](auto tag) {
    rows_of<typename decltype(tag)::type>(packed, x, begin, end, sums);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void panel_rows(const PackedView& packed, const SlabsOfX& x, std::int64_t begin, std::int64_t end,
                float* sums) {
  GOSSAMER_SIMD_FUNCTION(PanelRows)(packed, x, begin, end, sums);
}

}  // namespace gossamer
#endif  // HWY_ONCE
