// SPDX-License-Identifier: Apache-2.0
// What the kernels of matmul share: their operands.
#pragma once

#include "cuda/async_copy.cuh"
#include "cuda/dense_columns.cuh"
#include "cuda/launch.cuh"
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

/// The long rows' pieces, as a schedule has them.
template <class I>
struct Pieces {
  Pieces() = default;
  Pieces(const RowSchedule& rows, const CsrPattern& pattern, const DenseColumns& dense,
         Workspace workspace)
      : order(static_cast<const I*>(rows.memory)),
        sums(workspace.data),
        columns(dense.cols * dense.members) {
    const std::int64_t cut = rows.class_rows[RowSchedule::classes - 1];
    if (cut == 0) return;
    offsets = order + pattern.rows;
    owners = offsets + cut + 1;
  }

  const I* order = nullptr;    ///< rows that are not even, by classes
  const I* offsets = nullptr;  ///< first piece of each row that is cut; null without any
  const I* owners = nullptr;   ///< of each piece, its row's place in the order
  void* sums = nullptr;        ///< of pieces, `columns` accumulators each
  std::int64_t columns = 0;
};

/// The sum over a block's threads, in the first one. warp_sums: one for each warp, in shared
/// memory.
template <class Sum>
__device__ Sum sum_block(Sum sum, Sum* warp_sums) {
  sum = sum_lanes(sum, 32);
  __syncthreads();
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  for (int warp = 1; threadIdx.x == 0 && warp < tuning::matmul_cuda_block / 32; ++warp) {
    sum = sum + warp_sums[warp];
  }
  return sum;
}

/// Where kernels go, and how.
struct Launch {
  Stream stream;
  bool overlap;      ///< the first kernel begins while the one before it ends
  bool can_overlap;  ///< so can those behind it

  template <class... Parameters, class... Arguments>
  void operator()(bool early, void (*kernel)(Parameters...), dim3 blocks,
                  Arguments&&... arguments) const {
    check(launch_overlapped(kernel, blocks, tuning::matmul_cuda_block, 0, native(stream), early,
                            std::forward<Arguments>(arguments)...),
          "matmul");
  }
};

inline unsigned limited(std::int64_t blocks) {
  return static_cast<unsigned>(std::min<std::int64_t>(blocks, 65'535));
}

/// Even rows, one column of any stride. Returns false, and does nothing, where there are too few
/// rows.
bool multiply_stream(const CsrView& a, const DenseColumns& dense, bool conjugate,
                     const Launch& launch);

/// Uneven rows that have tiles, one column of any stride.
void multiply_tiles(const CsrView& a, const RowSchedule& schedule, const DenseColumns& dense,
                    bool conjugate, Workspace workspace, const Launch& launch);

/// Any rows, any columns.
void multiply_rows(const CsrView& a, const RowSchedule& schedule, const DenseColumns& dense,
                   bool conjugate, Workspace workspace, const Launch& launch);

/// Adds up the pieces of each long row, in their order, behind a kernel that wrote their sums.
void join_pieces(const CsrView& a, const RowSchedule& schedule, const DenseColumns& dense,
                 Workspace workspace, const Launch& launch);

}  // namespace gossamer::cuda
