// SPDX-License-Identifier: Apache-2.0
// Products with a single column, rows of even lengths: a warp reads the values and indices of
// neighbouring rows in order, and a few lanes each sum a row from shared memory.
#include "core/visit.hpp"
#include "ops/matmul/matmul_cuda.cuh"

namespace gossamer::cuda {
namespace {

constexpr int unroll = 8;
constexpr int chunk = 32 * unroll;  ///< positions that a warp multiplies at once
constexpr int warps = tuning::matmul_cuda_block / 32;

/// Slot of a product: a gap behind every 32 keeps rows of even lengths off each other's banks.
__device__ __forceinline__ int slot(int i) { return i + i / 32; }

template <class T, class I, bool Mapped>
__global__ void __launch_bounds__(tuning::matmul_cuda_block, sizeof(T) > 8   ? 1
                                                             : sizeof(T) > 4 ? 2
                                                                             : 4)
    multiply(Matrix<T, I, Mapped> a, I x_row_bytes, int log_lanes, DenseColumns dense) {
  using Sum = DeviceAccumulator<T>;
  __shared__ Sum all_products[warps][chunk + chunk / 32];
  Sum* const products = all_products[threadIdx.x / 32];
  launch_dependents();
  const int lane = threadIdx.x % 32, lanes = 1 << log_lanes;
  const std::int64_t row =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) >> log_lanes;
  const I begin = a.indptr[min(row, static_cast<std::int64_t>(a.rows))];
  const I end = a.indptr[min(row + 1, static_cast<std::int64_t>(a.rows))];
  const I first = __shfl_sync(~0u, begin, 0), last = __shfl_sync(~0u, end, 31);
  const T* const x = static_cast<const T*>(dense.x);

  I column[unroll];
  T value[unroll];
  const auto load_columns = [&](I base, I left) {
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (u * 32 + lane < left) column[u] = load_once(a.indices + base + u * 32 + lane);
    }
  };
  const auto load_values = [&](I base, I left) {
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (u * 32 + lane < left) value[u] = a.value(base + u * 32 + lane);
    }
  };
  load_columns(first, last - first);
  wait_for_launches_before();
  load_values(first, last - first);
  Sum sum{};
  // What is left is counted down: base + chunk may lie beyond the index type.
  for (I base = first, left = last - first; left > 0; base += chunk, left -= chunk) {
    Sum product[unroll];
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (u * 32 + lane < left) {
        product[u] = multiply_add(conjugate_if(a.conjugate, widen(value[u])),
                                  widen(*x_row(x, column[u], x_row_bytes)), Sum{});
      }
    }
    load_columns(base + chunk, left - chunk);  // on its way while the lanes sum
    load_values(base + chunk, left - chunk);
#pragma unroll
    for (int u = 0; u < unroll; ++u) products[slot(u * 32 + lane)] = product[u];
    __syncwarp();
    const int stop = static_cast<int>(min(end - base, I{chunk}));
    int i = static_cast<int>(max(begin - base, I{0}));
    if (lanes == 1) {  // apart, so that the loop is unrolled with known strides
      for (; i < stop; ++i) sum = sum + products[slot(i)];
    } else {
      for (i += lane & (lanes - 1); i < stop; i += lanes) sum = sum + products[slot(i)];
    }
    __syncwarp();
  }
  sum = sum_lanes(sum, lanes);
  if (row < a.rows && (lane & (lanes - 1)) == 0) {
    static_cast<T*>(dense.y)[row * dense.y_row_stride] = narrow<T>(sum);
  }
}

/// Lanes for a row: each sums a few positions, and the warps go around the device. -1 where they
/// cannot.
int log_lanes(const CsrPattern& pattern, int multiprocessors) {
  const std::int64_t mean = pattern.nnz / pattern.rows;
  if (mean > tuning::matmul_cuda_stream_length) return -1;
  const std::int64_t wanted = tuning::matmul_cuda_stream_warps * multiprocessors;
  int log = 0;
  while (log < 5 && (tuning::matmul_cuda_stream_positions << log) < mean) ++log;
  while (log < 5 && (8 << log) <= mean && pattern.rows << log < 32 * wanted) ++log;
  return pattern.rows << log < 32 * wanted ? -1 : log;
}

}  // namespace

bool multiply_stream(const Operand& operand, const DenseColumns& dense, const Launch& launch) {
  const CsrView& a = operand.a;
  const int log = log_lanes(a.pattern, device_properties(launch.stream.device).multiprocessors);
  if (log < 0) return false;
  const auto blocks = static_cast<unsigned>(
      ((a.pattern.rows << log) + tuning::matmul_cuda_block - 1) / tuning::matmul_cuda_block);
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(a.pattern.index_dtype, "A", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      visit_mapped(operand, [&](auto mapped) {
        launch(launch.overlap, multiply<T, I, mapped>, blocks, Matrix<T, I, mapped>(operand),
               row_bytes<T, I>(dense), log, dense);
      });
    });
  });
  return true;
}

}  // namespace gossamer::cuda
