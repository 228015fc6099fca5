// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gossamer::cuda::tuning {

/// Width of a pair of distances of delta_rows by density. Bits that a nonzero of 16 bits takes,
/// counted on random rows: 70%: 18.5 with pairs of 5, 20.0 of 8; 50%: 18.9, 20.0; 40%: 19.7, 20.0;
/// 35%: 20.6, 20.0. H200, float16, geometric mean of six shapes over cuBLAS: 30%: 8 bits 2.11; 10%:
/// 16 bits 3.69, 12 bits 3.52; 5%: 16 bits 4.86. float32 at 50%: 8 bits 1.87; 6 bits, of whose
/// larger units, as large as those of 5, only one a warp fits shared memory, 1.45.
struct DistanceWidth {
  double at_least;  ///< share of stored slots
  int bits;
};
inline constexpr DistanceWidth delta_rows_wide_values[] = {{0.14, 8}, {0.0, 16}};
inline constexpr DistanceWidth delta_rows_widths[] = {{0.42, 5}, {0.14, 8}, {0.0, 16}};

/// Warps of a block of bitmap_tiles_few for 8 and 16 vectors. H200, float16 at 50%, geometric mean
/// of six shapes over cuBLAS with 16, 20 and 24 warps: 8 vectors 1.22, 1.19, 1.23; 16 vectors 1.00,
/// 1.06, 0.87 (24 warps have 80 registers: they spill).
inline constexpr int bitmap_tiles_warps[] = {24, 20};

}  // namespace gossamer::cuda::tuning
