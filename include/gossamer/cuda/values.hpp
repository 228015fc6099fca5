// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "gossamer/cuda.hpp"
#include "gossamer/dtype.hpp"

namespace gossamer::cuda {

/// out[i] = values[map[i]], or zero where map[i] is -1, as gossamer::gather.
void gather(DType dtype, const void* values, DType index_dtype, const void* map, std::int64_t count,
            void* out, Stream stream);

/// y[i, j] += bias[j] for y (rows, length), C-contiguous.
void add_to_rows(DType dtype, void* y, std::int64_t rows, std::int64_t length, const void* bias,
                 Stream stream);

/// out[s] = sum of values[map[p]] over p in [segments[s], segments[s+1]), as gossamer::segment_sum,
/// in an order that depends on `count` and `length` alone. map may be null. length: the number of
/// values, or of elements of map.
void segment_sum(DType dtype, const void* values, DType index_dtype, const void* map,
                 std::int64_t length, const void* segments, std::int64_t count, void* out,
                 Stream stream);

}  // namespace gossamer::cuda
