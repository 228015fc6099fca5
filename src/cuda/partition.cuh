// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::cuda {

/// The segment that holds a position: the last of `segments` that begins at or before it and is not
/// empty. offsets: segments + 1 elements, never decreasing.
template <class I>
__device__ std::int64_t segment_of(const I* offsets, std::int64_t segments, std::int64_t position) {
  std::int64_t first = 0, last = segments;
  while (first < last) {
    const std::int64_t middle = (first + last) / 2;
    if (offsets[middle + 1] > position) {
      last = middle;
    } else {
      first = middle + 1;
    }
  }
  return first;
}

/// The same, found by a whole warp together: a look at 32 offsets at a time.
template <class I>
__device__ std::int64_t segment_by_warp(const I* offsets, std::int64_t segments,
                                        std::int64_t position) {
  std::int64_t first = 0, left = segments;
  while (left > 0) {
    const std::int64_t step = (left + 31) / 32;
    const std::int64_t end = min((threadIdx.x % 32 + 1) * step, left);
    const std::int64_t before = step * __popc(__ballot_sync(~0u, offsets[first + end] <= position));
    first += min(before, left);
    left = before >= left ? 0 : min(step, left - before) - 1;
  }
  return first;
}

/// segment_of for the lanes of a warp, whose positions lie close together, the first lane's before
/// all others and the last lane's behind them.
template <class I>
__device__ std::int64_t segment_in_warp(const I* offsets, std::int64_t segments,
                                        std::int64_t position) {
  const std::int64_t first = segment_by_warp(offsets, segments, __shfl_sync(~0u, position, 0));
  const std::int64_t last =
      first + segment_by_warp(offsets + first, segments - first, __shfl_sync(~0u, position, 31));
  return first + segment_of(offsets + first, last - first, position);
}

}  // namespace gossamer::cuda
