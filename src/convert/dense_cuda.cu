// SPDX-License-Identifier: Apache-2.0
// The nonzeros of a dense matrix: a warp a row, or a thread where columns are nearer in memory.
#include <cstdlib>

#include "core/visit.hpp"
#include "cuda/row_offsets.cuh"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/structure.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;

template <class T>
struct Dense {
  const T* data;
  std::int64_t rows, cols, row_stride, col_stride;

  __device__ T at(std::int64_t i, std::int64_t j) const {
    return data[i * row_stride + j * col_stride];
  }
};

/// Whether |x| > threshold, or x is NaN.
template <class T>
__device__ bool is_kept(T x, double threshold) {
  const auto value = widen(x);
  if constexpr (is_device_complex<T>) {
    return !(hypot(static_cast<double>(value.real), static_cast<double>(value.imag)) <= threshold);
  } else {
    return !(fabs(static_cast<double>(value)) <= threshold);
  }
}

/// Calls body(j, kept, before) for the columns of a row, `Lanes` at a time; before: how many of the
/// row are kept left of j. Returns how many are kept.
template <int Lanes, class T, class Body>
__device__ std::int64_t for_each_column(const Dense<T>& dense, std::int64_t row, double threshold,
                                        Body body) {
  const int lane = threadIdx.x % Lanes;
  std::int64_t found = 0;
  for (std::int64_t base = 0; base < dense.cols; base += Lanes) {
    const std::int64_t j = base + lane;
    const bool kept = j < dense.cols && is_kept(dense.at(row, j), threshold);
    const unsigned all = Lanes == 1 ? kept : __ballot_sync(~0u, kept);
    if (kept) body(j, found + __popc(all & ((1u << lane) - 1)));
    found += __popc(all);
  }
  return found;
}

template <int Lanes>
__device__ std::int64_t row_of_thread() {
  return (static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) / Lanes;
}

template <int Lanes, class T, class I>
__global__ void count(Dense<T> dense, double threshold, I* counts) {
  const std::int64_t row = row_of_thread<Lanes>();
  if (row > dense.rows) return;
  const std::int64_t found = row < dense.rows
                                 ? for_each_column<Lanes>(
                                       dense, row, threshold, [](std::int64_t, std::int64_t) {})
                                 : 0;
  if (threadIdx.x % Lanes == 0) counts[row] = static_cast<I>(found);
}

template <int Lanes, class T, class I>
__global__ void fill(Dense<T> dense, double threshold, const I* indptr, I* indices, T* values) {
  const std::int64_t row = row_of_thread<Lanes>();
  if (row >= dense.rows) return;
  const std::int64_t to = indptr[row];
  for_each_column<Lanes>(dense, row, threshold, [&](std::int64_t j, std::int64_t before) {
    indices[to + before] = static_cast<I>(j);
    values[to + before] = dense.at(row, j);
  });
}

/// Calls body(dense, I, lanes, blocks) with the types and the launch for `rows` rows.
template <class Body>
void visit_dense(const ArrayView& dense, DType index_dtype, std::int64_t rows, Body body) {
  visit_value(dense.dtype, "dense", [&](auto value) {
    visit_index(index_dtype, "indptr", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      const Dense<T> matrix{static_cast<const T*>(dense.data), dense.shape[0], dense.shape[1],
                            dense.strides[0], dense.strides[1]};
      const auto run = [&](auto lanes) {
        const std::int64_t threads = rows * decltype(lanes)::value;
        body(matrix, index, lanes, static_cast<unsigned>((threads + block - 1) / block));
      };
      if (std::abs(dense.strides[1]) <= std::abs(dense.strides[0])) {
        run(std::integral_constant<int, 32>());
      } else {
        run(std::integral_constant<int, 1>());
      }
    });
  });
}

void check_dense(const ArrayView& dense) {
  if (dense.rank != 2) {
    throw InvalidArgument(message("fromdense: dense has rank ", dense.rank, "; it must be 2"));
  }
}

}  // namespace

std::size_t count_nonzeros_workspace(const ArrayView& dense, DType index_dtype) {
  return visit_index(index_dtype, "indptr", [&](auto index) {
    return row_offsets_workspace<typename decltype(index)::type>(dense.shape[0]);
  });
}

std::int64_t count_nonzeros(const ArrayView& dense, double threshold, DType index_dtype,
                            void* indptr, Workspace workspace, Stream stream) {
  check_dense(dense);
  const DeviceScope scope(stream, "fromdense");
  std::int64_t nnz = 0;
  visit_dense(dense, index_dtype, dense.shape[0] + 1,
              [&](auto matrix, auto index, auto lanes, unsigned blocks) {
                using I = typename decltype(index)::type;
                I* const counts = static_cast<I*>(indptr);
                count<decltype(lanes)::value>
                    <<<blocks, block, 0, native(stream)>>>(matrix, threshold, counts);
                check_launch("fromdense");
                nnz = to_row_offsets(counts, matrix.rows, workspace, stream, "fromdense");
              });
  return nnz;
}

void fill_nonzeros(const ArrayView& dense, double threshold, DType index_dtype, const void* indptr,
                   void* indices, void* values, Stream stream) {
  check_dense(dense);
  if (dense.shape[0] == 0) return;
  const DeviceScope scope(stream, "fromdense");
  visit_dense(dense, index_dtype, dense.shape[0],
              [&](auto matrix, auto index, auto lanes, unsigned blocks) {
                using I = typename decltype(index)::type;
                using T = std::remove_const_t<std::remove_pointer_t<decltype(matrix.data)>>;
                fill<decltype(lanes)::value><<<blocks, block, 0, native(stream)>>>(
                    matrix, threshold, static_cast<const I*>(indptr), static_cast<I*>(indices),
                    static_cast<T*>(values));
              });
  check_launch("fromdense");
}

}  // namespace gossamer::cuda
