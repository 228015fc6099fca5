// SPDX-License-Identifier: Apache-2.0
// One pass over positions: whether they are valid, and in which order.
#include <algorithm>

#include "core/visit.hpp"
#include "cuda/runtime.hpp"
#include "gossamer/cuda/structure.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;
using Count = unsigned long long;

/// What is wrong, and pairs of neighbours that are not in order. Row starts subtract: the counts
/// are right modulo 2^64.
struct Counts {
  Count invalid, descents, non_ascents;
};

__device__ void add(Count* to, int value) {
  const int sum = __reduce_add_sync(~0u, value);
  if (sum != 0 && threadIdx.x % 32 == 0) atomicAdd(to, static_cast<Count>(std::int64_t{sum}));
}

__device__ std::int64_t thread_index() {
  return static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
}

/// A thread a position and a row. Nothing is read at an offset that is not valid.
template <class I>
__global__ void scan_csr(const I* indptr, const I* indices, std::int64_t rows, std::int64_t cols,
                         std::int64_t nnz, Counts* counts) {
  const std::int64_t i = thread_index();
  int invalid = 0, descents = 0, non_ascents = 0;
  if (i < nnz) {
    invalid += indices[i] < 0 || indices[i] >= cols;
    descents += i > 0 && indices[i] < indices[i - 1];
    non_ascents += i > 0 && indices[i] <= indices[i - 1];
  }
  if (i <= rows) {
    const I begin = indptr[i];
    const I end = i < rows ? indptr[i + 1] : begin;
    invalid += begin > end || (i == 0 && begin != 0) || (i == rows && begin != nnz);
    // What descends from one row to the next is in order all the same.
    if (0 < begin && begin < end && end <= nnz) {
      descents -= indices[begin] < indices[begin - 1];
      non_ascents -= indices[begin] <= indices[begin - 1];
    }
  }
  add(&counts->invalid, invalid);
  add(&counts->descents, descents);
  add(&counts->non_ascents, non_ascents);
}

template <class I>
__global__ void scan_coo(const I* row, const I* col, std::int64_t rows, std::int64_t cols,
                         std::int64_t nnz, Counts* counts) {
  const std::int64_t p = thread_index();
  int invalid = 0, descends = 0, ascends_not = 0;
  if (p < nnz) {
    invalid = row[p] < 0 || row[p] >= rows || col[p] < 0 || col[p] >= cols;
    if (p > 0) {
      const I above = row[p - 1], left = col[p - 1];
      descends = row[p] < above || (row[p] == above && col[p] < left);
      ascends_not = descends || (row[p] == above && col[p] == left);
    }
  }
  add(&counts->invalid, invalid);
  add(&counts->descents, descends);
  add(&counts->non_ascents, ascends_not);
}

/// Runs launch(blocks, counts) over zeroed counts; waits for what it found.
template <class Launch>
PatternScan run(const char* operation, std::int64_t threads, Workspace workspace, Stream stream,
                Launch launch) {
  const DeviceScope scope(stream, operation);
  check_workspace(workspace, sizeof(Counts), operation);
  auto* const counts = static_cast<Counts*>(workspace.data);
  check(cudaMemsetAsync(counts, 0, sizeof(Counts), native(stream)), operation);
  if (threads > 0) launch(static_cast<unsigned>((threads + block - 1) / block), counts);
  check_launch(operation);
  Counts found{};
  check(cudaMemcpyAsync(&found, counts, sizeof found, cudaMemcpyDeviceToHost, native(stream)),
        operation);
  check(cudaStreamSynchronize(native(stream)), operation);
  return {found.invalid == 0, {found.descents == 0, found.non_ascents == 0}};
}

}  // namespace

PatternScan scan(const CsrPattern& pattern, Workspace workspace, Stream stream) {
  const std::int64_t threads = std::max(pattern.nnz, pattern.rows + 1);
  return visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    return run("scan", threads, workspace, stream, [&](unsigned blocks, Counts* counts) {
      scan_csr<<<blocks, block, 0, native(stream)>>>(
          static_cast<const I*>(pattern.indptr), static_cast<const I*>(pattern.indices),
          pattern.rows, pattern.cols, pattern.nnz, counts);
    });
  });
}

PatternScan scan(const CooPattern& coo, Workspace workspace, Stream stream) {
  return visit_index(coo.index_dtype, "row", [&](auto index) {
    using I = typename decltype(index)::type;
    return run("scan", coo.nnz, workspace, stream, [&](unsigned blocks, Counts* counts) {
      scan_coo<<<blocks, block, 0, native(stream)>>>(static_cast<const I*>(coo.row),
                                                     static_cast<const I*>(coo.col), coo.rows,
                                                     coo.cols, coo.nnz, counts);
    });
  });
}

}  // namespace gossamer::cuda
