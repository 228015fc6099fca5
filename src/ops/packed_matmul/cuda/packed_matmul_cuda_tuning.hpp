// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gossamer::cuda::tuning {

/// Width of the distances of delta_rows by density. H200, float16, geometric mean of six shapes
/// over cuBLAS: 50%: 3 bits 1.54, 4 bits 1.52; 30%: 4 bits 2.11; 10%: 8 bits 3.69, 6 bits 3.52; 5%:
/// 8 bits 4.86. 70% was measured with 3 bits only: 1.21. float32 at 50%: 4 bits 1.87; 3 bits, of
/// whose larger units only one a warp fits shared memory, 1.45.
struct DistanceWidth {
  double at_least;  ///< share of stored slots
  int bits;
};
inline constexpr DistanceWidth delta_rows_wide_values[] = {{0.14, 4}, {0.0, 8}};
inline constexpr DistanceWidth delta_rows_widths[] = {{0.4, 3}, {0.14, 4}, {0.0, 8}};

/// Splits of the columns of bitmap_tiles: waves of blocks, the share of a wave that must be filled,
/// and the columns of a split. H200, 50%, batch 8 / 64, us: 8192x8192 1 wave 41.4 / 69.0, 2 waves
/// 42.2 / 83.1; 28672x8192 (224 blocks of rows on 396 / 264 places) 1 wave 145 / 244, 2 waves 135 /
/// 246, 3 waves 121 / 237, 4 waves 118 / 220.
inline constexpr int bitmap_tiles_most_waves = 4;
inline constexpr double bitmap_tiles_filled = 0.85;
inline constexpr int bitmap_tiles_least_cols = 128;

}  // namespace gossamer::cuda::tuning
