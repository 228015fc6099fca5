// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "gossamer/values.hpp"

namespace gossamer::reference {

/// The obvious loops, summing in double (long double for 64-bit types): what gather and segment_sum
/// are tested against.
void gather(DType dtype, const void* values, DType index_dtype, const void* map, std::int64_t count,
            void* out);
void segment_sum(DType dtype, const void* values, DType index_dtype, const void* map,
                 const void* segments, std::int64_t count, void* out);

}  // namespace gossamer::reference
