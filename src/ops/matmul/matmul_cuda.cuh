// SPDX-License-Identifier: Apache-2.0
// What the kernels of matmul share: their operands.
#pragma once

#include "cuda/runtime.hpp"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/matmul.hpp"
#include "ops/matmul/matmul_cuda_tuning.hpp"

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

template <class T, class I>
struct Matrix {
  Matrix(const CsrView& a, bool conjugate)
      : rows(static_cast<I>(a.pattern.rows)),
        indptr(static_cast<const I*>(a.pattern.indptr)),
        indices(static_cast<const I*>(a.pattern.indices)),
        values(static_cast<const T*>(a.values)),
        conjugate(conjugate) {}

  I rows;
  const I* indptr;
  const I* indices;
  const T* values;
  bool conjugate;
};

/// Row `column` of X: one multiply-add of the index's width makes the address.
template <class T, class I>
__device__ __forceinline__ const T* x_row(const T* x, I column, I row_bytes) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(x) +
                                    static_cast<std::int64_t>(column) * row_bytes);
}

/// Bytes from one row of X to the next.
template <class T, class I>
I row_bytes(const DenseColumns& dense) {
  return static_cast<I>(dense.x_row_stride * static_cast<std::int64_t>(sizeof(T)));
}

/// Even rows, one column of any stride. Returns false, and does nothing, where there are too few
/// rows.
bool multiply_stream(Stream stream, const CsrView& a, const DenseColumns& dense, bool conjugate);

/// Any rows, any columns.
void multiply_rows(Stream stream, Workspace workspace, const CsrView& a,
                   const RowSchedule& schedule, const DenseColumns& dense, bool conjugate);

}  // namespace gossamer::cuda
