// SPDX-License-Identifier: Apache-2.0
// How values follow a structural operation. Each is the other's gradient. Both throw InvalidDType
// for what is no value or index dtype, and trust the maps and offsets.
#pragma once

#include <cstdint>

#include "gossamer/dtype.hpp"

namespace gossamer {

/// out[i] = values[map[i]], or zero where map[i] is -1. Both arrays are contiguous, of one value
/// dtype, and do not overlap. map: count elements, each below the length of values.
void gather(DType dtype, const void* values, DType index_dtype, const void* map, std::int64_t count,
            void* out);

/// out[s] = sum of values[map[p]] over p in [segments[s], segments[s+1]), in that order, zero where
/// there is none; map may be null (then p itself). segments: count + 1 offsets of index_dtype. out:
/// count elements. 16-bit types sum in float32.
void segment_sum(DType dtype, const void* values, DType index_dtype, const void* map,
                 const void* segments, std::int64_t count, void* out);

}  // namespace gossamer
