// SPDX-License-Identifier: Apache-2.0
// Distinct positions of sorted rows: a warp a row.
#include "core/visit.hpp"
#include "cuda/row_offsets.cuh"
#include "gossamer/cuda/structure.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;

/// Calls body(p, is_first) for every position of the warp's row, 32 at a time; p beyond its end is
/// never the first of a run.
template <class I, class Body>
__device__ void for_each_position(const I* indptr, const I* indices, std::int64_t row, Body body) {
  const I begin = indptr[row], end = indptr[row + 1];
  for (std::int64_t base = begin; base < end; base += 32) {
    const std::int64_t p = base + threadIdx.x % 32;
    body(p, p < end && (p == begin || indices[p] != indices[p - 1]));
  }
}

__device__ std::int64_t warp_index() {
  return (static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) / 32;
}

template <class I>
__global__ void count(const I* indptr, const I* indices, std::int64_t rows, I* counts) {
  const std::int64_t row = warp_index();
  if (row > rows) return;
  I found = 0;
  if (row < rows) {
    for_each_position(indptr, indices, row, [&](std::int64_t, bool first) {
      found += __popc(__ballot_sync(~0u, first));
    });
  }
  if (threadIdx.x % 32 == 0) counts[row] = found;
}

template <class I>
__global__ void fill(const I* indptr, const I* indices, std::int64_t rows, const I* out_indptr,
                     I* out_indices, I* segments) {
  const std::int64_t row = warp_index();
  if (row >= rows) return;
  std::int64_t to = out_indptr[row];
  for_each_position(indptr, indices, row, [&](std::int64_t p, bool first) {
    const unsigned all = __ballot_sync(~0u, first);
    if (first) {
      const std::int64_t at = to + __popc(all & ((1u << threadIdx.x % 32) - 1));
      out_indices[at] = indices[p];
      segments[at] = static_cast<I>(p);
    }
    to += __popc(all);
  });
  if (row == rows - 1 && threadIdx.x % 32 == 0) segments[to] = indptr[rows];
}

unsigned blocks_for_warps(std::int64_t warps) {
  return static_cast<unsigned>((warps * 32 + block - 1) / block);
}

}  // namespace

std::size_t count_distinct_workspace(const CsrPattern& sorted) {
  return visit_index(sorted.index_dtype, "indices", [&](auto index) {
    return row_offsets_workspace<typename decltype(index)::type>(sorted.rows);
  });
}

std::int64_t count_distinct(const CsrPattern& sorted, void* indptr, Workspace workspace,
                            Stream stream) {
  const DeviceScope scope(stream, "count_distinct");
  return visit_index(sorted.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    I* const counts = static_cast<I*>(indptr);
    count<<<blocks_for_warps(sorted.rows + 1), block, 0, native(stream)>>>(
        static_cast<const I*>(sorted.indptr), static_cast<const I*>(sorted.indices), sorted.rows,
        counts);
    check_launch("count_distinct");
    return to_row_offsets(counts, sorted.rows, workspace, stream, "count_distinct");
  });
}

void fill_distinct(const CsrPattern& sorted, const void* indptr, void* indices, void* segments,
                   Stream stream) {
  const DeviceScope scope(stream, "fill_distinct");
  visit_index(sorted.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    if (sorted.rows == 0) {
      check(cudaMemsetAsync(segments, 0, sizeof(I), native(stream)), "fill_distinct");
      return;
    }
    fill<<<blocks_for_warps(sorted.rows), block, 0, native(stream)>>>(
        static_cast<const I*>(sorted.indptr), static_cast<const I*>(sorted.indices), sorted.rows,
        static_cast<const I*>(indptr), static_cast<I*>(indices), static_cast<I*>(segments));
  });
  check_launch("fill_distinct");
}

}  // namespace gossamer::cuda
