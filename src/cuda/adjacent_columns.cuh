// SPDX-License-Identifier: Apache-2.0
// Dense operands whose columns are strided, copied so that each row's elements are neighbours: a
// kernel that gathers rows would pay a sector of memory for each element.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cuda/runtime.hpp"

namespace gossamer::cuda {

/// Rows of a matrix, or of each member of a batch, wherever they are, and C-contiguous memory for
/// them. Strides count elements.
struct RowsToCopy {
  const void* from;
  std::int64_t rows, row_stride, col_stride;
  void* to;
  std::int64_t members = 1, member_stride = 0;
};

/// Whether copies pay: `positions` gathers of `cols` elements each from `rows` rows. Below, a copy
/// takes the 2 us that it saves. H200, float32, us with strided columns / with copies:
///   matmul   4096 x 4096, 41 a row    8 columns    8.9 / 5.9
///                                    64 columns   29   / 12.6
///            4096 x 4096, 4 a row    64 columns    7.4 / 6.8
///            8192 x 8192, 8 a row    16 columns    9.2 / 5.5
///   sddmm    4096 x 4096, 4 a row    64 columns   16.8 / 11.8
///            8192 x 8192, 8 a row    64 columns   44   / 14.5
inline bool pays_to_copy(std::int64_t positions, std::int64_t rows, std::int64_t cols) {
  return cols > 1 && positions >= rows && positions * cols >= 1 << 20;
}

/// Makes the copies of matrices of `cols` columns, elements of `item` bytes (2, 4, 8 or 16); rows
/// of 0 leave one out.
void copy_rows(const std::array<RowsToCopy, 2>& matrices, std::int64_t cols, std::size_t item,
               Stream stream);

}  // namespace gossamer::cuda
