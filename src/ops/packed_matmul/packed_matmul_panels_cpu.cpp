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
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Rows and vectors of X of one tile: their sums, the vectors and one factor fit the registers.
inline constexpr int tile_rows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
inline constexpr int tile_vectors = 2;

/// Rows that are decoded together: X is read once for all of them.
inline constexpr std::int64_t panel_height = 48;
/// Columns of a panel: with 128 columns of X, panel and X's rows take 0.7 MB of the L2 cache.
inline constexpr std::int64_t panel_columns = 1024;
/// Rows a multiple of 4 KiB apart would share one place in the L1 cache: a line more.
inline constexpr std::int64_t panel_stride = panel_columns + 16;

/// sums += columns of tile_rows rows of a panel times `Vectors` vectors of each row of X.
template <int Vectors>
void multiply_tile(const float* HWY_RESTRICT panel, std::int64_t columns,
                   const float* HWY_RESTRICT x, std::int64_t x_stride, float* HWY_RESTRICT sums,
                   std::int64_t sums_stride) {
  const FloatTag d;
  FloatVec partial[tile_rows][Vectors];
  unroll<tile_rows>([&](auto r) HWY_ATTR {
    unroll<Vectors>([&](auto v) HWY_ATTR {
      partial[r][v] = hn::Load(d, sums + r * sums_stride + v * float_lanes);
    });
  });
  for (std::int64_t j = 0; j < columns; ++j, x += x_stride) {
    FloatVec row[Vectors];
    unroll<Vectors>([&](auto v) HWY_ATTR { row[v] = hn::Load(d, x + v * float_lanes); });
    unroll<tile_rows>([&](auto r) HWY_ATTR {
      const auto factor = hn::Set(d, panel[r * panel_stride + j]);
      unroll<Vectors>([&](auto v)
                          HWY_ATTR { partial[r][v] = hn::MulAdd(factor, row[v], partial[r][v]); });
    });
  }
  unroll<tile_rows>([&](auto r) HWY_ATTR {
    unroll<Vectors>([&](auto v) HWY_ATTR {
      hn::Store(partial[r][v], d, sums + r * sums_stride + v * float_lanes);
    });
  });
}

/// sums (used rows of x.width) += a panel of columns [begin, end) of P times X.
void multiply_panel(const float* panel, std::int64_t used, std::int64_t begin, std::int64_t end,
                    std::int64_t cols, const SlabsOfX& x, float* sums) {
  for (std::int64_t c = 0; c < x.width;) {
    const std::int64_t slab = c / slab_columns * slab_columns;
    const std::int64_t stride = std::min(slab_columns, x.width - slab);
    const float* from = x.data + slab * cols + begin * stride + (c - slab);
    const bool wide = c - slab + tile_vectors * float_lanes <= stride;
    for (std::int64_t r = 0; r < used; r += tile_rows) {
      const auto multiply = wide ? multiply_tile<tile_vectors> : multiply_tile<1>;
      multiply(panel + r * panel_stride, end - begin, from, stride, sums + r * x.width + c,
               x.width);
    }
    c += (wide ? tile_vectors : 1) * float_lanes;
  }
}

void PanelRows(const PackedView& packed, const SlabsOfX& x, std::int64_t begin, std::int64_t end,
               float* sums) {
  const std::int64_t panels = (packed.cols + panel_columns - 1) / panel_columns;
  const AlignedFloats panel = aligned_floats(panels * panel_height * panel_stride);
  const AlignedFloats partial = aligned_floats(panel_height * x.width);
  const auto place = [&](std::int64_t column, std::int64_t r) {
    return panel.get() + (column / panel_columns * panel_height + r) * panel_stride;
  };
  for (std::int64_t i = begin; i < end; i += panel_height) {
    const std::int64_t rows = std::min(panel_height, end - i);
    const std::int64_t used = (rows + tile_rows - 1) / tile_rows * tile_rows;
    for (std::int64_t r = 0; r < rows; ++r) {
      decode_row(packed, i + r, panel_columns, panel_height * panel_stride, place(0, r));
    }
    for (std::int64_t j = 0; rows < used && j < packed.cols; j += panel_columns) {
      std::fill(place(j, rows), place(j, used), 0.0f);
    }
    std::fill(partial.get(), partial.get() + used * x.width, 0.0f);
    for (std::int64_t j = 0; j < packed.cols; j += panel_columns) {
      multiply_panel(place(j, 0), used, j, std::min(packed.cols, j + panel_columns), packed.cols, x,
                     partial.get());
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      const float scale = row_scale(packed, i + r);
      for (std::int64_t c = 0; c < x.width; ++c) {
        sums[(i - begin + r) * x.width + c] =
            partial[static_cast<std::size_t>(r * x.width + c)] * scale;
      }
    }
  }
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
