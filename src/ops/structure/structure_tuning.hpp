// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Entries in a bucket of the counting sort: they and their sorted copy fit a 2 MB L2 cache.
inline constexpr std::int64_t sort_bucket_entries = 32'768;

/// Buckets of the counting sort: the cache lines being written, three a bucket, fit the L2 cache.
inline constexpr std::int64_t sort_max_buckets = 2'048;

/// Entries in a piece of the partition, at least: it then outweighs its histogram.
inline constexpr std::int64_t sort_piece_entries = 65'536;

/// Mean length of a run of neighbours that go into one bucket, from which the partition moves whole
/// runs.
inline constexpr std::int64_t sort_run_length = 4;

/// Positions in a task of a pass that streams over index arrays.
inline constexpr std::int64_t stream_grain = 131'072;

/// Longest row that is sorted by ranking each column against all others, in columns and in vectors.
inline constexpr std::int64_t rank_sort_length = 64;
inline constexpr std::int64_t rank_sort_vectors = 8;

/// Row length from which radix sort takes digits of 11 bits instead of 8.
inline constexpr std::int64_t wide_digit_length = 4'096;

}  // namespace gossamer::tuning
