// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "device_arrays.hpp"
#include "gossamer/cuda/matmul.hpp"

namespace gossamer::python {

/// A pattern in device memory, and how products deal out its rows. Keeps no array alive.
struct DeviceCsrPattern {
  DeviceCsrPattern(std::int64_t rows, std::int64_t cols, const ArrayView& indptr,
                   const ArrayView& indices) {
    pattern.rows = rows;
    pattern.cols = cols;
    pattern.nnz = indices.shape[0];
    pattern.index_dtype = indices.dtype;
    pattern.indptr = device_vector(indptr, rows + 1, indices.dtype, "indptr");
    pattern.indices = device_vector(indices, pattern.nnz, indices.dtype, "indices");
  }

  CsrView with_values(const ArrayView& values) const {
    return {pattern, values.dtype, device_vector(values, pattern.nnz, values.dtype, "values")};
  }

  CsrPattern pattern;
  cuda::RowSchedule schedule;
};

}  // namespace gossamer::python
