// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace gossamer::tuning {

/// Multiply-adds below which a product stays on the calling thread.
inline constexpr std::int64_t packed_serial_work = 32'768;

/// Rounds of pieces of rows, one for each thread, at most: the last are a 64th of the matrix.
inline constexpr std::int64_t packed_rounds = 7;

/// Multiply-adds that a piece is worth. The 210 layers of SmolLM2-135M, half zeros, float32, one
/// vector, two threads, ms: 8'192 12.2, 65'536 11.4, 131'072 11.2.
inline constexpr std::int64_t packed_piece_work = 131'072;

/// Tiles of rows that a piece is worth: each takes all of X through the caches again.
inline constexpr std::int64_t packed_piece_tiles = 2;

/// Sums, as floats, that a piece holds before they are rounded and written: within the L2 cache.
inline constexpr std::int64_t packed_sums_at_once = 32'768;

/// Columns of X that bitmap rows take by expansion in registers; more go through decoded lists.
inline constexpr std::int64_t packed_expanded_columns = 16;

/// Columns of X that gap rows take slot by slot, in parts of so many columns: more go through
/// decoded lists, or through panels where these are decoded. Zen 5, two threads, from memory,
/// bfloat16, gap4, ms:
///   columns                         2      4      16     32     64     128
///   4096 x 4096, 20%    lists              2.56   2.58   3.58   4.01   6.76
///                       slots              0.83   0.91   1.47   3.26   6.28
///   4096 x 11008, 20%   lists                                  10.8   18.4
///                       slots                                  10.4   20.2
///   half zeros          panels      5.17                 6.35
///                       slots       1.79                 3.65
inline constexpr std::size_t packed_gap_columns = 64;
inline constexpr std::size_t packed_gap_columns_at_once = 32;

/// Share of nonzeros from which more columns than these go through decoded panels.
inline constexpr double packed_panel_density = 0.25;

/// Columns that are decoded together. 4096 x 4096, half zeros, float32, read from memory by two
/// threads, each tile of rows decoded by itself, fastest, ms (multiply-adds in registers alone, 342
/// GFLOP/s, would take 12.6 with 128 columns of X):
///   decoded together      128    256    512
///   32 columns of X       7.1    5.0    4.9
///   128 columns of X     16.3   14.9   17.4
inline constexpr std::int64_t packed_panel_columns = 256;

/// Rows whose panels are decoded together, within the L2 cache: one tile after the other they meet
/// packed_block_floats of X, which stay in the L1 cache and are read where they lie.
inline constexpr std::int64_t packed_panel_rows = 96;

/// Sums, as floats, of the rows that meet a panel's part of X block after block: with 128 columns
/// both and a block's panel take 0.4 MB of the L2 cache.
inline constexpr std::int64_t packed_panel_sums = 49'152;

/// Columns of a panel that meet X between two fetches of what the next panel reads: all of it at
/// once would keep the multiply-adds waiting.
inline constexpr std::int64_t packed_panel_step = 64;

/// How many rows of a panel ahead of the one that is expanded are fetched into the L1 cache. Zen 5,
/// one thread, in the cache, times the rate of OpenBLAS (AVX-512) in turns, none and 4: 1536 x 576,
/// float32, 32 columns, half zeros 0.95 and 1.17, 90% 0.87 and 1.07; 128 columns 0.92 and 0.99,
/// 0.89 and 0.97.
inline constexpr std::int64_t packed_rows_ahead = 4;

/// Rows of P that meet X's columns together in transposed products. The same measure, 2048 x 2048,
/// 90%, int8, 96 and 192: 32 columns 1.72 and 1.99, 128 columns 1.05 and 1.14.
inline constexpr std::int64_t packed_transposed_rows = 192;

/// Pieces of P's columns for each thread of a transposed product with panels: a thread that is late
/// leaves some to the others.
inline constexpr std::int64_t packed_transposed_pieces = 2;

/// Rows that bfloat16 tiles multiply at once. 4096 x 4096, half zeros, bfloat16, 128 columns of X,
/// one thread, fastest, ms: 32 17.9, 64 15.6, 96 13.3, 192 13.3, 384 14.2.
inline constexpr std::int64_t packed_tile_rows = 192;

/// Rows that a piece for tiles is worth.
inline constexpr std::int64_t packed_tile_piece_rows = 256;

/// Columns of X that one walk over the matrix serves.
inline constexpr std::size_t packed_columns_at_once = 128;

/// Columns of X up to which bitmap rows are walked two at a time. 8192 x 8192 float32 read from
/// memory by two threads, one vector, ms with one and with two rows: 90% 9.6 and 8.0, a plain read
/// of these bytes 7.3; 4096 x 4096, 50%: 1.33 and 1.21. Two rows with 4 columns, 1.42, are no
/// faster than one.
inline constexpr std::int64_t packed_paired_columns = 2;

/// Floats of X that meet such rows at once: 512 KiB, within the L2 cache.
inline constexpr std::int64_t packed_paired_floats = 131'072;

/// Floats of X that meet rows at once: 32 KiB, within the L1 cache.
inline constexpr std::int64_t packed_block_floats = 8'192;

/// How far ahead of its reads a kernel prefetches; a bitmap kernel that takes X block by block at
/// least one row. Two threads, from memory, ms:
///   4096 x 4096 float32        none   1 KiB   2 KiB   4 KiB   plain read
///   gaps, 5%                   0.26    0.24    0.17    0.16         0.15
///   gaps, 10%                  0.51    0.40    0.36    0.33         0.29
///   bitmap, two rows, 90%      2.46            2.03    2.04
///   x @ P, half zeros, Zen 5   1.64                    0.62
/// and of 11008 x 4096 bfloat16 3.4 without and 1.0 with.
inline constexpr std::int64_t packed_prefetch_bytes = 4096;

/// The same for the bits of a bitmap: 1.95 instead of 2.04 ms.
inline constexpr std::int64_t packed_prefetch_bits = 512;

/// Slots of a row that a block of columns should hold at least, to be worth its start.
inline constexpr double packed_block_slots = 16;

/// Partial results of a transposed product, whatever the number of threads, and the multiply-adds
/// that one is worth. Zen 5, two threads, half zeros, float32, x @ P, µs by 131'072, 65'536 and
/// 32'768: 576 x 576 bitmap 21, 13 and 17, gap4 99, 51 and 63; 1536 x 576 33, 31 and 37, 194, 135
/// and 159.
inline constexpr std::int64_t packed_partials = 8;
inline constexpr std::int64_t packed_partial_work = 65'536;

}  // namespace gossamer::tuning
