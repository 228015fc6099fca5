// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "core/message.hpp"
#include "cuda/adjacent_columns.cuh"
#include "cuda/chain.hpp"
#include "gossamer/cuda/packed.hpp"
#include "gossamer/errors.hpp"
#include "ops/packed_matmul/cuda/delta_rows_matvec.hpp"
#include "ops/packed_matmul/cuda/vectors.hpp"

namespace gossamer::cuda {

std::int64_t check_vectors(const ArrayView& x, const ArrayView& y, std::int64_t rows,
                           std::int64_t cols) {
  const auto fits = [](const ArrayView& a, std::int64_t length) {
    return a.rank == 2 && a.shape[1] == length && (a.shape[1] < 2 || a.strides[1] == 1) &&
           (a.shape[0] < 2 || a.strides[0] == length);
  };
  if (!fits(x, cols) || !fits(y, rows) || x.shape[0] != y.shape[0]) {
    throw InvalidArgument(message(
        "packed_matmul: X has shape (", x.shape[0], ", ", x.shape[1], ") and Y (", y.shape[0], ", ",
        y.shape[1], "); both must be C-contiguous, X (k, ", cols, ") and Y (k, ", rows, ")"));
  }
  if (x.dtype != y.dtype) {
    throw InvalidDType(message("packed_matmul: X is ", name(x.dtype), " and Y ", name(y.dtype),
                               "; both must have one dtype"));
  }
  return x.shape[0];
}

namespace {

/// Whether the columns of X (b, n, k) follow each other in memory.
bool lies_as_rows(const ArrayView& x) {
  const std::int64_t inputs = x.shape[1], cols = x.shape[2];
  return (inputs < 2 || x.strides[1] == 1) && (cols < 2 || x.strides[2] == inputs) &&
         (x.shape[0] < 2 || x.strides[0] == inputs * cols);
}

/// Their lengths along the axis of the matrix are left to check_vectors.
void check_columns(const ArrayView& x, const ArrayView& y) {
  const std::int64_t outputs = y.shape[1], cols = y.shape[2];
  const bool in_order = (cols < 2 || y.strides[2] == 1) && (outputs < 2 || y.strides[1] == cols) &&
                        (y.shape[0] < 2 || y.strides[0] == outputs * cols);
  if (x.rank != 3 || y.rank != 3 || x.shape[0] != y.shape[0] || x.shape[2] != cols || !in_order) {
    throw InvalidArgument(message("packed_matmul: X has rank ", x.rank, " and shape (", x.shape[0],
                                  ", ", x.shape[1], ", ", x.shape[2], "), Y rank ", y.rank, ", (",
                                  y.shape[0], ", ", outputs, ", ", cols,
                                  "); they must be (b, n, k) and (b, m, k), Y C-contiguous"));
  }
}

}  // namespace

void check_dense(const ArrayView& dense, std::int64_t rows, std::int64_t cols) {
  if (dense.rank != 2 || dense.shape[0] != rows || dense.shape[1] != cols) {
    throw InvalidArgument(message("unpack: dense has rank ", dense.rank, " and shape (",
                                  dense.shape[0], ", ", dense.shape[1], ", ...); it must be (",
                                  rows, ", ", cols, ")"));
  }
}

void matmul(const Arrangement& a, const ArrayView& x, const ArrayView& y, Workspace workspace,
            Stream stream, std::optional<bool> overlap, const void* bias) {
  if (overlap) return a.matmul(x, y, workspace, stream, *overlap, bias);
  const ChainedProduct chained(stream);
  a.matmul(x, y, workspace, stream, chained.follows_product(), bias);
}

void matmul_columns(const Arrangement& a, const ArrayView& x, const ArrayView& y, Workspace scratch,
                    Workspace workspace, Stream stream, std::optional<bool> overlap) {
  check_columns(x, y);
  const std::int64_t members = x.shape[0], inputs = x.shape[1], cols = x.shape[2],
                     outputs = y.shape[1];
  const std::size_t item = item_size(x.dtype);
  const std::size_t x_bytes = item * static_cast<std::size_t>(members * cols * inputs);
  const std::size_t y_bytes = item * static_cast<std::size_t>(members * cols * outputs);
  check_workspace(scratch, x_bytes + y_bytes, "packed_matmul");
  const DeviceScope scope(stream, "packed_matmul");
  ArrayView rows = ArrayView::contiguous(scratch.data, x.dtype, {members * cols, inputs});
  const bool is_copied = !lies_as_rows(x);
  if (is_copied) {
    copy_rows({{{x.data, cols, x.strides[2], x.strides[1], rows.data, members, x.strides[0]}, {}}},
              inputs, item, stream);
  } else {
    rows.data = x.data;
  }
  const ArrayView sums = ArrayView::contiguous(static_cast<std::byte*>(scratch.data) + x_bytes,
                                               y.dtype, {members * cols, outputs});
  matmul(a, rows, sums, workspace, stream, overlap);
  copy_rows({{{sums.data, outputs, 1, outputs, y.data, members, cols * outputs}, {}}}, cols, item,
            stream);
}

namespace delta_rows {

cudaError_t matvec(PackedDType values, DType vectors, const Launch& launch) {
  using enum PackedDType;
  const auto is = [&](PackedDType v, DType x) { return values == v && vectors == x; };
  if (is(float32, DType::float32)) return matvec<float, float>(launch);
  if (is(float16, DType::float16)) return matvec<__half, __half>(launch);
  if (is(float16, DType::float32)) return matvec<__half, float>(launch);
  if (is(bfloat16, DType::bfloat16)) return matvec<__nv_bfloat16, __nv_bfloat16>(launch);
  if (is(bfloat16, DType::float32)) return matvec<__nv_bfloat16, float>(launch);
  if (is(int8, DType::float16)) return matvec<std::int8_t, __half>(launch);
  if (is(int8, DType::bfloat16)) return matvec<std::int8_t, __nv_bfloat16>(launch);
  if (is(int8, DType::float32)) return matvec<std::int8_t, float>(launch);
  if (is(float8_e4m3, DType::float16)) return matvec<__nv_fp8_e4m3, __half>(launch);
  if (is(float8_e4m3, DType::bfloat16)) return matvec<__nv_fp8_e4m3, __nv_bfloat16>(launch);
  if (is(float8_e4m3, DType::float32)) return matvec<__nv_fp8_e4m3, float>(launch);
  throw InvalidDType(message("packed_matmul: values of ", name(values), " do not multiply X of ",
                             name(vectors), "; cast X to float32"));
}

}  // namespace delta_rows
}  // namespace gossamer::cuda
