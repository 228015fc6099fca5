// SPDX-License-Identifier: Apache-2.0
// Times are of an H200, float32.
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Threads of a block in every kernel of matmul.
inline constexpr int matmul_cuda_block = 256;

/// Threads for each multiprocessor that a small product is spread over, as far as its rows allow.
inline constexpr std::int64_t matmul_cuda_threads = 1024;

/// How long the parts of a row are that threads sum side by side.
struct MatmulCudaSplits {
  std::int64_t shortest;     ///< rows that are shorter stay whole
  std::int64_t positions;    ///< of a part, within a warp
  std::int64_t beyond_warp;  ///< of a part times lanes along X, where a row takes several warps
};

/// One column: neighbouring lanes read neighbouring positions. With 3, 6 and 12 positions, 50000
/// rows of 50 at random: 30.4, 19.5 and 18.1 us; of 21 in a band: 8.0, 6.7 and 6.6 us. 24000 rows
/// of 2400 with 16, 32, 64 and 128 positions beyond a warp: 160, 133, 133 and 123 us (a block a row
/// is mostly start and end); 75000 of 750: 310 and three times 235 us.
inline constexpr MatmulCudaSplits matmul_cuda_single_column{0, 6, 128};

/// Several columns: rows side by side share what they read of X, so short rows stay whole. 16
/// columns (in an earlier version of the kernel), us:
///   2 million rows of 27   whole 526   in 8 parts 1153
///   75000 rows of 750      whole 869   in 8 parts  479
/// Positions beyond a warp, us:
///   64 columns, 16 lanes     64     128    256
///   16000 rows of 160        76.8   70.3   70.3
///   5000 rows of 500         65.3   67.6   77.7
///   16 columns, 4 lanes     128     256    512 or more
///   20000 rows of 2800      894     704    627
///   24000 rows of 2400      430     408    402
inline constexpr MatmulCudaSplits matmul_cuda_columns{48, 16, 2048};

/// Rows are uneven where the longest exceeds the mean this many times and this many positions more.
/// An R-MAT graph of 131 thousand nodes: 18 us by classes of lengths, 93 us by merging tiles of 512
/// rows and positions.
inline constexpr std::int64_t matmul_cuda_uneven_ratio = 4;
inline constexpr std::int64_t matmul_cuda_uneven_positions = 64;

/// Positions of a piece of a long row: the longest row of the last class but one.
inline constexpr std::int64_t matmul_cuda_piece = 4096;

/// Rows and positions of a tile of uneven rows that are multiplied by a single column, and tiles
/// for each multiprocessor below which there are none.
/// An R-MAT graph of 4 million nodes, 57 million edges: 447 us, by classes of lengths 560 us; of
/// 131 thousand nodes: 17.3 and 19.3 us. Even rows are better streamed: 2 million rows of 27 take
/// 143 us that way, 213 us in tiles.
inline constexpr std::int64_t matmul_cuda_tile = 1024;
inline constexpr std::int64_t matmul_cuda_tiles = 4;

/// Mean length beyond which even rows of a single column are not multiplied through shared memory.
/// 75000 rows of 750 at random: 279 us that way, 194 us with a warp a row (in an earlier version).
inline constexpr std::int64_t matmul_cuda_stream_length = 256;

/// Positions that a lane sums from shared memory, and warps for each multiprocessor below which
/// even rows are not multiplied that way. 2 million rows of 27: 145 us, 357 us by 16 lanes a row
/// without (in an earlier version); 500 thousand of 121: 152 and 200 us. A warp has more than one
/// group of rows where that leaves as many warps; us with one, two and four groups:
///   90,000 rows of 5 (stencil)        4.3    4.9    5.9
///   303,000 rows of 5                10.0    9.8    8.2
///   11 million rows of 5              237    190    158
///   2 million rows of 27              146    134    140
///   4 million rows of 21 (band)       192    186    188
///   2 million of 28, 20,000 columns   156    150    151
inline constexpr std::int64_t matmul_cuda_stream_positions = 32;
inline constexpr std::int64_t matmul_cuda_stream_warps = 16;

}  // namespace gossamer::tuning
