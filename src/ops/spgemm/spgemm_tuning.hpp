// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Products below which everything stays on the calling thread.
inline constexpr std::int64_t spgemm_serial_work = 16'384;

/// Pieces of rows for each thread: enough to even out rows of unequal cost.
inline constexpr std::int64_t spgemm_pieces_per_thread = 16;

/// Products of a row up to which they are sorted even where a window would be narrow.
inline constexpr std::int64_t spgemm_short_row = 8;

/// Columns that a window may always span: its sums and marks stay in a 2 MB L2 cache.
inline constexpr std::int64_t spgemm_window_columns = 131'072;

/// Columns that a wider window may span for each product of its row.
inline constexpr std::int64_t spgemm_window_columns_per_product = 32;

/// Columns of a window for each product up to which its marks are bytes, else bits.
inline constexpr std::int64_t spgemm_byte_columns_per_product = 16;

/// Longest row that is sorted by counting, for each element, the smaller ones; beyond, radix sort.
inline constexpr std::int64_t spgemm_rank_sort = 64;

/// Columns that the table of a masked row may span for each of its products, before it becomes a
/// hash table.
inline constexpr std::int64_t spgemm_masked_columns_per_product = 16;

}  // namespace gossamer::tuning
