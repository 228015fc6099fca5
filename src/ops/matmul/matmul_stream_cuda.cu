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

/// A warp has Groups groups of neighbouring rows, one behind the other; of each group a lane, or a
/// few, sum a row. Short rows fill a step of the warp by several groups, and what a step reads is
/// on its way while the lanes sum the one before.
template <class T, class I, bool Mapped, int Groups>
__global__ void __launch_bounds__(tuning::matmul_cuda_block, sizeof(T) > 8   ? 1
                                                             : sizeof(T) > 4 ? 2
                                                                             : 4)
    multiply(Matrix<T, I, Mapped> a, I x_row_bytes, int log_lanes, DenseColumns dense) {
  using Sum = DeviceAccumulator<T>;
  __shared__ Sum all_products[warps][chunk + chunk / 32];
  Sum* const products = all_products[threadIdx.x / 32];
  launch_dependents();
  const int lane = threadIdx.x % 32, lanes = 1 << log_lanes, group_rows = 32 >> log_lanes;
  const std::int64_t warp = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
  const std::int64_t first_row = warp * Groups * group_rows + (lane >> log_lanes);
  I begin[Groups], end[Groups];
#pragma unroll
  for (int g = 0; g < Groups; ++g) {
    const std::int64_t row = first_row + g * group_rows, rows = a.rows;
    begin[g] = a.indptr[min(row, rows)];
    end[g] = a.indptr[min(row + 1, rows)];
  }
  const I first = __shfl_sync(~0u, begin[0], 0), last = __shfl_sync(~0u, end[Groups - 1], 31);
  const T* const x = static_cast<const T*>(dense.x);

  // body(u) for the lane's positions of a chunk; a whole one does not ask for each.
  const auto for_each = [&](I left, auto&& body) {
    if (left >= chunk) {
#pragma unroll
      for (int u = 0; u < unroll; ++u) body(u);
    } else {
#pragma unroll
      for (int u = 0; u < unroll; ++u) {
        if (u * 32 + lane < left) body(u);
      }
    }
  };
  I column[unroll];
  T value[unroll];
  const auto load_columns = [&](I base, int offset, I left) {
    const auto from = a.indices_from(base, offset + lane);
    for_each(left, [&](int u) { column[u] = from[u * 32]; });
  };
  const auto load_values = [&](I base, int offset, I left) {
    const auto from = a.values_from(base, offset + lane);
    for_each(left, [&](int u) { value[u] = from[u * 32]; });
  };
  load_columns(first, 0, last - first);
  wait_for_launches_before();
  load_values(first, 0, last - first);
  Sum sum[Groups]{};
  // What is left is counted down: base + chunk may lie beyond the index type.
  for (I base = first, left = last - first; left > 0; base += chunk, left -= chunk) {
    Sum product[unroll];
    for_each(left, [&](int u) {
      product[u] = multiply_add(conjugate_if(a.conjugate, widen(value[u])),
                                widen(*x_row(x, column[u], x_row_bytes)), Sum{});
    });
    load_columns(base, chunk, left - chunk);  // on its way while the lanes sum
    load_values(base, chunk, left - chunk);
#pragma unroll
    for (int u = 0; u < unroll; ++u) products[slot(u * 32 + lane)] = product[u];
    __syncwarp();
#pragma unroll
    for (int g = 0; g < Groups; ++g) {
      const int stop = static_cast<int>(min(end[g] - base, I{chunk}));
      int i = static_cast<int>(max(begin[g] - base, I{0}));
      if (lanes == 1) {  // apart, so that the loop is unrolled with known strides
        for (; i < stop; ++i) sum[g] = sum[g] + products[slot(i)];
      } else {
        for (i += lane & (lanes - 1); i < stop; i += lanes) sum[g] = sum[g] + products[slot(i)];
      }
    }
    __syncwarp();
  }
#pragma unroll
  for (int g = 0; g < Groups; ++g) {
    const Sum total = sum_lanes(sum[g], lanes);
    const std::int64_t row = first_row + g * group_rows;
    if (row < a.rows && (lane & (lanes - 1)) == 0) {
      static_cast<T*>(dense.y)[row * dense.y_row_stride] = narrow<T>(total);
    }
  }
}

/// How rows are dealt out to warps: lanes that sum a row, and groups of rows.
struct Shares {
  int log_lanes;  ///< -1 where there are too few rows, or they are too long
  int groups = 1;
};

/// A lane sums a few positions, and a warp has as many groups as leave enough warps for the device.
Shares deal_out(const CsrPattern& pattern, int multiprocessors) {
  const std::int64_t mean = pattern.nnz / pattern.rows;
  if (mean > tuning::matmul_cuda_stream_length) return {-1};
  const std::int64_t enough = 32 * tuning::matmul_cuda_stream_warps * multiprocessors;
  const auto threads = [&](int log) { return pattern.rows << log; };
  int log = 0;
  while (log < 5 && (tuning::matmul_cuda_stream_positions << log) < mean) ++log;
  while (log < 5 && (8 << log) <= mean && threads(log) < enough) ++log;
  if (threads(log) < enough) return {-1};
  const int most = 32 * mean <= chunk ? 4 : 2;
  int groups = 1;
  while (groups < most && threads(log) >= 2 * groups * enough) groups *= 2;
  return {log, groups};
}

}  // namespace

bool multiply_stream(const Operand& operand, const DenseColumns& dense, const Launch& launch) {
  const CsrView& a = operand.a;
  const auto [log, groups] =
      deal_out(a.pattern, device_properties(launch.stream.device).multiprocessors);
  if (log < 0) return false;
  const std::int64_t block_rows = groups * (tuning::matmul_cuda_block >> log);
  const auto blocks = static_cast<unsigned>((a.pattern.rows + block_rows - 1) / block_rows);
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(a.pattern.index_dtype, "A", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      visit_mapped(operand, [&](auto mapped) {
        const auto kernel = groups == 4   ? multiply<T, I, mapped, 4>
                            : groups == 2 ? multiply<T, I, mapped, 2>
                                          : multiply<T, I, mapped, 1>;
        launch(launch.overlap, kernel, blocks, Matrix<T, I, mapped>(operand),
               row_bytes<T, I>(dense), log, dense);
      });
    });
  });
  return true;
}

}  // namespace gossamer::cuda
