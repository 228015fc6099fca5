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

/// Warps of a block of bitmap_tiles_few for 8 and 16 vectors. H200, float16 at 50%, geometric mean
/// of six shapes over cuBLAS with 16, 20 and 24 warps: 8 vectors 1.22, 1.19, 1.23; 16 vectors 1.00,
/// 1.06, 0.87 (24 warps have 80 registers: they spill).
inline constexpr int bitmap_tiles_warps[] = {24, 20};

}  // namespace gossamer::cuda::tuning
