// SPDX-License-Identifier: Apache-2.0
#include "core/visit.hpp"
#include "cuda/partition.cuh"
#include "cuda/runtime.hpp"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/spgemm.hpp"
#include "ops/spgemm/spgemm.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;

template <class T, class I>
struct Rows {
  explicit Rows(const CsrView& a)
      : indptr(static_cast<const I*>(a.pattern.indptr)),
        indices(static_cast<const I*>(a.pattern.indices)),
        values(static_cast<const T*>(a.values)) {}

  const I* indptr;
  const I* indices;
  const T* values;
};

/// Where a column is stored among the sorted positions of a row, or -1.
template <class T, class I>
__device__ std::int64_t find(const Rows<T, I>& b, std::int64_t row, I column) {
  std::int64_t first = b.indptr[row], last = b.indptr[row + 1];
  const std::int64_t end = last;
  while (first < last) {
    const std::int64_t middle = (first + last) / 2;
    if (b.indices[middle] < column) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first < end && b.indices[first] == column ? first : -1;
}

/// `1 << log_lanes` lanes along a row of A take a position of the mask.
template <class T, class I, bool TransposeB>
__global__ void __launch_bounds__(block)
    sample(Rows<T, I> a, Rows<T, I> b, const I* indptr, const I* indices, std::int64_t rows,
           std::int64_t nnz, int log_lanes, T* values) {
  using Sum = DeviceAccumulator<T>;
  const int lanes = 1 << log_lanes, lane = threadIdx.x & (lanes - 1);
  const std::int64_t p = (static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) >> log_lanes;
  Sum sum{};
  if (p < nnz) {
    const std::int64_t row = segment_of(indptr, rows, p);
    const I column = indices[p];
    const std::int64_t end = a.indptr[row + 1];
    for (std::int64_t q = a.indptr[row] + lane; q < end; q += lanes) {
      const I k = a.indices[q];
      const std::int64_t at = TransposeB ? find(b, column, k) : find(b, k, column);
      if (at >= 0) sum = multiply_add(widen(a.values[q]), widen(b.values[at]), sum);
    }
  }
  sum = sum_lanes(sum, lanes);
  if (p < nnz && lane == 0) values[p] = narrow<T>(sum);
}

}  // namespace

void spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                   bool transpose_b, Stream stream) {
  check_spgemm_masked(a, b, mask, transpose_b);
  if (mask.nnz == 0) return;
  const DeviceScope scope(stream, "spgemm_masked");
  int log_lanes = 0;
  while (log_lanes < 5 && (std::int64_t{2} << log_lanes) < a.pattern.nnz / a.pattern.rows) {
    ++log_lanes;
  }
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(mask.index_dtype, "mask", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      const auto blocks = static_cast<unsigned>(((mask.nnz << log_lanes) + block - 1) / block);
      const auto kernel = transpose_b ? sample<T, I, true> : sample<T, I, false>;
      kernel<<<blocks, block, 0, native(stream)>>>(Rows<T, I>(a), Rows<T, I>(b),
                                                   static_cast<const I*>(mask.indptr),
                                                   static_cast<const I*>(mask.indices), mask.rows,
                                                   mask.nnz, log_lanes, static_cast<T*>(values));
    });
  });
  check_launch("spgemm_masked");
}

}  // namespace gossamer::cuda
