// SPDX-License-Identifier: Apache-2.0
// What the kernels of matmul share: their operands.
#pragma once

#include "cuda/dense_columns.cuh"
#include "cuda/runtime.hpp"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/matmul.hpp"
#include "ops/matmul/matmul_cuda_tuning.hpp"

namespace gossamer::cuda {

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
bool multiply_stream(const CsrView& a, const DenseColumns& dense, bool conjugate, Stream stream);

/// Any rows, any columns.
void multiply_rows(const CsrView& a, const RowSchedule& schedule, const DenseColumns& dense,
                   bool conjugate, Workspace workspace, Stream stream);

}  // namespace gossamer::cuda
