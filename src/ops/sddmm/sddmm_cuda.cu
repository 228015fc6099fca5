// SPDX-License-Identifier: Apache-2.0
#include "core/visit.hpp"
#include "cuda/dense_columns.cuh"
#include "cuda/partition.cuh"
#include "cuda/runtime.hpp"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/sddmm.hpp"
#include "ops/sddmm/sddmm.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;

/// `1 << log_lanes` lanes along k take a position. V is the dense operand X, U is Y.
template <class T, class I>
__global__ void __launch_bounds__(block)
    sample(const I* indptr, const I* indices, std::int64_t rows, std::int64_t nnz,
           DenseColumns dense, bool conjugate, int log_lanes, T* values) {
  using Sum = DeviceAccumulator<T>;
  const int lanes = 1 << log_lanes, lane = threadIdx.x & (lanes - 1);
  const std::int64_t p = (static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) >> log_lanes;
  Sum sum{};
  if (p < nnz) {
    const std::int64_t row = segment_of(indptr, rows, p), column = indices[p];
    for (std::int64_t m = 0; m < dense.members; ++m) {
      const Member<T> member(dense, m);
      const T* const u = member.y + row * dense.y_row_stride;
      const T* const v = member.x + column * dense.x_row_stride;
      for (std::int64_t c = lane; c < dense.cols; c += lanes) {
        sum = multiply_add(widen(u[c * dense.y_col_stride]),
                           conjugate_if(conjugate, widen(v[c * dense.x_col_stride])), sum);
      }
    }
  }
  sum = sum_lanes(sum, lanes);
  if (p < nnz && lane == 0) values[p] = narrow<T>(sum);
}

}  // namespace

void sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v, void* values,
           bool conjugate, Stream stream) {
  check_sddmm(pattern, u, v, values, conjugate);
  if (pattern.nnz == 0) return;
  const DeviceScope scope(stream, "sddmm");
  const DenseColumns dense = describe(v, u);
  int log_lanes = 0;
  while (log_lanes < 5 && (1 << log_lanes) < dense.cols) ++log_lanes;
  visit_value(u.dtype, "U", [&](auto value) {
    visit_index(pattern.index_dtype, "indices", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      const auto blocks = static_cast<unsigned>(((pattern.nnz << log_lanes) + block - 1) / block);
      sample<<<blocks, block, 0, native(stream)>>>(
          static_cast<const I*>(pattern.indptr), static_cast<const I*>(pattern.indices),
          pattern.rows, pattern.nnz, dense, conjugate, log_lanes, static_cast<T*>(values));
    });
  });
  check_launch("sddmm");
}

}  // namespace gossamer::cuda
