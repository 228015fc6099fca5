// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Products below which everything stays on the calling thread. A five-point stencil of 1024 rows
/// has 22,600: 60 µs on one thread, 46 µs on two of a Zen 5.
inline constexpr std::int64_t spgemm_serial_work = 16'384;

/// Pieces of rows for each thread: enough to even out rows of unequal cost.
inline constexpr std::int64_t spgemm_pieces_per_thread = 16;

/// Products of a row up to which they are always sorted in a group of rows.
inline constexpr std::int64_t spgemm_short_row = 16;

/// Columns for each product from which longer rows are scattered and sorted too, as far as a group
/// holds them.
inline constexpr std::int64_t spgemm_scattered_columns_per_product = 16;

/// Rows from one look at how scattered they are to the next.
inline constexpr std::int64_t spgemm_rows_alike = 32;

/// Products from which a row is compared with earlier ones that it may repeat: shorter ones are
/// sorted as quickly.
inline constexpr std::int64_t spgemm_repeat_products = 6;

/// Earlier rows that a row may be compared with. Between two grids rows have four parities, and a
/// few shapes of their own near each end of a line.
inline constexpr std::int64_t spgemm_row_shapes = 8;

/// Rows that repeat are summed in steps of whole vectors if that takes few steps, or one for so
/// many products. Zen 5, one thread, ms:
///                                         products a step   by products   in steps
///   stencil of 250,000 rows     float32   5.0 (5 steps)            12.2       10.2
///   times an interpolation      float32   1.8                       9.6        8.7
///   finite elements, 4096 rows  float32   4.5                      1.54       1.33
///                               float64   2.4                      1.56       1.71
inline constexpr std::int64_t spgemm_few_steps = 16, spgemm_products_per_step = 4;

/// Rows in succession that repeat none before the search pauses, and for how many rows.
inline constexpr std::int64_t spgemm_repeat_misses = 8;
inline constexpr std::int64_t spgemm_repeat_rows_skipped = 256;

/// Products from which a row that fills its span is quicker summed in a window than as a repeat.
inline constexpr std::int64_t spgemm_contiguous_products = 64;

/// Columns that a window may always span: its sums and marks stay in a 2 MB L2 cache.
inline constexpr std::int64_t spgemm_window_columns = 131'072;

/// Columns that a wider window may span for each product of its row.
inline constexpr std::int64_t spgemm_window_columns_per_product = 32;

/// Columns of B for each product up to which a row with gaps is taken to span them all. Zen 5, one
/// thread, columns looked at and not, µs: 12 spins float32 1168 and 1073, float64 1094 and 1008;
/// 4096 rows of 13 at random 1783 and 1750, 1885 and 1830.
inline constexpr std::int64_t spgemm_spread_columns_per_product = 32;

/// Columns of a window for each product up to which its marks are bytes, else bits.
inline constexpr std::int64_t spgemm_byte_columns_per_product = 16;

/// Bytes of a result from which it is copied past the caches, whose lines would be read first. Zen
/// 5, product of 2000 rows of 20 at random, float64 (8.7 MB), and a product with a vector after it,
/// two threads, µs: 1833, past the caches 1683; of 12 spins (3.9 MB) 816 and 855.
inline constexpr std::int64_t spgemm_streamed_bytes = 8 << 20;

/// Columns of C up to which the first phase counts in a table of them, one byte each.
inline constexpr std::int64_t spgemm_table_columns = 131'072;

/// Columns of that table for each product of an average row: it is cleared every 255 rows.
inline constexpr std::int64_t spgemm_table_columns_per_product = 8'192;

/// Positions and rows of B beyond which its rows are prefetched: the L2 cache holds no more.
inline constexpr std::int64_t spgemm_cached_positions = 65'536;

/// Entries of A from a row's prefetch to its use; its offsets are fetched twice as early.
inline constexpr std::int64_t spgemm_prefetch_entries = 16;

/// Columns that the table of a masked row may span for each of its products, before it becomes a
/// hash table.
inline constexpr std::int64_t spgemm_masked_columns_per_product = 16;

}  // namespace gossamer::tuning
