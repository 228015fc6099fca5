// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "gossamer/views.hpp"

namespace gossamer {

/// Rows or columns whose elements are tested at once, one bit each.
inline constexpr std::int64_t dense_block = 64;

/// Counts the elements of the rows [first, last) with |x| > threshold; counts: one a row, of the
/// index dtype.
void count_dense_rows(const ArrayView& dense, double threshold, std::int64_t first,
                      std::int64_t last, DType index_dtype, void* counts);

/// Writes the columns and values of these elements from indptr's offsets on.
void fill_dense_rows(const ArrayView& dense, double threshold, std::int64_t first,
                     std::int64_t last, DType index_dtype, const void* indptr, void* indices,
                     void* values);

}  // namespace gossamer
