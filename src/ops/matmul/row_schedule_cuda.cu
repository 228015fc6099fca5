// SPDX-License-Identifier: Apache-2.0
// How rows are dealt out: counted by classes of lengths, then sorted by them.
#include <bit>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include "core/visit.hpp"
#include "cuda/partition.cuh"
#include "ops/matmul/matmul_cuda.cuh"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;
constexpr int last_class = RowSchedule::classes - 1;
static_assert(tuning::matmul_cuda_piece == 2 << last_class);
static_assert(std::has_single_bit(static_cast<std::uint64_t>(tuning::matmul_cuda_tile)) &&
              tuning::matmul_cuda_tile <= tuning::matmul_cuda_piece);

struct Counts {
  unsigned long long rows[RowSchedule::classes], pieces, longest;
};

__device__ int class_of(std::int64_t length) {
  return length <= 4 ? 0 : min(62 - __clzll(length - 1), last_class);
}

__device__ std::int64_t pieces_of(std::int64_t length) {
  return (length + tuning::matmul_cuda_piece - 1) / tuning::matmul_cuda_piece;
}

template <class I>
__global__ void count(const I* indptr, std::int64_t rows, Counts* counts) {
  __shared__ Counts here;
  auto* const fields = reinterpret_cast<unsigned long long*>(&here);
  for (int k = threadIdx.x; k < RowSchedule::classes + 2; k += block) fields[k] = 0;
  __syncthreads();
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x; i < rows;
       i += static_cast<std::int64_t>(gridDim.x) * block) {
    const std::int64_t length = indptr[i + 1] - indptr[i];
    const int c = class_of(length);
    atomicAdd(&here.rows[c], 1ull);
    if (c == last_class)
      atomicAdd(&here.pieces, static_cast<unsigned long long>(pieces_of(length)));
    if (length > here.longest) atomicMax(&here.longest, static_cast<unsigned long long>(length));
  }
  __syncthreads();
  if (threadIdx.x <= RowSchedule::classes) {
    atomicAdd(reinterpret_cast<unsigned long long*>(counts) + threadIdx.x, fields[threadIdx.x]);
  } else if (threadIdx.x == RowSchedule::classes + 1) {
    atomicMax(&counts->longest, here.longest);
  }
}

/// Keys that sort the longest class to the front.
template <class I>
__global__ void classify(const I* indptr, std::int64_t rows, std::uint8_t* keys, I* row) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
  if (i >= rows) return;
  keys[i] = static_cast<std::uint8_t>(last_class - class_of(indptr[i + 1] - indptr[i]));
  row[i] = static_cast<I>(i);
}

template <class I>
__global__ void count_pieces(const I* indptr, const I* order, std::int64_t cut, I* offsets) {
  const std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
  if (k > cut) return;
  offsets[k] = k == cut ? I{0} : static_cast<I>(pieces_of(indptr[order[k] + 1] - indptr[order[k]]));
}

template <class I>
__global__ void assign_pieces(const I* offsets, std::int64_t cut, std::int64_t pieces, I* owners) {
  const std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
  if (k < pieces) owners[k] = static_cast<I>(segment_of(offsets, cut, k));
}

/// The first row of each tile: places of rows, the rows and positions before them, are ascending.
template <class I>
__global__ void begin_tiles(const I* indptr, std::int64_t rows, std::int64_t tiles, I* first_rows) {
  const std::int64_t tile = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
  if (tile > tiles) return;
  std::int64_t first = 0, last = rows;
  while (first < last) {
    const std::int64_t middle = (first + last) / 2;
    if (middle + indptr[middle] < tile * tuning::matmul_cuda_tile) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  first_rows[tile] = static_cast<I>(first);
}

unsigned blocks_for(std::int64_t threads) {
  return static_cast<unsigned>((threads + block - 1) / block);
}

std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Bytes that CUB's sort and scan of `count` rows need.
template <class I>
std::size_t cub_bytes(std::int64_t count) {
  std::size_t sort = 0, scan = 0;
  check(cub::DeviceRadixSort::SortPairs(nullptr, sort, static_cast<const std::uint8_t*>(nullptr),
                                        static_cast<std::uint8_t*>(nullptr),
                                        static_cast<const I*>(nullptr), static_cast<I*>(nullptr),
                                        count, 0, 4),
        "row_schedule_workspace");
  check(cub::DeviceScan::ExclusiveSum(nullptr, scan, static_cast<I*>(nullptr),
                                      static_cast<I*>(nullptr), count + 1),
        "row_schedule_workspace");
  return padded(std::max(sort, scan));
}

}  // namespace

std::int64_t RowSchedule::elements() const {
  if (even) return 0;
  std::int64_t rows = 0;
  for (std::int64_t count : class_rows) rows += count;
  if (pieces > 0) rows += class_rows[last_class] + 1 + pieces;
  return tiles == 0 ? rows : rows + tiles + 1;
}

RowSchedule plan_rows(const CsrPattern& pattern, Workspace workspace, Stream stream) {
  const DeviceScope scope(stream, "plan_rows");
  check_workspace(workspace, 256, "plan_rows");
  RowSchedule schedule;
  if (pattern.nnz == 0) return schedule;
  auto* const counts = static_cast<Counts*>(workspace.data);
  check(cudaMemsetAsync(counts, 0, sizeof(Counts), native(stream)), "plan_rows");
  visit_index(pattern.index_dtype, "indptr", [&](auto index) {
    using I = typename decltype(index)::type;
    count<<<std::min(blocks_for(pattern.rows), 1024u), block, 0, native(stream)>>>(
        static_cast<const I*>(pattern.indptr), pattern.rows, counts);
  });
  check_launch("plan_rows");
  Counts found;
  check(cudaMemcpyAsync(&found, counts, sizeof(found), cudaMemcpyDeviceToHost, native(stream)),
        "plan_rows");
  check(cudaStreamSynchronize(native(stream)), "plan_rows");
  const auto longest = static_cast<std::int64_t>(found.longest);
  schedule.even = longest <= tuning::matmul_cuda_piece &&
                  longest <= tuning::matmul_cuda_uneven_positions +
                                 tuning::matmul_cuda_uneven_ratio * (pattern.nnz / pattern.rows);
  if (schedule.even) return schedule;
  schedule.pieces = static_cast<std::int64_t>(found.pieces);
  const std::int64_t tiles =
      (pattern.nnz + pattern.rows + tuning::matmul_cuda_tile - 1) / tuning::matmul_cuda_tile;
  if (tiles >= tuning::matmul_cuda_tiles * device_properties(stream.device).multiprocessors) {
    schedule.tiles = tiles;
  }
  for (int c = 0; c < RowSchedule::classes; ++c) {
    schedule.class_rows[c] = static_cast<std::int64_t>(found.rows[c]);
  }
  return schedule;
}

std::size_t row_schedule_workspace(const CsrPattern& pattern) {
  return visit_index(pattern.index_dtype, "indptr", [&](auto index) {
    using I = typename decltype(index)::type;
    const auto rows = static_cast<std::size_t>(pattern.rows);
    return 2 * padded(rows) + padded(rows * sizeof(I)) + cub_bytes<I>(pattern.rows);
  });
}

void fill_row_schedule(const CsrPattern& pattern, const RowSchedule& schedule, void* memory,
                       Workspace workspace, Stream stream) {
  const DeviceScope scope(stream, "fill_row_schedule");
  check_workspace(workspace, row_schedule_workspace(pattern), "fill_row_schedule");
  visit_index(pattern.index_dtype, "indptr", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* const indptr = static_cast<const I*>(pattern.indptr);
    I* const order = static_cast<I*>(memory);
    auto* const keys = static_cast<std::uint8_t*>(workspace.data);
    std::uint8_t* const sorted_keys = keys + padded(static_cast<std::size_t>(pattern.rows));
    I* const rows = reinterpret_cast<I*>(sorted_keys + (sorted_keys - keys));
    auto* const temporary = reinterpret_cast<std::uint8_t*>(rows) +
                            padded(static_cast<std::size_t>(pattern.rows) * sizeof(I));
    std::size_t bytes = cub_bytes<I>(pattern.rows);
    classify<<<blocks_for(pattern.rows), block, 0, native(stream)>>>(indptr, pattern.rows, keys,
                                                                     rows);
    check(cub::DeviceRadixSort::SortPairs(temporary, bytes, keys, sorted_keys, rows, order,
                                          pattern.rows, 0, 4, native(stream)),
          "fill_row_schedule");
    if (schedule.pieces > 0) {
      const std::int64_t cut = schedule.class_rows[last_class];
      I* const offsets = order + pattern.rows;
      count_pieces<<<blocks_for(cut + 1), block, 0, native(stream)>>>(indptr, order, cut, offsets);
      check(cub::DeviceScan::ExclusiveSum(temporary, bytes, offsets, offsets, cut + 1,
                                          native(stream)),
            "fill_row_schedule");
      assign_pieces<<<blocks_for(schedule.pieces), block, 0, native(stream)>>>(
          offsets, cut, schedule.pieces, offsets + cut + 1);
    }
    if (schedule.tiles > 0) {
      begin_tiles<<<blocks_for(schedule.tiles + 1), block, 0, native(stream)>>>(
          indptr, pattern.rows, schedule.tiles, order + (schedule.elements() - schedule.tiles - 1));
    }
  });
  check_launch("fill_row_schedule");
}

}  // namespace gossamer::cuda
