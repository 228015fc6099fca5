// SPDX-License-Identifier: Apache-2.0
// Packing reads any source as rows of nonzeros.
#pragma once

#include <cstdint>
#include <vector>

#include "gossamer/views.hpp"

namespace gossamer {

/// The kept elements of one row: ascending columns and their values, and the row's bitmap.
struct RowNonzeros {
  explicit RowNonzeros(std::int64_t cols);

  std::int64_t count = 0;
  std::vector<std::int32_t> columns;
  std::vector<float> values;
  std::vector<std::uint8_t> bits;
};

/// Finds the elements of a contiguous row of float32, float16 or bfloat16 with |x| > threshold, NaN
/// included.
void compact_row(DType dtype, const void* row, std::int64_t cols, float threshold,
                 RowNonzeros& nonzeros);

}  // namespace gossamer
