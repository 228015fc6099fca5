// SPDX-License-Identifier: Apache-2.0
// Y = X A^T for the arrangement of bitmap_tiles.hpp and 17 to 64 rows of X: one decode serves them
// all. One persistent block a multiprocessor takes an even share of the units. A warp has the copy
// engine bring pairs into a ring of stages, two warps bring X, and sixteen warps expand a tile each
// into A fragments, which wgmma multiplies by X in shared memory. Blocks that share rows add up in
// the order of the columns.
#include <algorithm>

#include "cuda/async_copy.cuh"
#include "cuda/launch.cuh"
#include "cuda/mbarrier.cuh"
#include "cuda/runtime.hpp"
#include "cuda/wgmma.cuh"
#include "ops/packed_matmul/cuda/bitmap_tiles_decode.cuh"

namespace gossamer::cuda::bitmap_tiles {
namespace {

inline constexpr int warps = unit_pairs * pair_tiles;  ///< that expand
inline constexpr int x_threads = 64;                   ///< that bring X
inline constexpr int threads = 32 * (warps + 1) + x_threads;
inline constexpr int most_stages = 8;
inline constexpr unsigned shared_bytes = 224 << 10;

/// Where things are in a stage: twice half a unit's pairs with zeros behind them, then X.
struct Stage {
  static constexpr int half = unit_pairs / 2;
  unsigned pair, zeros, x, bytes;
  Stage(const View& a, int vectors)
      : pair((a.largest_pair + 15) / 16 * 16),
        zeros(half * pair),
        x((2 * (zeros + zero_bytes(a)) + 127) / 128 * 128),
        bytes(x + 2 * tile_cols * vectors) {}
  /// Of a pair of a unit, and of the zeros behind the half that it is in.
  __device__ unsigned pair_at(int i) const { return i / half * zeros_end() + i % half * pair; }
  __device__ unsigned zeros_at(int i) const { return i / half * zeros_end() + zeros; }
  __device__ unsigned zeros_end() const { return x / 2; }
};

constexpr int row_units(const View& a) { return (a.rows + unit_rows - 1) / unit_rows; }

/// Units [first(b), first(b + 1)) are block b's. There are at most 2^22 units and fewer than 2^10
/// blocks.
struct Share {
  unsigned units, blocks;
  __device__ unsigned first(unsigned block) const { return units * block / blocks; }
  __device__ unsigned block_of(unsigned unit) const { return ((unit + 1) * blocks - 1) / units; }
};

/// The block's shared memory as its warps see it.
struct Ring {
  unsigned base, barriers;
  Stage stage;
  __device__ unsigned at(const RingPosition& p) const { return base + p.stage * stage.bytes; }
  __device__ unsigned full(int stage) const { return barriers + 8 * stage; }
  __device__ unsigned empty(int stage) const { return barriers + 8 * (most_stages + stage); }
  /// Waits until the consumers left the stage.
  __device__ void wait_empty(const RingPosition& p) const {
    if (p.round > 0) mbarrier_wait(empty(p.stage), (p.round - 1) & 1);
  }
};

/// One warp, a lane a pair of each unit: the pairs of units [first, last).
__device__ void bring_pairs(const View& a, const Ring& ring, int stages, unsigned first,
                            unsigned last) {
  const unsigned lane = threadIdx.x % 32;
  if (lane >= unit_pairs || first == last) return;
  const unsigned columns = a.tile_columns();
  // Behind the last rows the last pairs come again: their products are not stored.
  const auto bounds = [&](unsigned unit) {
    const unsigned row = min(unit / columns * unit_pairs + lane, unsigned(a.row_pairs() - 1));
    const unsigned* offset = a.offset + (row * columns + unit % columns);
    return uint2{offset[0], offset[1]};
  };
  RingPosition position{stages};
  uint2 next = bounds(first);
  for (unsigned unit = first; unit < last; ++unit) {
    const unsigned from = next.x, bytes = 16 * (next.y - next.x);
    next = bounds(min(unit + 1, last - 1));
    ring.wait_empty(position);
    const unsigned full = ring.full(position.stage);
    mbarrier_arrive_expecting(full, bytes);
    mbarrier_bulk_copy(ring.at(position) + ring.stage.pair_at(lane), a.stream + 16 * size_t(from),
                       bytes, full);
    position.advance();
  }
}

/// x_threads threads: the columns of X of units [first, last), eight column numbers of a row
/// contiguous, then the next row, then the next eight: B of wgmma without swizzle. Two units are on
/// their way.
template <class V, int Tiles>
__device__ void bring_x(const V* x, int batch, int cols, int tile_columns, const Ring& ring,
                        int stages, unsigned first, unsigned last, int thread) {
  constexpr int vectors = 8 * Tiles;
  // A thread has eight columns of every eighth row: two column numbers each of four eights.
  const int row = thread % 32 / 4, half = thread / 32, t = thread % 4;
  const VectorRows<V> rows(x, cols);
  uint4 words[2][Tiles];
  const auto load = [&](uint4(&to)[Tiles], unsigned unit) {
    const int column = unit % tile_columns * tile_cols + 32 * half + 8 * t;
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
      to[n] = 8 * n + row < batch ? rows.load(8 * n + row, column) : uint4{};
  };
  if (first < last) load(words[0], first);
  if (first + 1 < last) load(words[1], first + 1);
  RingPosition position{stages};
  for (unsigned begin = first; begin < last; begin += 2) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const unsigned unit = begin + i;
      if (unit >= last) break;
      ring.wait_empty(position);
      const unsigned to =
          ring.at(position) + ring.stage.x + half * (4 * 16 * vectors) + row * 16 + 4 * t;
#pragma unroll
      for (int n = 0; n < Tiles; ++n) {
        const unsigned word[4] = {words[i][n].x, words[i][n].y, words[i][n].z, words[i][n].w};
#pragma unroll
        for (int eight = 0; eight < 4; ++eight)
          asm volatile("st.shared.u32 [%0],%1;" ::"r"(to + eight * (16 * vectors) + n * 128),
                       "r"(word[eight])
                       : "memory");
      }
      fence_for_tensor_cores();
      mbarrier_arrive(ring.full(position.stage));
      position.advance();
      if (unit + 2 < last) load(words[i], unit + 2);
    }
  }
}

/// A barrier of the warps that expand.
__device__ __forceinline__ void sync_expanding() {
  asm volatile("bar.sync 1, %0;" ::"n"(32 * warps) : "memory");
}
/// A barrier of all warps: ring barriers, zeros and constants are written.
__device__ __forceinline__ void sync_start() {
  asm volatile("bar.sync 2, %0;" ::"n"(threads) : "memory");
}
/// Of a warp that does not wait for the others.
__device__ __forceinline__ void arrive_start() {
  asm volatile("bar.arrive 2, %0;" ::"n"(threads) : "memory");
}

/// Sums of one block for the rows of one unit: written to Y, or, where other blocks have the rest
/// of the columns, to `partial`, which the last of them adds up. A thread's sums are of the same
/// rows and vectors in every block.
template <class V, int Tiles>
__device__ void finish_rows(float (&sum)[Tiles][4], const View& a, V* y, int batch, float4* partial,
                            unsigned* arrived, const Share& share, unsigned row_unit,
                            bool& is_last) {
  const unsigned begin = row_unit * a.tile_columns(), first = share.block_of(begin),
                 last = share.block_of(begin + a.tile_columns() - 1);
  if (first != last) {
    // A block shares at most its first rows and its last ones. Only the first of the blocks that
    // share may have begun with other rows.
    const bool second = share.first(first) < begin;
    const auto part = [&](unsigned block) {
      const unsigned slot = 2 * block + (second && block == first);
      return partial + slot * Tiles * 32 * warps + threadIdx.x;
    };
    float4* mine = part(blockIdx.x);
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
      __stcg(mine + n * 32 * warps, float4{sum[n][0], sum[n][1], sum[n][2], sum[n][3]});
    sync_expanding();
    if (threadIdx.x == 0) {
      __threadfence();
      is_last = atomicAdd(&arrived[row_unit], 1u) == last - first;
      __threadfence();
    }
    sync_expanding();
    if (!is_last) return;
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
      for (int k = 0; k < 4; ++k) sum[n][k] = 0;
    for (unsigned block = first; block <= last; ++block) {
      const float4* from = part(block);
#pragma unroll
      for (int n = 0; n < Tiles; ++n) {
        const float4 v = __ldcg(from + n * 32 * warps);
        sum[n][0] += v.x, sum[n][1] += v.y, sum[n][2] += v.z, sum[n][3] += v.w;
      }
    }
    if (threadIdx.x == 0) arrived[row_unit] = 0;
  }
  const int lane = threadIdx.x % 32, vector0 = 2 * (lane % 4),
            row0 = row_unit * unit_rows + threadIdx.x / 32 * tile_rows + lane / 4;
#pragma unroll
  for (int n = 0; n < Tiles; ++n)
    for (int k = 0; k < 4; ++k) {
      const int row = row0 + k / 2 * 8, vector = 8 * n + vector0 + k % 2;
      if (row < a.rows && vector < batch) y[(long)vector * a.rows + row] = V(sum[n][k]);
    }
}

/// Tiles: rows of X / 8.
template <class V, int Tiles>
__global__ void __launch_bounds__(threads, 1)
    many_kernel(const __grid_constant__ View a, const __grid_constant__ Stage stage,
                const V* __restrict__ x, V* __restrict__ y, float4* partial, unsigned* arrived,
                int batch, int stages) {
  constexpr int vectors = 8 * Tiles;
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ uint64_t barriers[2 * most_stages];
  __shared__ unsigned constant_table[32 * Constants::count];
  __shared__ bool is_last;
  launch_dependents();
  const Ring ring{shared_address(shared), shared_address(barriers), stage};
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), lane = threadIdx.x % 32,
            col_units = a.tile_columns();
  const Share share{unsigned(row_units(a) * col_units), gridDim.x};
  const unsigned first = share.first(blockIdx.x), last = share.first(blockIdx.x + 1);
  if (warp == warps) {
    if (lane == 0) {
      for (int s = 0; s < stages; ++s)
        mbarrier_init(ring.full(s), unit_pairs + x_threads), mbarrier_init(ring.empty(s), warps);
      mbarrier_init_fence();
    }
    __syncwarp();
    arrive_start();
    bring_pairs(a, ring, stages, first, last);
    return;
  }
  if (warp > warps) {
    sync_start();
    wait_for_launches_before();
    bring_x<V, Tiles>(x, batch, a.cols, col_units, ring, stages, first, last,
                      threadIdx.x - 32 * (warps + 1));
    return;
  }
  const unsigned zeros = ring.stage.zeros_end() - ring.stage.zeros;
  for (int half = warp; half < 2 * stages; half += warps) {
    const unsigned at = half / 2 * ring.stage.bytes + ring.stage.zeros_at(half % 2 * Stage::half);
    for (unsigned i = 16 * lane; i < zeros; i += 16 * 32)
      *reinterpret_cast<uint4*>(shared + at + i) = {};
  }
  if (warp < Constants::count) constant_table[threadIdx.x] = Constants::value(warp, lane);
  sync_start();
  wait_for_launches_before();
  const Constants constants(shared_address(constant_table));
  float sum[Tiles][4];
  // 8 columns of Y x 16 bytes are contiguous, then the next 8 columns of Y, then the next 8 of the
  // inner dimension.
  const unsigned x_layout = (vectors * 16 >> 4) << 16;
  const int pair = warp / pair_tiles;
  RingPosition position{stages};
  int previous = -1;  // stage that the products under way read
  unsigned row_unit = first / col_units, left = last - first;
  for (unsigned count = min(left, (row_unit + 1) * col_units - first); left > 0; ++row_unit) {
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
      for (int k = 0; k < 4; ++k) sum[n][k] = 0;
    left -= count;
    for (; count > 0; --count) {
      const unsigned base = ring.at(position);
      mbarrier_wait(ring.full(position.stage), position.round & 1);
      unsigned av[4][4];
      expand(av, constants, base + ring.stage.pair_at(pair), warp % pair_tiles,
             base + ring.stage.zeros_at(pair), [&] {
               wgmma_wait();
               if (previous >= 0 && lane == 0) mbarrier_arrive(ring.empty(previous));
             });
      unsigned b = x_layout | (base + ring.stage.x) >> 4;
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; ++k, b += vectors * 32 >> 4)
        wgmma<V, Tiles>(sum, av[k], uint64_t(128 >> 4) << 32 | b);
      wgmma_commit();
      previous = position.stage;
      position.advance();
    }
    wgmma_wait();
    finish_rows<V, Tiles>(sum, a, y, batch, partial, arrived, share, row_unit, is_last);
    count = min(left, unsigned(col_units));
  }
}

template <class V, int Tiles>
cudaError_t launch(const Launch& product) {
  auto* kernel = many_kernel<V, Tiles>;
  static SharedMemoryLimit limit;
  if (const cudaError_t error = limit.raise(kernel, product.device, shared_bytes)) return error;
  const Stage stage(product.a, 8 * Tiles);
  const int stages = std::min<int>(most_stages, shared_bytes / stage.bytes);
  const int units = row_units(product.a) * product.a.tile_columns();
  return launch_overlapped(kernel, std::min(product.blocks, units), threads, stages * stage.bytes,
                           product.stream, product.overlap, product.a, stage,
                           static_cast<const V*>(product.x), static_cast<V*>(product.y),
                           reinterpret_cast<float4*>(product.partial), product.arrived,
                           product.vectors, stages);
}

template <class V>
cudaError_t launch(const Launch& product) {
  return product.vectors <= 32 ? launch<V, 4>(product) : launch<V, 8>(product);
}

}  // namespace

cudaError_t matmul_many(const Launch& product) {
  return product.dtype == DType::float16 ? launch<__half>(product) : launch<__nv_bfloat16>(product);
}

}  // namespace gossamer::cuda::bitmap_tiles
