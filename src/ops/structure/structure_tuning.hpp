// SPDX-License-Identifier: Apache-2.0
// Measured on a 2-core Xeon (2 MB L2), one thread, CPU time an entry, float32 values and int32
// indices; "random" is 10^7 uniform entries of a 10^6 x 10^6 matrix.
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Entries in a bucket of the counting sort: they and their sorted copy fit the L2 cache. Random,
/// partition + rest: 8192 10.8 + 6.5 ns, 16384 7.5 + 7.4, 32768 6.8 + 7.7, 65536 6.8 + 8.6,
/// 131072 6.4 + 10.1.
inline constexpr std::int64_t sort_bucket_entries = 32'768;

/// Buckets for each of several threads, and pieces of the partition; buckets that would hold fewer
/// entries are not made for their sake. Two threads of a Zen 5, before (as few as fill the cache)
/// and after: 40,000 entries of 20,000 rows 324 and 139 µs, 53,248 of 4096 285 and 159 µs, 100,000
/// of 100,000 2.6 and 1.2 ms. On one thread they cost 20 to 40%.
inline constexpr std::int64_t sort_tasks_per_thread = 4;
inline constexpr std::int64_t sort_least_bucket_entries = 4'096;

/// Buckets of the counting sort: the cache lines being written, three a bucket, fit the L2 cache.
/// Moving an entry takes 3.9 ns with 245 buckets, 5.8 with 977, 9.8 with 1954; without the
/// prefetch 8.4, 8.9 and 10.2.
inline constexpr std::int64_t sort_max_buckets = 2'048;

/// Entries and rows together up to which entries go to their rows at once, on one thread.
/// Transposes of random entries on two threads of a Zen 5, µs by buckets and at once: 16,000 of
/// 3200 rows 80 and 28, 50,000 of 10,000 412 and 99, 200,000 of 40,000 1012 and 795, 400,000 of
/// 80,000 1718 and 1791, 100,000 of 200,000 1078 and 1187, 400,000 of 800,000 3235 and 5473. On one
/// thread, at once takes half the time or less up to 400,000 of 80,000, and 0.9 of it for 400,000
/// of 800,000.
inline constexpr std::int64_t sort_at_once = 300'000;

/// Entries in a piece of the partition, at least: it then outweighs its histogram.
inline constexpr std::int64_t sort_piece_entries = 16'384;

/// Mean length of a run of neighbours that go into one bucket, from which the partition moves whole
/// runs: a band with 1000 entries exchanged is parted in 3.6 ns; entry by
/// entry, then without the prefetch, it took 5.4.
inline constexpr std::int64_t sort_run_length = 4;

/// Positions in a task of a pass that streams over index arrays.
inline constexpr std::int64_t stream_grain = 131'072;

/// Positions of both operands in a task that merges rows, which takes several times as long. Sums
/// on two threads of a Zen 5, in tasks of 131,072 and of these: 2 × 16,000 positions 198 and 73
/// µs, 2 × 40,000 600 and 262 µs, 2 × 53,248 222 and 131 µs.
inline constexpr std::int64_t merge_grain = 16'384;

/// Positions and rows in a task that looks every column up. The first half of the columns on two
/// threads of a Zen 5, in tasks of 4096, these, 65,536 and 131,072: 16,000 positions of 3200 rows
/// 16, 14, 23 and 23 µs, 80,000 of 10,000 57, 56, 56 and 121 µs.
inline constexpr std::int64_t lookup_grain = 16'384;

/// Rows of a matrix of diagonals that are written one diagonal after the other: they stay in the L1
/// cache. `diags` on two threads of a Zen 5, ms by 64, 256, 2048 and all: 20,000 rows of 301
/// diagonals 12.8, 12.7, 17.4 and 26.5, 50,000 of 21 1.0, 1.2, 1.0 and 1.7.
inline constexpr std::int64_t diagonal_rows = 256;

/// Longest row that is sorted by ranking each column against all others, in columns and in vectors.
inline constexpr std::int64_t rank_sort_length = 64;
inline constexpr std::int64_t rank_sort_vectors = 8;

/// Row length from which radix sort takes digits of 11 bits instead of 8.
inline constexpr std::int64_t wide_digit_length = 4'096;

}  // namespace gossamer::tuning
