// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Threads of a block in every kernel of matmul.
inline constexpr int matmul_cuda_block = 256;

/// Threads for each multiprocessor that a small product is spread over, as far as its rows allow.
inline constexpr std::int64_t matmul_cuda_threads = 1024;

/// Rows are uneven where the longest exceeds the mean this many times and this many positions more.
inline constexpr std::int64_t matmul_cuda_uneven_ratio = 4;
inline constexpr std::int64_t matmul_cuda_uneven_positions = 64;

/// Positions of a piece of a long row: the longest row of the last class but one.
inline constexpr std::int64_t matmul_cuda_piece = 4096;

/// Mean length beyond which even rows of a single column are not multiplied through shared memory.
/// 75000 rows of 750 at random: 279 us that way, 194 us with a warp a row.
inline constexpr std::int64_t matmul_cuda_stream_length = 256;

/// Positions that a lane sums from shared memory, and warps for each multiprocessor below which
/// even rows are not multiplied that way.
inline constexpr std::int64_t matmul_cuda_stream_positions = 32;
inline constexpr std::int64_t matmul_cuda_stream_warps = 16;

}  // namespace gossamer::tuning
