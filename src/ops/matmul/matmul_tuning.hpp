// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Multiply-adds below which a product stays on the calling thread. 256 rows of 9 times 16 columns
/// take 6.4 (float32) and 8.2 µs (float64) alone, 7.0 and 9.2 on two threads of an Emerald Rapids;
/// 3.8 and 4.7, 5.7 and 6.0 on a Zen 5.
inline constexpr std::int64_t matmul_serial_work = 65'536;

/// The same for one vector: 4000 rows of 4 take 17.0 (float32) and 19.9 µs (float64) alone, 14.2
/// and 16.1 on two threads.
inline constexpr std::int64_t matmul_serial_vector_work = 16'384;

/// Pieces of rows for each thread: enough to even out rows of unequal cost ...
inline constexpr std::int64_t matmul_pieces_per_thread = 8;

/// ... but none of fewer multiply-adds: where rows are cut is searched for. Zen 5, two threads, µs
/// with 8 pieces a thread and with one: stencil of 1024 rows times 16 columns float32 3.3 and 2.9,
/// times 64 float64 9.5 and 9.0; 4000 rows of 4 times 16 float32 9.4 and 9.0.
inline constexpr std::int64_t matmul_piece_work = 131'072;

/// Positions of a row up to which one thread sums it, and the share of all positions that one row
/// may have however large the matrix is.
inline constexpr std::int64_t matmul_long_row = 65'536;
inline constexpr std::int64_t matmul_long_row_share = 32;

/// Columns, over all members of a batch, beyond which a piece of A is walked more than once ...
inline constexpr std::int64_t matmul_single_pass_columns = 8;

/// ... and the rows and nonzeros of such a piece, which then stays in the L2 cache.
inline constexpr std::int64_t matmul_piece_cost = 65'536;

/// Rows that are multiplied by one block of columns before the next block.
inline constexpr std::int64_t matmul_row_group = 8;

/// Bytes that values and indices of a single-vector product are asked for ahead of their use. On a
/// Xeon of the Emerald Rapids kind, one thread, matrices beyond the cache: 5 diagonals float32 28.0
/// ms without, 22.1 ms with 1 KiB, 20.9 ms with 4 KiB; float64 41.5, 34.2, 32.6 ms; 1e6×1e6 with 20
/// a row, float32 62.3, 40.9, 44.6 ms.
inline constexpr int matmul_stream_ahead = 2048;

/// The same where elements of x are loaded one by one. On a Zen 5, one thread, ns a product with 1,
/// 2 and 4 KiB: 21 spins float32 0.71, 0.45, 0.44, float64 0.64, 0.57, 0.51; rows of 750 float32
/// 0.48, 0.41, 0.39, float64 0.60, 0.51, 0.47.
inline constexpr int matmul_loads_ahead = 4096;

/// Bytes of x up to which long rows go panel by panel, of a panel's values and indices (the next
/// panel has its place in the level-2 cache too), and its rows at most. Zen 5, one thread, ns a
/// product:
///   positions a row, columns   row by row   panels
///   750, 75,000     float32          0.40     0.35 (96 KiB 0.39, 288 KiB 0.38)
///   2000, 100,000   float32          0.36     0.33
///   2000, 125,000   float32          0.37     0.37
///   1500, 75,000    float64          0.47     0.49
inline constexpr std::int64_t matmul_panel_x = 400'000;
inline constexpr std::int64_t matmul_panel_bytes = 176 << 10;
inline constexpr std::int64_t matmul_panel_rows = 64;

/// Bytes of x in a block of columns, and at most where rows would else have less than so many
/// positions in a block. The same measure:
///   2400, 24,000   float32   3 to 8 blocks    0.30, 0.27, 0.27, 0.27, 0.27
///   750, 75,000    float32   5 to 10 blocks   0.39, 0.36, 0.35, 0.35, 0.35, 0.36
///   600, 48,000    float64   7 of 55 KB       0.49 (row by row 0.45)
inline constexpr std::int64_t matmul_panel_block = 24 << 10;
inline constexpr std::int64_t matmul_panel_block_most = 40 << 10;
inline constexpr std::int64_t matmul_panel_piece = 80;

/// Blocks from which that pays: rows of 160 in 16,000 columns float32 0.33, with two blocks 0.36.
inline constexpr std::int64_t matmul_panel_blocks = 3;

/// Positions a row for each cache line of x up to which it pays: with 2.4 and 3.2 float32 0.29 and
/// 0.26, 0.26 and 0.27; with 1.6 and 2.4 float64 0.39 and 0.38, 0.36 and 0.40.
inline constexpr std::int64_t matmul_panel_line = 2;

/// The same bytes ahead where rows are taken a vector of them at a time: 21 diagonals float32, one
/// thread, 50.4 ms without, 36.6 ms with 2 KiB, 35.1 ms with 4 KiB; 5 diagonals 34.0, 25.5, 22.7
/// ms.
inline constexpr int matmul_run_ahead = 4096;

/// Positions of A whose blocks of X are asked for ahead; twice as many where a block is two lines
/// or less. That Xeon, 8000 rows of X not aligned to cache lines, ms:
///   64 columns   none 18.5   4 ahead 16.2   16 ahead 15.5
///   16 columns   none  6.7   8 ahead  4.5   32 ahead  4.4
/// With the last line of a block that straddles lines, Zen 5, two threads, 16 columns float64, µs
/// (three more within 7%):
///   2000 rows of 20 in 20,000 columns     38.4   32.8
///   power-law graph of 131,000 rows       3640   3240
///   100,000 rows of 1                      648    472
inline constexpr int matmul_blocks_ahead = 16;

/// Bytes of X up to which its blocks are not asked for ahead, where the processor hides the latency
/// of its L2 cache. Zen 5, one thread, µs with and without: spin chain of 12 times 16 columns
/// float32 (X of 256 KiB) 46 and 33, 500 rows of 50 float32 17 and 13; 2000 rows of 20 in 20,000
/// columns float64 (X of 2.5 MB) 72 and 85.
inline constexpr std::int64_t matmul_near_x = 1 << 20;

/// Vectors of a block from which rows of X that straddle cache lines are always read line by line,
/// and not just where X is near. Zen 5, one thread, µs: spin chain of 12 times 64 columns float64
/// 238 and 151 so, five-point stencil of 1024 rows 25 and 14; but that of 250,000 rows times 16
/// columns (two vectors) 3700 and 4600.
inline constexpr int matmul_shifted_vectors = 4;

/// Bytes of X up to which runs of rows do so too, by blocks of as many vectors. Zen 5, two threads,
/// µs, times 64 columns, line by line and not:
///
///     4096 rows of 27, float32 (X of 1 MiB)      61    73
///     4096 rows of 27, float64 (2 MiB)          139   176
///     50,000 rows of 21, float32 (12 MiB)       670   526
///     50,000 rows of 21, float64 (24 MiB)      3375  2836
inline constexpr std::int64_t matmul_shifted_run_x = 4 << 20;

/// Positions of A for each cache line of X and thread from which every thread copies X, of
/// matmul_near_x at most, to lines, where rows form no runs. Zen 5, two threads, X 16 bytes past a
/// line, µs as it lies and copied:
///   2000 rows of 20, 16 columns   float32   16.4   12.9
///   500 rows of 50, 16 columns    float32    7.5    6.1
///                                 float64   11.1    9.4
///   500 rows of 50, 64 columns    float32   19.6   18.5
///   below: 12 spins, 16 columns   float64   29.2   31.5
///   2000 rows of 20, 64 columns   float32   37.1   40.2
inline constexpr std::int64_t matmul_aligned_reads = 5;

/// Bytes of a result that is written past the caches where its rows are whole cache lines. Written
/// by two threads, 64 MiB that were written before: 0.072 ns a byte through the caches, 0.024 past
/// them.
inline constexpr std::int64_t matmul_streamed_result = 32 << 20;

/// Columns of a run, and stretches of them side by side, up to which its rows are taken together.
inline constexpr int matmul_run_columns = 512;
inline constexpr int matmul_run_stretches = 64;

/// Columns that a run's stretches must hold on the average for its rows to be taken together with
/// several columns of X: rows then share most of what they load. One thread, float64, µs row by row
/// and in runs: five-point stencil of 1024 rows (stretches of 1, 3 and 1) times 64 columns 29 and
/// 36; 27 points, 4096 rows (stretches of 3) times 16 columns 120 and 98.
inline constexpr int matmul_run_stretch = 2;

/// Columns of a member, and positions a row times columns, from which strided columns are copied to
/// be neighbours: they cost a cache line for each element that is gathered, the copies a pass over
/// X and Y. Two threads of a Xeon, float32, µs without / with copies, n×n matrices:
///   n, a row       4 columns     8             16          64
///   1024, 10       14.8 / 19.2   26 / 29                   187 / 91
///   4096, 4        50 / 58                     151 / 101   436 / 360
///   20,000, 4                    335 / 299                 3771 / 1710
///   200,000, 4                   8487 / 4193
inline constexpr std::int64_t matmul_copied_columns_least = 4;
inline constexpr std::int64_t matmul_copied_reads_least = 32;

/// Bytes of X that are copied at once: whole cache lines of columns that stay within the first;
/// else one line of them, or half or a quarter of it, within the second; X is not copied where not
/// even four columns do. Zen 5, two threads, ms, X of 64 columns in Fortran order:
///   columns at once               64     32    16     8     4
///   65,536 rows of 8    float32    2.8   2.0   2.5   2.8   3.8
///                       float64   15.5   5.9   4.4   5.5   5.8
///   200,000 rows of 5   float32   35     16    16    12    16
///                       float64   48     36    20    24    23
/// Two million rows of 5 times 16 columns float64, 16, 8, 4, 2, 1 at once and not copied: 130, 132,
/// 194, 326, 316, 337.
inline constexpr std::int64_t matmul_copied_bytes = 8 << 20;
inline constexpr std::int64_t matmul_copied_bytes_most = 64 << 20;

/// Scratch of a thread in which rows of strided columns of Y are neighbours, and columns of it at
/// most, a multiple of all blocks. Zen 5, two threads, ms with 16, 32 and 64 KiB: 65,536 rows of 8
/// times 64 columns float32 5.1, 4.8, 4.5; 20,000 rows of 4 times 64 0.60, 0.52, 0.54.
inline constexpr std::int64_t matmul_scratch_bytes = 32 << 10;
inline constexpr std::int64_t matmul_scratch_columns = 256;

}  // namespace gossamer::tuning
