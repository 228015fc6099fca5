// SPDX-License-Identifier: Apache-2.0
// The last step of products with rows that are cut: the sums of their pieces.
#include "core/visit.hpp"
#include "ops/matmul/matmul_cuda.cuh"

namespace gossamer::cuda {
namespace {

/// A block a row and column.
template <class T, class I>
__global__ void __launch_bounds__(tuning::matmul_cuda_block)
    join(Matrix<T, I> a, DenseColumns dense, const __grid_constant__ Pieces<I> pieces) {
  using Sum = DeviceAccumulator<T>;
  __shared__ Sum warp_sums[tuning::matmul_cuda_block / 32];
  launch_dependents();
  const Sum* const sums = static_cast<const Sum*>(pieces.sums);
  const I first = pieces.offsets[blockIdx.x], last = pieces.offsets[blockIdx.x + 1];
  const std::int64_t row = pieces.order[blockIdx.x];
  wait_for_launches_before();
  for (std::int64_t m = blockIdx.z; m < dense.members; m += gridDim.z) {
    const Member<T> member(dense, m);
    for (std::int64_t column = blockIdx.y; column < dense.cols; column += gridDim.y) {
      Sum sum{};
      for (I piece = first + threadIdx.x; piece < last; piece += blockDim.x) {
        sum = sum + sums[piece * pieces.columns + m * dense.cols + column];
      }
      sum = sum_block(sum, warp_sums);
      if (threadIdx.x == 0) {
        member.y[row * dense.y_row_stride + column * dense.y_col_stride] =
            narrow<T>(a.result(sum, row));
      }
    }
  }
}

}  // namespace

void join_pieces(const Operand& operand, const RowSchedule& rows, const DenseColumns& dense,
                 Workspace workspace, const Launch& launch) {
  const CsrView& a = operand.a;
  if (rows.pieces == 0) return;
  const dim3 grid(static_cast<unsigned>(rows.class_rows[RowSchedule::classes - 1]),
                  limited(dense.cols), limited(dense.members));
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(a.pattern.index_dtype, "A", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      launch(launch.can_overlap, join<T, I>, grid, Matrix<T, I>(operand), dense,
             Pieces<I>(rows, a.pattern, dense, workspace));
    });
  });
}

}  // namespace gossamer::cuda
