// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <utility>

#include "core/message.hpp"
#include "cuda/adjacent_columns.cuh"
#include "cuda/chain.hpp"
#include "gossamer/cuda/values.hpp"
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

std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Bytes for the sums of pieces, behind which moved values lie, and then the copy of X.
std::size_t sums_bytes(const RowSchedule& schedule, const DenseColumns& dense, DType dtype) {
  const std::size_t accumulator = std::max(item_size(dtype), sizeof(float));
  const std::size_t bytes =
      accumulator * static_cast<std::size_t>(schedule.pieces * dense.cols * dense.members);
  return padded(bytes);
}

/// Bytes for the values in the order of the pattern. Where there is one column kernels read them
/// through the map, each once. us with and without, in a graph on an H200: 2 million columns of 27
/// 1470 and 1666, a power law's million 649 and 750.
std::size_t moved_bytes(const CsrPattern& pattern, const DenseColumns& dense, DType dtype,
                        bool mapped) {
  if (!mapped || dense.cols * dense.members == 1) return 0;
  return padded(item_size(dtype) * static_cast<std::size_t>(pattern.nnz));
}

}  // namespace

std::size_t matmul_workspace(const CsrPattern& pattern, const RowSchedule& schedule,
                             const ArrayView& x, const ArrayView& y, bool mapped) {
  check_matmul_shapes({pattern, x.dtype, nullptr}, x, y);
  const DenseColumns dense = describe(x, y);
  const std::size_t before =
      sums_bytes(schedule, dense, y.dtype) + moved_bytes(pattern, dense, x.dtype, mapped);
  if (!copies_x(pattern, dense)) return before;
  return before + item_size(x.dtype) * static_cast<std::size_t>(pattern.cols * dense.cols);
}

void matmul(const CsrView& given, const RowSchedule& schedule, const ArrayView& x,
            const ArrayView& y, bool conjugate, Workspace workspace, Stream stream,
            std::optional<bool> overlap, const void* map, const void* bias) {
  check_matmul_shapes(given, x, y);
  check_workspace(workspace, matmul_workspace(given.pattern, schedule, x, y, map != nullptr),
                  "matmul");
  DenseColumns dense = describe(x, y);
  if (bias != nullptr && given.pattern.rows > 1 && dense.y_row_stride != 1) {
    throw InvalidArgument(message("matmul: the rows of Y lie ", dense.y_row_stride,
                                  " elements apart; with a bias they must lie next to each other"));
  }
  if (given.pattern.rows == 0 || dense.cols == 0 || dense.members == 0) return;
  const DeviceScope scope(stream, "matmul");
  const ChainedProduct chained(stream);
  CsrView a = given;
  auto* scratch = static_cast<std::byte*>(workspace.data) + sums_bytes(schedule, dense, y.dtype);
  const std::size_t moved = moved_bytes(a.pattern, dense, a.dtype, map != nullptr);
  if (moved > 0) {
    gather(a.dtype, a.values, a.pattern.index_dtype, map, a.pattern.nnz, scratch, stream);
    a.values = std::exchange(scratch, scratch + moved);
    map = nullptr;
  }
  const bool copies = copies_x(a.pattern, dense);
  if (copies) {
    copy_rows({{{dense.x, a.pattern.cols, dense.x_row_stride, dense.x_col_stride, scratch}, {}}},
              dense.cols, item_size(x.dtype), stream);
    dense.x = scratch;
    dense.x_row_stride = dense.cols;
    dense.x_col_stride = 1;
  }
  check_row_stride(a, dense);
  const bool can_overlap = device_properties(stream.device).compute_capability >= 90;
  const bool is_first = !copies && moved == 0;
  const Launch launch{
      stream, can_overlap && is_first && overlap.value_or(chained.follows_product()), can_overlap};
  const Operand plain{a, map, nullptr, conjugate};
  const bool single = dense.cols == 1 && dense.members == 1;
  bool done = single && schedule.even && multiply_stream(plain, dense, launch);
  if (!done && single && schedule.tiles > 0) {
    multiply_tiles(plain, schedule, dense, workspace, launch);
    done = true;
  }
  if (!done) {
    multiply_rows({a, map, bias, conjugate}, schedule, dense, workspace, launch);
  } else if (bias != nullptr) {  // within those kernels it took them up to a tenth longer
    add_to_rows(y.dtype, y.data, 1, a.pattern.rows, bias, stream);
  }
}

}  // namespace gossamer::cuda
