// SPDX-License-Identifier: Apache-2.0
// The row kernels of packed products. Each takes X in float32, laid out as its comment says, and
// adds up in float32.
#pragma once

#include <cstdint>

#include "gossamer/packed.hpp"

namespace gossamer {

/// X as vectors: vector c begins at data + c * stride, 64-byte aligned, zero beyond the matrix's
/// columns up to a multiple of 64. For bitmap_rows the 64 elements of a block are in the order of
/// bitmap_lane_columns.
struct VectorsOfX {
  const float* data;
  std::int64_t stride;
  int count;  ///< 1 to 8
};

/// X as rows: element (j, c) at data[j * width + c], 64-byte aligned, zero from count to width,
/// which is a multiple of 16.
struct RowsOfX {
  const float* data;
  std::int64_t width;
};

/// The column of each lane of a block of 64, in the order in which bitmap_rows expands this type.
const std::uint8_t* bitmap_lane_columns(PackedDType dtype);

/// Sums of rows [begin, end) times each vector: sums[(i - begin) * x.count + c].
void bitmap_rows(const PackedView& packed, const VectorsOfX& x, std::int64_t begin,
                 std::int64_t end, float* sums);

/// The same for a gap format and one vector in plain order.
void gap_rows(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
              float* sums);

/// Sums of rows [begin, end) of any format times X: sums[(i - begin) * x.width + c], 64-byte
/// aligned.
void columns_rows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                  float* sums);

/// Adds the transposed rows [begin, end) times rows [begin, end) of X to y[j * x.width + c].
void columns_transposed(const PackedView& packed, const RowsOfX& x, std::int64_t begin,
                        std::int64_t end, float* y);

/// The same for one vector: adds to y[j]. y is 64-byte aligned, with room for a multiple of 64
/// elements.
void vector_transposed(const PackedView& packed, const float* x, std::int64_t begin,
                       std::int64_t end, float* y);

}  // namespace gossamer
