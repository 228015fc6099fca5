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

/// sums = panel times `Vectors` vectors of each row of X.
template <int Vectors>
HWY_INLINE void multiply_tile(const float* HWY_RESTRICT panel, std::int64_t panel_stride,
                              const float* HWY_RESTRICT x, std::int64_t x_stride, std::int64_t cols,
                              float* HWY_RESTRICT sums) {
  const FloatTag d;
  FloatVec partial[tile_rows][Vectors];
  unroll<tile_rows>([&](auto r) HWY_ATTR {
    unroll<Vectors>([&](auto v) HWY_ATTR { partial[r][v] = hn::Zero(d); });
  });
  for (std::int64_t j = 0; j < cols; ++j, x += x_stride) {
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
      hn::Store(partial[r][v], d, sums + (r * Vectors + v) * float_lanes);
    });
  });
}

void PanelRows(const PackedView& packed, const SlabsOfX& x, std::int64_t begin, std::int64_t end,
               float* sums) {
  // Rows a multiple of 4 KiB apart would share one place in the L1 cache: a line more.
  const std::int64_t stride = (packed.cols + 1023) / 1024 * 1024 + 16;
  const AlignedFloats panel = aligned_floats(tile_rows * stride);
  alignas(64) float tile[tile_rows * tile_vectors * float_lanes];
  for (std::int64_t i = begin; i < end; i += tile_rows) {
    const std::int64_t rows = std::min<std::int64_t>(tile_rows, end - i);
    for (std::int64_t r = 0; r < rows; ++r) decode_row(packed, i + r, panel.get() + r * stride);
    std::fill(panel.get() + rows * stride, panel.get() + tile_rows * stride, 0.0f);
    for (std::int64_t c = 0; c < x.width;) {
      const std::int64_t slab = c / slab_columns * slab_columns;
      const std::int64_t slab_width = std::min(slab_columns, x.width - slab);
      const float* from = x.data + slab * packed.cols + (c - slab);
      const std::int64_t vectors =
          std::min<std::int64_t>(tile_vectors, (slab + slab_width - c) / float_lanes);
      if (vectors == tile_vectors) {
        multiply_tile<tile_vectors>(panel.get(), stride, from, slab_width, packed.cols, tile);
      } else {
        multiply_tile<1>(panel.get(), stride, from, slab_width, packed.cols, tile);
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        const float scale = row_scale(packed, i + r);
        for (std::int64_t v = 0; v < vectors * float_lanes; ++v) {
          sums[(i - begin + r) * x.width + c + v] = tile[r * vectors * float_lanes + v] * scale;
        }
      }
      c += vectors * float_lanes;
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
