// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "gossamer/views.hpp"

namespace gossamer::cuda {

/// The dense operands: columns of the members of a batch. Strides count elements.
struct DenseColumns {
  static constexpr int max_axes = ArrayView::max_rank - 2;

  const void* x;
  void* y;
  std::int64_t x_row_stride, x_col_stride, y_row_stride, y_col_stride;
  std::int64_t cols;         ///< columns of one member
  std::int64_t members = 1;  ///< members of the batch
  int axes = 0;              ///< axes of the batch
  std::int64_t extent[max_axes], x_stride[max_axes], y_stride[max_axes];
};

/// X and Y of one member of the batch.
template <class T>
struct Member {
  const T* x;
  T* y;

  __device__ Member(const DenseColumns& dense, std::int64_t member)
      : x(static_cast<const T*>(dense.x)), y(static_cast<T*>(dense.y)) {
    for (int axis = dense.axes - 1; axis >= 0; --axis) {
      const std::int64_t i = axis == 0 ? member : member % dense.extent[axis];
      if (axis > 0) member /= dense.extent[axis];
      x += i * dense.x_stride[axis];
      y += i * dense.y_stride[axis];
    }
  }
};

/// The dense operands, with as few axes as describe them. Members of a batch that lie as further
/// columns would become columns, as do those of a single one.
inline DenseColumns describe(const ArrayView& x, const ArrayView& y) {
  DenseColumns dense;
  const int row_axis = x.rank == 1 ? 0 : x.rank - 2;
  dense.x = x.data;
  dense.y = y.data;
  dense.x_row_stride = x.strides[row_axis];
  dense.y_row_stride = y.strides[row_axis];
  dense.cols = x.rank == 1 ? 1 : x.shape[row_axis + 1];
  dense.x_col_stride = x.rank == 1 ? 1 : x.strides[row_axis + 1];
  dense.y_col_stride = x.rank == 1 ? 1 : y.strides[row_axis + 1];
  for (int axis = 0; axis < row_axis; ++axis) {
    const std::int64_t extent = x.shape[axis];
    dense.members *= extent;
    if (extent == 1) continue;
    const int before = dense.axes - 1;
    if (before >= 0 && dense.x_stride[before] == extent * x.strides[axis] &&
        dense.y_stride[before] == extent * y.strides[axis]) {
      dense.extent[before] *= extent;
    } else {
      dense.extent[dense.axes++] = extent;
    }
    dense.x_stride[dense.axes - 1] = x.strides[axis];
    dense.y_stride[dense.axes - 1] = y.strides[axis];
  }
  while (dense.axes > 0 && dense.members > 0) {
    const int last = dense.axes - 1;
    if (dense.cols == 1) {
      dense.x_col_stride = dense.x_stride[last];
      dense.y_col_stride = dense.y_stride[last];
    } else if (dense.x_stride[last] != dense.cols * dense.x_col_stride ||
               dense.y_stride[last] != dense.cols * dense.y_col_stride) {
      break;
    }
    dense.cols *= dense.extent[last];
    dense.members /= dense.extent[last];
    dense.axes = last;
  }
  return dense;
}

/// Whether `width` neighbouring columns of a dense operand can be taken at once, in every row and
/// member. batch_strides: one for each of the operands' axes.
inline bool is_aligned(const DenseColumns& dense, const void* data, std::int64_t row_stride,
                       std::int64_t col_stride, const std::int64_t* batch_strides,
                       std::size_t width, std::size_t item) {
  const auto fits = [&](std::int64_t n) { return n % static_cast<std::int64_t>(width) == 0; };
  return col_stride == 1 && fits(dense.cols) && fits(row_stride) &&
         reinterpret_cast<std::uintptr_t>(data) % (width * item) == 0 &&
         std::all_of(batch_strides, batch_strides + dense.axes, fits);
}
inline bool x_is_aligned(const DenseColumns& dense, std::size_t width, std::size_t item) {
  return is_aligned(dense, dense.x, dense.x_row_stride, dense.x_col_stride, dense.x_stride, width,
                    item);
}
inline bool y_is_aligned(const DenseColumns& dense, std::size_t width, std::size_t item) {
  return is_aligned(dense, dense.y, dense.y_row_stride, dense.y_col_stride, dense.y_stride, width,
                    item);
}

}  // namespace gossamer::cuda
