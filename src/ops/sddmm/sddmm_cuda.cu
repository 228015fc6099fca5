// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>

#include "core/visit.hpp"
#include "cuda/adjacent_columns.cuh"
#include "cuda/dense_columns.cuh"
#include "cuda/partition.cuh"
#include "cuda/runtime.hpp"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/sddmm.hpp"
#include "ops/sddmm/sddmm.hpp"
#include "ops/sddmm/sddmm_cuda_tuning.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;

/// How positions are dealt out: lanes of a group, which share the columns, and its positions, of
/// which each lane finds at most one.
struct Groups {
  int log_lanes, log_positions;
};

/// Positions that a group works on at once.
constexpr int unroll = 4;

/// V is the dense operand X, U is Y; Width neighbouring columns are loaded at once.
template <class T, class I, int Width>
__global__ void __launch_bounds__(block)
    sample(const I* indptr, const I* indices, std::int64_t rows, std::int64_t nnz,
           DenseColumns dense, bool conjugate, Groups groups, T* values) {
  using Sum = DeviceAccumulator<T>;
  using Elements = Vector<T, Width>;
  const int lanes = 1 << groups.log_lanes, lane = threadIdx.x & (lanes - 1);
  const int positions = 1 << groups.log_positions;
  const std::int64_t group =
      (static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) >> groups.log_lanes;
  const std::int64_t p = (group << groups.log_positions) + (lane & (positions - 1));
  const std::int64_t stored = min(p, nnz - 1);
  const auto own_row = static_cast<I>(segment_in_warp(indptr, rows, stored));
  const I own_column = indices[stored];
  Sum result{};
  for (int s = 0; s < positions; s += unroll) {
    I row[unroll], column[unroll];
    Sum sum[unroll] = {};
#pragma unroll
    for (int k = 0; k < unroll; ++k) {
      row[k] = shuffle_in_group(~0u, own_row, s + k, lanes);
      column[k] = shuffle_in_group(~0u, own_column, s + k, lanes);
    }
    for (std::int64_t m = 0; m < dense.members; ++m) {
      const Member<T> member(dense, m);
      for (std::int64_t c = lane * Width; c < dense.cols; c += lanes * Width) {
        const T* const from_u = member.y + c * dense.y_col_stride;
        const T* const from_v = member.x + c * dense.x_col_stride;
        Elements u[unroll], v[unroll];
#pragma unroll
        for (int k = 0; k < unroll; ++k) {
          if (k >= positions) break;
          u[k] = *reinterpret_cast<const Elements*>(from_u + row[k] * dense.y_row_stride);
          v[k] = *reinterpret_cast<const Elements*>(from_v + column[k] * dense.x_row_stride);
        }
#pragma unroll
        for (int k = 0; k < unroll; ++k) {
          if (k >= positions) break;
#pragma unroll
          for (int w = 0; w < Width; ++w) {
            sum[k] = multiply_add(widen(u[k].element[w]),
                                  conjugate_if(conjugate, widen(v[k].element[w])), sum[k]);
          }
        }
      }
    }
    for (int mask = 1; mask < lanes; mask *= 2) {
#pragma unroll
      for (int k = 0; k < unroll; ++k) sum[k] = sum[k] + shuffle_xor(sum[k], mask);
    }
#pragma unroll
    for (int k = 0; k < unroll; ++k) {
      if (lane == s + k) result = sum[k];
    }
  }
  if (p < nnz && lane < positions) values[p] = narrow<T>(result);
}

/// Groups as wide as the columns, of as many positions as lanes, fewer where there are few.
Groups deal_out(std::int64_t nnz, std::int64_t vectors, std::int64_t wanted) {
  Groups groups{};
  while (groups.log_lanes < 5 && (1 << groups.log_lanes) < vectors) ++groups.log_lanes;
  groups.log_positions = groups.log_lanes;
  while (groups.log_positions > 0 && nnz << (groups.log_lanes - groups.log_positions) < wanted) {
    --groups.log_positions;
  }
  return groups;
}

struct Copies {
  bool u, v;
};

/// The operands whose columns are strided, where copies pay.
Copies choose_copies(const CsrPattern& pattern, const DenseColumns& dense) {
  const bool pays = dense.members == 1 &&
                    pays_to_copy(pattern.nnz, std::max(pattern.rows, pattern.cols), dense.cols);
  return {pays && dense.y_col_stride != 1, pays && dense.x_col_stride != 1};
}

std::size_t copy_bytes(std::int64_t rows, std::int64_t cols, DType dtype) {
  return (static_cast<std::size_t>(rows * cols) * item_size(dtype) + 255) / 256 * 256;
}

/// Lets the operands be copies.
void copy_operands(const CsrPattern& pattern, DenseColumns& dense, DType dtype, Workspace workspace,
                   Stream stream) {
  const Copies copies = choose_copies(pattern, dense);
  if (!copies.u && !copies.v) return;
  auto* at = static_cast<std::byte*>(workspace.data);
  std::array<RowsToCopy, 2> matrices{};
  if (copies.u) {
    matrices[0] = {dense.y, pattern.rows, dense.y_row_stride, dense.y_col_stride, at};
    dense.y = at;
    dense.y_row_stride = dense.cols;
    dense.y_col_stride = 1;
    at += copy_bytes(pattern.rows, dense.cols, dtype);
  }
  if (copies.v) {
    matrices[1] = {dense.x, pattern.cols, dense.x_row_stride, dense.x_col_stride, at};
    dense.x = at;
    dense.x_row_stride = dense.cols;
    dense.x_col_stride = 1;
  }
  copy_rows(matrices, dense.cols, item_size(dtype), stream);
}

}  // namespace

std::size_t sddmm_workspace(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v) {
  check_sddmm(pattern, u, v, nullptr, false);
  const DenseColumns dense = describe(v, u);
  const Copies copies = choose_copies(pattern, dense);
  return (copies.u ? copy_bytes(pattern.rows, dense.cols, u.dtype) : 0) +
         (copies.v ? copy_bytes(pattern.cols, dense.cols, u.dtype) : 0);
}

void sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v, void* values,
           bool conjugate, Workspace workspace, Stream stream) {
  check_sddmm(pattern, u, v, values, conjugate);
  check_workspace(workspace, sddmm_workspace(pattern, u, v), "sddmm");
  if (pattern.nnz == 0) return;
  const DeviceScope scope(stream, "sddmm");
  DenseColumns dense = describe(v, u);
  copy_operands(pattern, dense, u.dtype, workspace, stream);
  const std::int64_t wanted =
      device_properties(stream.device).multiprocessors * tuning::sddmm_cuda_threads;
  visit_value(u.dtype, "U", [&](auto value) {
    visit_index(pattern.index_dtype, "indices", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      constexpr int wide = 16 / sizeof(T);
      const bool vectorized =
          x_is_aligned(dense, wide, sizeof(T)) && y_is_aligned(dense, wide, sizeof(T));
      const Groups groups =
          deal_out(pattern.nnz, vectorized ? (dense.cols + wide - 1) / wide : dense.cols, wanted);
      const std::int64_t threads = (((pattern.nnz - 1) >> groups.log_positions) + 1)
                                   << groups.log_lanes;
      const auto kernel = vectorized ? sample<T, I, wide> : sample<T, I, 1>;
      kernel<<<static_cast<unsigned>((threads + block - 1) / block), block, 0, native(stream)>>>(
          static_cast<const I*>(pattern.indptr), static_cast<const I*>(pattern.indices),
          pattern.rows, pattern.nnz, dense, conjugate, groups, static_cast<T*>(values));
    });
  });
  check_launch("sddmm");
}

}  // namespace gossamer::cuda
