// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "core/message.hpp"
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

void check_dense(const ArrayView& dense, std::int64_t rows, std::int64_t cols) {
  if (dense.rank != 2 || dense.shape[0] != rows || dense.shape[1] != cols) {
    throw InvalidArgument(message("unpack: dense has rank ", dense.rank, " and shape (",
                                  dense.shape[0], ", ", dense.shape[1], ", ...); it must be (",
                                  rows, ", ", cols, ")"));
  }
}

void matmul(const Arrangement& a, const ArrayView& x, const ArrayView& y, Workspace workspace,
            Stream stream) {
  const ChainedProduct chained(stream);
  a.matmul(x, y, workspace, stream, chained.follows_product());
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
