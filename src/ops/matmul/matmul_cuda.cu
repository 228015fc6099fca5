// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>

#include "core/message.hpp"
#include "cuda/adjacent_columns.cuh"
#include "cuda/chain.hpp"
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

bool copies_x(const CsrPattern& pattern, const DenseColumns& dense) {
  return dense.x_col_stride != 1 && dense.members == 1 &&
         pays_to_copy(pattern.nnz, pattern.cols, dense.cols);
}

/// Bytes for the sums of pieces, and where the copy of X begins.
std::size_t sums_bytes(const RowSchedule& schedule, const DenseColumns& dense, DType dtype) {
  const std::size_t accumulator = std::max(item_size(dtype), sizeof(float));
  const std::size_t bytes =
      accumulator * static_cast<std::size_t>(schedule.pieces * dense.cols * dense.members);
  return (bytes + 255) / 256 * 256;
}

}  // namespace

std::size_t matmul_workspace(const CsrPattern& pattern, const RowSchedule& schedule,
                             const ArrayView& x, const ArrayView& y) {
  check_matmul_shapes({pattern, x.dtype, nullptr}, x, y);
  const DenseColumns dense = describe(x, y);
  const std::size_t sums = sums_bytes(schedule, dense, y.dtype);
  if (!copies_x(pattern, dense)) return sums;
  return sums + item_size(x.dtype) * static_cast<std::size_t>(pattern.cols * dense.cols);
}

void matmul(const CsrView& a, const RowSchedule& schedule, const ArrayView& x, const ArrayView& y,
            bool conjugate, Workspace workspace, Stream stream, std::optional<bool> overlap) {
  check_matmul_shapes(a, x, y);
  check_workspace(workspace, matmul_workspace(a.pattern, schedule, x, y), "matmul");
  DenseColumns dense = describe(x, y);
  if (a.pattern.rows == 0 || dense.cols == 0 || dense.members == 0) return;
  const DeviceScope scope(stream, "matmul");
  const ChainedProduct chained(stream);
  const bool copies = copies_x(a.pattern, dense);
  if (copies) {
    void* const copy =
        static_cast<std::byte*>(workspace.data) + sums_bytes(schedule, dense, y.dtype);
    copy_rows({{{dense.x, a.pattern.cols, dense.x_row_stride, dense.x_col_stride, copy}, {}}},
              dense.cols, item_size(x.dtype), stream);
    dense.x = copy;
    dense.x_row_stride = dense.cols;
    dense.x_col_stride = 1;
  }
  check_row_stride(a, dense);
  const bool can_overlap = device_properties(stream.device).compute_capability >= 90;
  const Launch launch{stream, can_overlap && !copies && overlap.value_or(chained.follows_product()),
                      can_overlap};
  const bool single = dense.cols == 1 && dense.members == 1;
  if (single && schedule.even && multiply_stream(a, dense, conjugate, launch)) return;
  if (single && schedule.tiles > 0) {
    multiply_tiles(a, schedule, dense, conjugate, workspace, launch);
  } else {
    multiply_rows(a, schedule, dense, conjugate, workspace, launch);
  }
}

}  // namespace gossamer::cuda
