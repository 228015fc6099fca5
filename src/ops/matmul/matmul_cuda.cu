// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/message.hpp"
#include "gossamer/errors.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_cuda.cuh"

namespace gossamer::cuda {
namespace {

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

void matmul(const CsrView& a, const RowSchedule& schedule, const ArrayView& x, const ArrayView& y,
            bool conjugate, Workspace workspace, Stream stream) {
  check_matmul_shapes(a, x, y);
  check_workspace(workspace, matmul_workspace(schedule, y), "matmul");
  const DenseColumns dense = describe(x, y);
  check_row_stride(a, dense);
  if (a.pattern.rows == 0 || dense.cols == 0 || dense.members == 0) return;
  const DeviceScope scope(stream, "matmul");
  const bool single = dense.cols == 1 && dense.members == 1;
  if (single && schedule.even && multiply_stream(a, dense, conjugate, stream)) return;
  multiply_rows(a, schedule, dense, conjugate, workspace, stream);
}

}  // namespace gossamer::cuda
