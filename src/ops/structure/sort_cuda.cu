// SPDX-License-Identifier: Apache-2.0
// Orders of positions, by stable radix sorts of rows and columns.
#include <cub/device/device_radix_sort.cuh>

#include "core/visit.hpp"
#include "cuda/partition.cuh"
#include "cuda/runtime.hpp"
#include "gossamer/cuda/structure.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;

unsigned blocks_for(std::int64_t threads) {
  return static_cast<unsigned>((threads + block - 1) / block);
}

__device__ std::int64_t thread_index() {
  return static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
}

template <class I>
__global__ void number(std::int64_t count, I* out) {
  if (thread_index() < count) out[thread_index()] = static_cast<I>(thread_index());
}

template <class I>
__global__ void gather_indices(const I* from, const I* map, std::int64_t count, I* out) {
  if (thread_index() < count) out[thread_index()] = from[map[thread_index()]];
}

/// The row of the position map[p], or of p where map is null.
template <class I>
__global__ void find_rows(const I* indptr, std::int64_t rows, const I* map, std::int64_t count,
                          I* out) {
  const std::int64_t p = thread_index();
  if (p >= count) return;
  out[p] = static_cast<I>(segment_of(indptr, rows, map == nullptr ? p : std::int64_t{map[p]}));
}

/// Offsets of rows whose numbers are in order: how many come before each.
template <class I>
__global__ void find_offsets(const I* row, std::int64_t count, std::int64_t rows, I* indptr) {
  const std::int64_t i = thread_index();
  if (i > rows) return;
  std::int64_t first = 0, last = count;
  while (first < last) {
    const std::int64_t middle = (first + last) / 2;
    if (row[middle] < i) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  indptr[i] = static_cast<I>(first);
}

std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// A stable sort of positions by one key after the other; the least significant key comes first.
template <class I>
class PositionSort {
 public:
  static std::size_t cub_bytes(std::int64_t count) {
    std::size_t bytes = 0;
    const I* const in = nullptr;
    I* const out = nullptr;
    check(cub::DeviceRadixSort::SortPairs(nullptr, bytes, in, out, in, out, count), "sort");
    return padded(bytes);
  }

  static std::size_t bytes(std::int64_t count) {
    return cub_bytes(count) + 4 * padded(static_cast<std::size_t>(count) * sizeof(I));
  }

  PositionSort(std::int64_t count, Workspace workspace, Stream stream)
      : count_(count), temporary_bytes_(cub_bytes(count)), stream_(native(stream)) {
    auto* at = static_cast<unsigned char*>(workspace.data);
    for (I** part : {&keys, &sorted_keys, &numbers, &order}) {
      *part = reinterpret_cast<I*>(at);
      at += padded(static_cast<std::size_t>(count) * sizeof(I));
    }
    temporary_ = at;
    number<<<blocks_for(count), block, 0, stream_>>>(count, numbers);
  }

  /// Sorts positions that are in the order `from` by keys below `limit`: into sorted_keys and `to`.
  void sort(const I* by, std::int64_t limit, const I* from, I* to) {
    int bits = 1;
    while (bits < 63 && (std::int64_t{1} << bits) < limit) ++bits;
    check(cub::DeviceRadixSort::SortPairs(temporary_, temporary_bytes_, by, sorted_keys, from, to,
                                          count_, 0, bits, stream_),
          "sort");
  }

  I *keys, *sorted_keys, *numbers, *order;

 private:
  std::int64_t count_;
  void* temporary_;
  std::size_t temporary_bytes_;
  cudaStream_t stream_;
};

template <class I>
void write_offsets(const I* row, std::int64_t count, std::int64_t rows, void* indptr,
                   cudaStream_t stream) {
  find_offsets<<<blocks_for(rows + 1), block, 0, stream>>>(row, count, rows,
                                                           static_cast<I*>(indptr));
}

}  // namespace

std::size_t sort_workspace(std::int64_t nnz, DType index_dtype) {
  return visit_index(index_dtype, "indices", [&](auto index) {
    return PositionSort<typename decltype(index)::type>::bytes(nnz);
  });
}

void transpose(const CsrPattern& pattern, void* indptr, void* indices, void* map,
               Workspace workspace, Stream stream) {
  const DeviceScope scope(stream, "transpose");
  const std::int64_t nnz = pattern.nnz;
  check_workspace(workspace, sort_workspace(nnz, pattern.index_dtype), "transpose");
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    if (nnz == 0) {
      write_offsets<I>(nullptr, 0, pattern.cols, indptr, native(stream));
      return;
    }
    PositionSort<I> sort(nnz, workspace, stream);
    I* const positions = static_cast<I*>(map);
    sort.sort(static_cast<const I*>(pattern.indices), pattern.cols, sort.numbers, positions);
    write_offsets(sort.sorted_keys, nnz, pattern.cols, indptr, native(stream));
    find_rows<<<blocks_for(nnz), block, 0, native(stream)>>>(static_cast<const I*>(pattern.indptr),
                                                             pattern.rows, positions, nnz,
                                                             static_cast<I*>(indices));
  });
  check_launch("transpose");
}

void coo_to_csr(const CooPattern& coo, bool sorted, void* indptr, void* indices, void* map,
                Workspace workspace, Stream stream) {
  const DeviceScope scope(stream, "coo_to_csr");
  check_workspace(workspace, sort_workspace(coo.nnz, coo.index_dtype), "coo_to_csr");
  visit_index(coo.index_dtype, "row", [&](auto index) {
    using I = typename decltype(index)::type;
    if (coo.nnz == 0) {
      write_offsets<I>(nullptr, 0, coo.rows, indptr, native(stream));
      return;
    }
    PositionSort<I> sort(coo.nnz, workspace, stream);
    const I *const row = static_cast<const I*>(coo.row), *const col =
                                                             static_cast<const I*>(coo.col);
    I* const positions = static_cast<I*>(map);
    const unsigned blocks = blocks_for(coo.nnz);
    if (sorted) {
      sort.sort(col, coo.cols, sort.numbers, sort.order);
      gather_indices<<<blocks, block, 0, native(stream)>>>(row, sort.order, coo.nnz, sort.keys);
      sort.sort(sort.keys, coo.rows, sort.order, positions);
    } else {
      sort.sort(row, coo.rows, sort.numbers, positions);
    }
    write_offsets(sort.sorted_keys, coo.nnz, coo.rows, indptr, native(stream));
    gather_indices<<<blocks, block, 0, native(stream)>>>(col, positions, coo.nnz,
                                                         static_cast<I*>(indices));
  });
  check_launch("coo_to_csr");
}

void csr_to_coo(const CsrPattern& pattern, void* row, Stream stream) {
  if (pattern.nnz == 0) return;
  const DeviceScope scope(stream, "csr_to_coo");
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    find_rows<<<blocks_for(pattern.nnz), block, 0, native(stream)>>>(
        static_cast<const I*>(pattern.indptr), pattern.rows, static_cast<const I*>(nullptr),
        pattern.nnz, static_cast<I*>(row));
  });
  check_launch("csr_to_coo");
}

void sort_indices(const CsrPattern& pattern, void* indices, void* map, Workspace workspace,
                  Stream stream) {
  const std::int64_t nnz = pattern.nnz;
  if (nnz == 0) return;
  const DeviceScope scope(stream, "sort_indices");
  check_workspace(workspace, sort_workspace(nnz, pattern.index_dtype), "sort_indices");
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    PositionSort<I> sort(nnz, workspace, stream);
    const I* const col = static_cast<const I*>(pattern.indices);
    I* const positions = static_cast<I*>(map);
    sort.sort(col, pattern.cols, sort.numbers, sort.order);
    find_rows<<<blocks_for(nnz), block, 0, native(stream)>>>(
        static_cast<const I*>(pattern.indptr), pattern.rows, sort.order, nnz, sort.keys);
    sort.sort(sort.keys, pattern.rows, sort.order, positions);
    gather_indices<<<blocks_for(nnz), block, 0, native(stream)>>>(col, positions, nnz,
                                                                  static_cast<I*>(indices));
  });
  check_launch("sort_indices");
}

}  // namespace gossamer::cuda
