// SPDX-License-Identifier: Apache-2.0
// Columns of C = A B. A row of C is what remains of the columns of its products when repeated ones
// are dropped: few products are sorted in a warp's registers, more by a block in shared memory, and
// of many a bitmap of the columns is marked. The rows of each kind are listed first.
#include <algorithm>
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_scan.cuh>

#include "core/visit.hpp"
#include "cuda/row_offsets.cuh"
#include "gossamer/cuda/spgemm.hpp"
#include "ops/spgemm/spgemm.hpp"
#include "ops/spgemm/spgemm_cuda_tuning.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;
using Count = unsigned long long;

/// How the columns of a row of C are found.
enum Kind : std::uint8_t {
  in_warp,
  by_warp,
  by_small_block,
  by_block,
  by_bitmap,
  kinds,
  empty = kinds
};

template <class I>
struct Operands {
  Operands(const CsrPattern& a, const CsrPattern& b)
      : a_indptr(static_cast<const I*>(a.indptr)),
        a_indices(static_cast<const I*>(a.indices)),
        b_indptr(static_cast<const I*>(b.indptr)),
        b_indices(static_cast<const I*>(b.indices)),
        rows(a.rows),
        cols(b.cols) {
    while (log_lanes < 5 &&
           (std::int64_t{2} << log_lanes) <= b.nnz / std::max<std::int64_t>(1, b.rows)) {
      ++log_lanes;
    }
    while (bits < 63 && (std::int64_t{1} << bits) <= cols) ++bits;
  }

  const I *a_indptr, *a_indices, *b_indptr, *b_indices;
  std::int64_t rows, cols;
  int log_lanes = 0;  ///< lanes that take a row of B: about its length
  int bits = 1;       ///< of a column, and of `cols`, which stands behind all of them
};

/// Memory that both phases share.
template <class I>
struct Lists {
  Count* length;       ///< [kinds] rows of each kind
  Count* filled;       ///< [kinds]
  std::uint8_t* kind;  ///< [rows]
  I* rows;             ///< [rows] by kinds
  unsigned* bitmap;    ///< [blocks][words], zero between rows
  std::int64_t words;
  int blocks;
  unsigned char* scan;
  std::size_t scan_bytes;

  __device__ std::int64_t begin(int of) const {
    Count sum = 0;
    for (int k = 0; k < of; ++k) sum += length[k];
    return static_cast<std::int64_t>(sum);
  }
};

std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Lays the lists out from `at` on; returns their bytes.
template <class I>
std::size_t lay_out(std::int64_t rows, std::int64_t cols, unsigned char* at, Lists<I>& lists) {
  unsigned char* const first = at;
  const auto take = [&](std::size_t bytes) {
    unsigned char* const part = at;
    at += padded(bytes);
    return part;
  };
  const auto count = static_cast<std::size_t>(rows);
  lists.words = (cols + 127) / 128 * 4;
  lists.blocks = static_cast<int>(std::clamp<std::int64_t>(
      tuning::spgemm_bitmap_bytes / (lists.words * 4 + 1), 1, tuning::spgemm_bitmap_blocks));
  lists.length = reinterpret_cast<Count*>(take(2 * kinds * sizeof(Count)));
  lists.filled = lists.length + kinds;
  lists.bitmap = reinterpret_cast<unsigned*>(
      take(static_cast<std::size_t>(lists.blocks) * static_cast<std::size_t>(lists.words) * 4));
  lists.kind = take(count);
  lists.rows = reinterpret_cast<I*>(take(count * sizeof(I)));
  lists.scan_bytes = row_offsets_workspace<std::int64_t>(rows);
  lists.scan = take(lists.scan_bytes);
  return static_cast<std::size_t>(at - first);
}

/// Columns of C in its index type.
struct Columns {
  void* data;
  bool wide;

  __device__ void set(std::int64_t at, std::int64_t column) const {
    if (wide) {
      static_cast<std::int64_t*>(data)[at] = column;
    } else {
      static_cast<std::int32_t*>(data)[at] = static_cast<std::int32_t>(column);
    }
  }
};

/// A warp a row: counts products, at most as far as it matters.
template <class I>
__global__ void find_kinds(Operands<I> ab, Lists<I> lists, std::int64_t* counts) {
  const std::int64_t row = (static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) / 32;
  const int lane = threadIdx.x % 32;
  if (row > ab.rows) return;
  std::int64_t products = 0;
  if (row < ab.rows) {
    for (std::int64_t q = ab.a_indptr[row] + lane; q < ab.a_indptr[row + 1]; q += 32) {
      const I k = ab.a_indices[q];
      products += ab.b_indptr[k + 1] - ab.b_indptr[k];
    }
    for (int mask = 1; mask < 32; mask *= 2) products += __shfl_xor_sync(~0u, products, mask);
  }
  if (lane != 0) return;
  if (products == 0) counts[row] = 0;
  if (row == ab.rows) return;
  lists.kind[row] = products == 0                                 ? empty
                    : products <= 32                              ? in_warp
                    : products <= tuning::spgemm_warp_sort        ? by_warp
                    : products <= tuning::spgemm_small_block_sort ? by_small_block
                    : products <= tuning::spgemm_block_sort       ? by_block
                                                                  : by_bitmap;
}

/// A thread a row: counts the rows of each kind or, listing, writes their lists.
template <bool Listing, class I>
__global__ void list_rows(std::int64_t rows, Lists<I> lists) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
  const int lane = threadIdx.x % 32;
  const int mine = row < rows ? lists.kind[row] : empty;
  for (int kind = 0; kind < kinds; ++kind) {
    const unsigned all = __ballot_sync(~0u, mine == kind);
    if (all == 0) continue;
    Count base = 0;
    if (lane == 0)
      base = atomicAdd((Listing ? lists.filled : lists.length) + kind, Count(__popc(all)));
    base = __shfl_sync(~0u, base, 0);
    if (Listing && mine == kind) {
      lists.rows[lists.begin(kind) + static_cast<std::int64_t>(base) +
                 __popc(all & ((1u << lane) - 1))] = static_cast<I>(row);
    }
  }
}

/// The product with the lane's number among those of a row, at most 32; `cols` for lanes beyond.
template <class I>
__device__ I product_of_lane(const Operands<I>& ab, std::int64_t row) {
  const int lane = threadIdx.x % 32;
  I key = static_cast<I>(ab.cols);
  int before = 0;
  const std::int64_t end = ab.a_indptr[row + 1];
  for (std::int64_t base = ab.a_indptr[row]; base < end; base += 32) {
    I from = 0;
    int length = 0;
    if (base + lane < end) {
      const I k = ab.a_indices[base + lane];
      from = ab.b_indptr[k];
      length = static_cast<int>(ab.b_indptr[k + 1] - from);
    }
    int sum = length;
    for (int distance = 1; distance < 32; distance *= 2) {
      const int left = __shfl_up_sync(~0u, sum, distance);
      if (lane >= distance) sum += left;
    }
    const int wanted = lane - before;
    int entry = 0;
    for (int step = 16; step > 0; step /= 2) {
      if (__shfl_sync(~0u, sum, entry + step - 1) <= wanted) entry += step;
    }
    const I first = __shfl_sync(~0u, from, entry & 31);
    const int skipped = __shfl_sync(~0u, sum - length, entry & 31);
    const int total = __shfl_sync(~0u, sum, 31);
    if (0 <= wanted && wanted < total) key = ab.b_indices[first + wanted - skipped];
    before += total;
  }
  return key;
}

template <class I>
__device__ I sort_in_warp(I key) {
  const int lane = threadIdx.x % 32;
  for (int size = 2; size <= 32; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      const I other = __shfl_xor_sync(~0u, key, stride);
      const bool takes_less = ((lane & stride) == 0) == ((lane & size) == 0);
      if (takes_less == (other < key)) key = other;
    }
  }
  return key;
}

template <bool Fill, class I>
__global__ void __launch_bounds__(block)
    sort_in_warps(Operands<I> ab, Lists<I> lists, std::int64_t* offsets, Columns columns) {
  const int lane = threadIdx.x % 32;
  const std::int64_t begin = lists.begin(in_warp), end = lists.begin(in_warp + 1);
  const std::int64_t warp = (static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) / 32;
  for (std::int64_t r = begin + warp; r < end; r += std::int64_t{gridDim.x} * block / 32) {
    const std::int64_t row = lists.rows[r];
    const I key = sort_in_warp(product_of_lane(ab, row));
    const I left = __shfl_up_sync(~0u, key, 1);
    const bool first = key < ab.cols && (lane == 0 || left != key);
    const unsigned all = __ballot_sync(~0u, first);
    if (!Fill && lane == 0) offsets[row] = __popc(all);
    if (Fill && first) columns.set(offsets[row] + __popc(all & ((1u << lane) - 1)), key);
  }
}

/// Calls body(row of B) for the entries of a row of A, a group of lanes each: body(begin, end,
/// lane, lanes, mask of the group).
template <class I, class Body>
__device__ void for_each_factor(const Operands<I>& ab, std::int64_t row, Body body) {
  const int lanes = 1 << ab.log_lanes, lane = threadIdx.x & (lanes - 1);
  const unsigned group = (lanes == 32 ? ~0u : (1u << lanes) - 1) << (threadIdx.x % 32 - lane);
  const std::int64_t end = ab.a_indptr[row + 1];
  for (std::int64_t q = ab.a_indptr[row] + (threadIdx.x >> ab.log_lanes); q < end;
       q += blockDim.x >> ab.log_lanes) {
    const I k = ab.a_indices[q];
    body(std::int64_t{ab.b_indptr[k]}, std::int64_t{ab.b_indptr[k + 1]}, lane, lanes, group);
  }
}

template <bool Fill, int Threads, int Items, class I>
__global__ void __launch_bounds__(Threads) sort_by_blocks(int kind, Operands<I> ab, Lists<I> lists,
                                                          std::int64_t* offsets, Columns columns) {
  using Sort = cub::BlockRadixSort<I, Threads, Items>;
  using Scan = cub::BlockScan<int, Threads>;
  __shared__ union {
    I keys[Threads * Items];
    typename Sort::TempStorage sort;
    I last[Threads];
    typename Scan::TempStorage scan;
  } shared;
  __shared__ int products;
  const std::int64_t end = lists.begin(kind + 1);
  for (std::int64_t r = lists.begin(kind) + blockIdx.x; r < end; r += gridDim.x) {
    const std::int64_t row = lists.rows[r];
    if (threadIdx.x == 0) products = 0;
    __syncthreads();
    for_each_factor(ab, row,
                    [&](std::int64_t from, std::int64_t to, int lane, int lanes, unsigned group) {
                      int base = 0;
                      if (lane == 0) base = atomicAdd(&products, static_cast<int>(to - from));
                      base = __shfl_sync(group, base, 0, lanes);
                      for (std::int64_t p = from + lane; p < to; p += lanes) {
                        shared.keys[base + static_cast<int>(p - from)] = ab.b_indices[p];
                      }
                    });
    __syncthreads();
    I key[Items];
    for (int i = 0; i < Items; ++i) {
      const int slot = i * Threads + static_cast<int>(threadIdx.x);
      key[i] = slot < products ? shared.keys[slot] : static_cast<I>(ab.cols);
    }
    __syncthreads();
    Sort(shared.sort).Sort(key, 0, ab.bits);
    __syncthreads();
    shared.last[threadIdx.x] = key[Items - 1];
    __syncthreads();
    I left = threadIdx.x == 0 ? I{-1} : shared.last[threadIdx.x - 1];
    unsigned firsts = 0;
    for (int i = 0; i < Items; ++i) {
      firsts |= static_cast<unsigned>(key[i] != left && key[i] < ab.cols) << i;
      left = key[i];
    }
    __syncthreads();
    int before = 0, total = 0;
    Scan(shared.scan).ExclusiveSum(__popc(firsts), before, total);
    if (!Fill && threadIdx.x == 0) offsets[row] = total;
    if (Fill) {
      std::int64_t to = offsets[row] + before;
      for (int i = 0; i < Items; ++i) {
        if (firsts >> i & 1) columns.set(to++, key[i]);
      }
    }
    __syncthreads();
  }
}

/// A block marks the columns of a row in a bitmap of its own, and reads it in order.
template <bool Fill, int Threads, class I>
__global__ void __launch_bounds__(Threads)
    mark_by_blocks(Operands<I> ab, Lists<I> lists, std::int64_t* offsets, Columns columns) {
  using Scan = cub::BlockScan<int, Threads>;
  __shared__ typename Scan::TempStorage scan;
  unsigned* const bitmap = lists.bitmap + blockIdx.x * lists.words;
  const std::int64_t end = lists.begin(by_bitmap + 1);
  for (std::int64_t r = lists.begin(by_bitmap) + blockIdx.x; r < end; r += gridDim.x) {
    const std::int64_t row = lists.rows[r];
    for_each_factor(ab, row,
                    [&](std::int64_t from, std::int64_t to, int lane, int lanes, unsigned) {
                      for (std::int64_t p = from + lane; p < to; p += lanes) {
                        const I column = ab.b_indices[p];
                        atomicOr(bitmap + column / 32, 1u << column % 32);
                      }
                    });
    __syncthreads();
    std::int64_t found = 0;
    for (std::int64_t base = 0; base < lists.words; base += 4 * Threads) {
      const std::int64_t at = base + 4 * threadIdx.x;
      uint4* const place = reinterpret_cast<uint4*>(bitmap + at);
      const uint4 four = at < lists.words ? __ldcg(place) : uint4{};
      const unsigned words[4] = {four.x, four.y, four.z, four.w};
      int marked = 0, before = 0, total = 0;
      for (unsigned word : words) marked += __popc(word);
      Scan(scan).ExclusiveSum(marked, before, total);
      if (marked > 0) {
        *place = uint4{};
        std::int64_t to = Fill ? offsets[row] + found + before : 0;
        for (int w = 0; Fill && w < 4; ++w) {
          for (unsigned left = words[w]; left != 0; left &= left - 1) {
            columns.set(to++, (at + w) * 32 + __ffs(static_cast<int>(left)) - 1);
          }
        }
      }
      found += total;
      __syncthreads();
    }
    if (!Fill && threadIdx.x == 0) offsets[row] = found;
  }
}

unsigned blocks_for(std::int64_t threads) {
  return static_cast<unsigned>((threads + block - 1) / block);
}

/// All kinds of rows, one kernel after the other; each reads on the device how many there are.
template <bool Fill, class I>
void run(const Operands<I>& ab, const Lists<I>& lists, std::int64_t* offsets, Columns columns,
         Stream stream) {
  const auto resident = [&](std::int64_t rows, int blocks) {
    const std::int64_t most =
        std::int64_t{blocks} * device_properties(stream.device).multiprocessors;
    return static_cast<unsigned>(std::min(rows, most));
  };
  const cudaStream_t on = native(stream);
  sort_in_warps<Fill>
      <<<resident(blocks_for(ab.rows * 32), 16), block, 0, on>>>(ab, lists, offsets, columns);
  const auto sort = [&]<int Threads, int Items>(Kind kind, int blocks) {
    sort_by_blocks<Fill, Threads, Items>
        <<<resident(ab.rows, blocks), Threads, 0, on>>>(kind, ab, lists, offsets, columns);
  };
  sort.template operator()<32, tuning::spgemm_warp_sort / 32>(by_warp, 32);
  sort.template operator()<128, tuning::spgemm_small_block_sort / 128>(by_small_block, 16);
  sort.template operator()<256, tuning::spgemm_block_sort / 256>(by_block, 6);
  mark_by_blocks<Fill, 512><<<lists.blocks, 512, 0, on>>>(ab, lists, offsets, columns);
  check_launch("spgemm");
}

}  // namespace

std::size_t spgemm_workspace(const CsrPattern& a, const CsrPattern& b) {
  return visit_index(a.index_dtype, "A's indices", [&](auto index) {
    Lists<typename decltype(index)::type> lists;
    return lay_out(a.rows, b.cols, nullptr, lists);
  });
}

std::int64_t spgemm_count(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr,
                          Workspace workspace, Stream stream) {
  check_spgemm(a, b);
  check_workspace(workspace, spgemm_workspace(a, b), "spgemm");
  const DeviceScope scope(stream, "spgemm");
  return visit_index(a.index_dtype, "A's indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const Operands<I> ab(a, b);
    Lists<I> lists;
    lay_out(a.rows, b.cols, static_cast<unsigned char*>(workspace.data), lists);
    const cudaStream_t on = native(stream);
    check(
        cudaMemsetAsync(
            lists.length, 0,
            static_cast<std::size_t>(lists.kind - static_cast<unsigned char*>(workspace.data)), on),
        "spgemm");
    find_kinds<<<blocks_for((a.rows + 1) * 32), block, 0, on>>>(ab, lists, indptr);
    if (a.rows > 0) {
      list_rows<false><<<blocks_for(a.rows), block, 0, on>>>(a.rows, lists);
      list_rows<true><<<blocks_for(a.rows), block, 0, on>>>(a.rows, lists);
      run<false>(ab, lists, indptr, {}, stream);
    }
    check_launch("spgemm");
    return to_row_offsets(indptr, a.rows, {lists.scan, lists.scan_bytes}, stream, "spgemm");
  });
}

void spgemm_fill(const CsrPattern& a, const CsrPattern& b, const std::int64_t* indptr,
                 DType c_index_dtype, void* indices, Workspace workspace, Stream stream) {
  check_spgemm_fill({a}, {b}, {indptr, c_index_dtype, indices, nullptr});
  check_workspace(workspace, spgemm_workspace(a, b), "spgemm");
  if (a.rows == 0) return;
  const DeviceScope scope(stream, "spgemm");
  visit_index(a.index_dtype, "A's indices", [&](auto index) {
    using I = typename decltype(index)::type;
    Lists<I> lists;
    lay_out(a.rows, b.cols, static_cast<unsigned char*>(workspace.data), lists);
    run<true>(Operands<I>(a, b), lists, const_cast<std::int64_t*>(indptr),
              {indices, c_index_dtype == DType::int64}, stream);
  });
}

}  // namespace gossamer::cuda
