// SPDX-License-Identifier: Apache-2.0
// The dense operands of packed products: X as floats in the order of a kernel, sums rounded into Y.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "ops/packed_matmul/aligned_floats.hpp"
#include "ops/packed_matmul/packed_matmul.hpp"

namespace gossamer {

/// Some columns of X as floats, in the order that a kernel wants.
///
/// Kernels multiply what a zero slot meets, so an infinite or NaN element is loaded as zero and its
/// column named in `not_finite`, to be computed again slot by slot.
struct LoadedX {
  AlignedFloats data;
  std::vector<std::size_t> not_finite;
};

/// Columns [first, first + count) of X as RowsOfX has them, zero up to `width` columns.
LoadedX load_rows(const PackedMatmulOperand& x, std::size_t first, std::size_t count,
                  std::int64_t width);

/// Columns [first, first + count) of X as ColumnsOfX has them, `stride` apart, zero up to `width`
/// columns.
LoadedX load_columns(const PackedMatmulOperand& x, std::size_t first, std::size_t count,
                     std::int64_t width, std::int64_t stride);

/// Columns [first, first + count) of X if they lie as RowsOfX has them but for alignment, else
/// null.
const float* floats_in_place(const PackedMatmulOperand& x, std::size_t first, std::size_t count);

/// Which of columns [first, first + count) of X hold infinities or NaN, given that Y's first row
/// shows them.
std::vector<std::size_t> not_finite_columns(const PackedMatmulOperand& x,
                                            const PackedMatmulOperand& y, std::size_t first,
                                            std::size_t count);

/// Columns [first, first + count) of X as VectorsOfX has them, with element j of each 64 at place
/// lanes[j], or in plain order without `lanes`.
LoadedX load_vectors(const PackedMatmulOperand& x, std::size_t first, std::size_t count,
                     std::int64_t width, const std::uint8_t* lanes);

/// Some rows of X as floats: element (j, c) at data[j * row_stride + c * column_stride].
struct BlockOfX {
  const float* data;
  std::int64_t row_stride, column_stride;
};

/// Rows of X in a BlockOfX, and of P's columns in a block of VectorsOfX.
inline constexpr std::int64_t x_block_rows = 64;

/// Calls put(j, rows, block) on all threads with each x_block_rows rows of columns
/// [first, first + count) of X from row j on, not finite elements as zero. Returns the columns that
/// have some.
std::vector<std::size_t> load_blocks(
    const PackedMatmulOperand& x, std::size_t first, std::size_t count,
    const std::function<void(std::int64_t j, std::int64_t rows, const BlockOfX& block)>& put);

/// Rounds sums[c * stride + i - begin] into rows [begin, end) of columns [first, first + count) of
/// Y.
void store_columns(const PackedMatmulOperand& y, std::int64_t begin, std::int64_t end,
                   std::size_t first, std::size_t count, const float* sums, std::int64_t stride);

/// Rounds sums[r * width + c] into rows [begin, end) of columns [first, first + count) of Y.
void store_sums(const PackedMatmulOperand& y, std::int64_t begin, std::int64_t end,
                std::size_t first, std::size_t count, const float* sums, std::int64_t width);

}  // namespace gossamer
