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

}  // namespace gossamer::cuda
