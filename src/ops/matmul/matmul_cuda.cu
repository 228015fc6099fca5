// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/message.hpp"
#include "gossamer/errors.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_cuda.cuh"

namespace gossamer::cuda {
namespace {

/// The dense operands, with as few axes as describe them. Single columns of a batch become columns.
DenseColumns describe(const ArrayView& x, const ArrayView& y) {
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
  if (dense.cols == 1 && dense.axes > 0) {
    const int last = --dense.axes;
    dense.cols = dense.extent[last];
    dense.members /= dense.cols;
    dense.x_col_stride = dense.x_stride[last];
    dense.y_col_stride = dense.y_stride[last];
  }
  return dense;
}

/// Kernels make addresses in X of the index's width.
void check_row_stride(const CsrView& a, const DenseColumns& dense) {
  const std::int64_t bytes = dense.x_row_stride * static_cast<std::int64_t>(item_size(a.dtype));
  if (a.pattern.index_dtype == DType::int32 && bytes != static_cast<std::int32_t>(bytes)) {
    throw InvalidArgument(message("matmul: the rows of X lie ", bytes,
                                  " bytes apart; with int32 indices it must be less than 2^31"));
  }
}

}  // namespace

std::size_t matmul_workspace(const RowSchedule& schedule, const ArrayView& y) {
  std::int64_t columns = 1;
  for (int axis = 0; axis < y.rank; ++axis) {
    if (axis != (y.rank == 1 ? 0 : y.rank - 2)) columns *= y.shape[axis];
  }
  const std::size_t accumulator = std::max<std::size_t>(item_size(y.dtype), sizeof(float));
  return accumulator * static_cast<std::size_t>(schedule.pieces * columns);
}

void matmul(Stream stream, Workspace workspace, const CsrView& a, const RowSchedule& schedule,
            const ArrayView& x, const ArrayView& y, bool conjugate) {
  check_matmul_shapes(a, x, y);
  check_workspace(workspace, matmul_workspace(schedule, y), "matmul");
  const DenseColumns dense = describe(x, y);
  check_row_stride(a, dense);
  if (a.pattern.rows == 0 || dense.cols == 0 || dense.members == 0) return;
  const DeviceScope scope(stream, "matmul");
  const bool single = dense.cols == 1 && dense.members == 1;
  if (single && schedule.even && multiply_stream(stream, a, dense, conjugate)) return;
  multiply_rows(stream, workspace, a, schedule, dense, conjugate);
}

}  // namespace gossamer::cuda
