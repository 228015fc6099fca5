// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::cuda::tuning {

/// Most products of a row that a block of 32 threads sorts, and one of 128, four a thread, and that
/// one of 256 does, sixteen a thread: what static shared memory holds of int64 columns.
inline constexpr int spgemm_warp_sort = 128, spgemm_small_block_sort = 512,
                     spgemm_block_sort = 4096;

/// Bitmaps of the longest rows: one a block, so many blocks, and together no more bytes than this
/// (one at least). Two blocks of 512 threads on each of an H200's 132 multiprocessors.
inline constexpr std::int64_t spgemm_bitmap_blocks = 264, spgemm_bitmap_bytes = 1 << 28;

/// Positions of C whose columns and sums a lane keeps in shared memory: 20 bytes each with
/// complex128 values, 40 KB a block.
inline constexpr int spgemm_positions_per_lane = 16;

/// Groups of lanes for each multiprocessor below which stretches of positions are cut shorter.
inline constexpr int spgemm_groups = 64;

}  // namespace gossamer::cuda::tuning
