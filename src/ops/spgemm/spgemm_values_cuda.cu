// SPDX-License-Identifier: Apache-2.0
// Values of A B at sorted positions. A group of lanes takes a stretch of positions, row by row: it
// keeps their columns and sums in shared memory and walks the rows of B that A's row names, one
// after the other. So every sum is in the order of A's row, whoever makes it.
#include <algorithm>

#include "core/visit.hpp"
#include "cuda/partition.cuh"
#include "cuda/runtime.hpp"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/spgemm.hpp"
#include "ops/spgemm/spgemm.hpp"
#include "ops/spgemm/spgemm_cuda_tuning.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 128;

template <class T, class I>
struct Rows {
  explicit Rows(const CsrPattern& pattern, const void* data)
      : indptr(static_cast<const I*>(pattern.indptr)),
        indices(static_cast<const I*>(pattern.indices)),
        values(static_cast<const T*>(data)) {}

  const I* indptr;
  const I* indices;
  const T* values;
};

/// The first of [first, last) whose column is not less than `column`.
template <class P, class I>
__device__ P lower_bound(const I* columns, P first, P last, I column) {
  while (first < last) {
    const P middle = first + (last - first) / 2;
    if (columns[middle] < column) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

/// Stretches of at most `stretch` positions, 16 a lane, `1 << log_lanes` lanes each.
template <class T, class I>
__global__ void __launch_bounds__(block)
    sum_products(Rows<T, I> a, Rows<T, I> b, const I* indptr, const I* indices, std::int64_t rows,
                 std::int64_t nnz, int stretch, int log_lanes, T* out) {
  using Sum = DeviceAccumulator<T>;
  constexpr int per_lane = tuning::spgemm_positions_per_lane;
  __shared__ I all_columns[block * per_lane];
  __shared__ __align__(16) unsigned char all_sums[block * per_lane * sizeof(Sum)];
  const int lanes = 1 << log_lanes, lane = threadIdx.x & (lanes - 1);
  const int first_lane = static_cast<int>(threadIdx.x) - lane;
  const unsigned group = (lanes == 32 ? ~0u : (1u << lanes) - 1) << (first_lane % 32);
  I* const columns = all_columns + first_lane * per_lane;
  Sum* const sums = reinterpret_cast<Sum*>(all_sums) + first_lane * per_lane;

  std::int64_t begin =
      ((static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) >> log_lanes) * stretch;
  const std::int64_t last = min(begin + stretch, nnz);
  if (begin >= last) return;
  for (std::int64_t row = segment_of(indptr, rows, begin); begin < last; ++row) {
    const std::int64_t end = min(last, std::int64_t{indptr[row + 1]});
    const int count = static_cast<int>(end - begin);
    if (count == 0) continue;
    for (int i = lane; i < count; i += lanes) {
      columns[i] = indices[begin + i];
      sums[i] = Sum{};
    }
    __syncwarp(group);
    const I least = columns[0], most = columns[count - 1];
    const bool whole = begin == indptr[row] && end == indptr[row + 1];
    const std::int64_t a_end = a.indptr[row + 1];
    for (std::int64_t base = a.indptr[row]; base < a_end; base += lanes) {
      I from = 0, to = 0;
      Sum factor{};
      if (base + lane < a_end) {
        const I k = a.indices[base + lane];
        from = b.indptr[k], to = b.indptr[k + 1];
        if (!whole) {
          from = lower_bound(b.indices, from, to, least);
          to = lower_bound(b.indices, from, to, static_cast<I>(most + 1));
        }
        factor = widen(a.values[base + lane]);
      }
      const int entries = static_cast<int>(min(std::int64_t{lanes}, a_end - base));
      for (int e = 0; e < entries; ++e) {
        const I first = __shfl_sync(group, from, e, lanes), stop = __shfl_sync(group, to, e, lanes);
        const Sum scale = shuffle_in_group(group, factor, e, lanes);
        for (std::int64_t p = std::int64_t{first} + lane; p < stop; p += lanes) {
          const I column = b.indices[p];
          const int at = lower_bound(columns, 0, count, column);
          if (at < count && columns[at] == column) {
            sums[at] = multiply_add(scale, widen(b.values[p]), sums[at]);
          }
        }
        __syncwarp(group);
      }
    }
    for (int i = lane; i < count; i += lanes) out[begin + i] = narrow<T>(sums[i]);
    __syncwarp(group);
    begin = end;
  }
}

}  // namespace

void spgemm_values(const CsrView& a, const CsrView& b, const CsrPattern& c, void* values,
                   Stream stream) {
  check_spgemm_masked(a, b, c, false);
  if (c.nnz == 0) return;
  const DeviceScope scope(stream, "spgemm");
  int log_lanes = 2;
  const std::int64_t row_length = b.pattern.nnz / std::max<std::int64_t>(1, b.pattern.rows);
  while (log_lanes < 5 && (std::int64_t{1} << log_lanes) < row_length) ++log_lanes;
  // Short stretches where there would be too few of them.
  const std::int64_t wanted =
      std::int64_t{tuning::spgemm_groups} * device_properties(stream.device).multiprocessors;
  const int longest = tuning::spgemm_positions_per_lane << log_lanes;
  const int stretch = static_cast<int>(std::clamp<std::int64_t>(c.nnz / wanted, 1, longest));
  const std::int64_t groups = (c.nnz + stretch - 1) / stretch;
  const auto blocks = static_cast<unsigned>(((groups << log_lanes) + block - 1) / block);
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(c.index_dtype, "C", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      sum_products<<<blocks, block, 0, native(stream)>>>(
          Rows<T, I>(a.pattern, a.values), Rows<T, I>(b.pattern, b.values),
          static_cast<const I*>(c.indptr), static_cast<const I*>(c.indices), c.rows, c.nnz, stretch,
          log_lanes, static_cast<T*>(values));
    });
  });
  check_launch("spgemm");
}

}  // namespace gossamer::cuda
