// SPDX-License-Identifier: Apache-2.0
// Y = X A^T for the arrangement of bitmap_tiles.hpp and up to 64 rows of X: one decode serves them
// all. A warp expands a tile of 16 x 64 into A fragments: the rank of a lane's two elements is the
// population count of the mask below them, so a warp reads 64 positions' values from shared memory
// in order, without bank conflicts; a byte permutation puts the two in their places. Four warps
// multiply them from registers by X in shared memory (wgmma). A block has 8 warps below each other
// and a range of columns; blocks that share rows add up in the order of the columns.
#include <algorithm>

#include "cuda/async_copy.cuh"
#include "cuda/runtime.hpp"
#include "cuda/wgmma.cuh"
#include "ops/packed_matmul/cuda/bitmap_tiles.hpp"

namespace gossamer::cuda::bitmap_tiles {
namespace {

inline constexpr int stages = 4;  ///< tiles of a warp on their way

__device__ __forceinline__ unsigned permute(
    unsigned a, unsigned b, unsigned selector) {  // __byte_perm without its mask of the selector
  unsigned d;
  asm("prmt.b32 %0,%1,%2,%3;" : "=r"(d) : "r"(a), "r"(b), "r"(selector));
  return d;
}

__device__ __forceinline__ uint4 load4(unsigned address) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3},[%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address));
  return v;
}
template <int Offset>
__device__ __forceinline__ unsigned load_half(unsigned address) {
  unsigned v;
  asm volatile("ld.shared.u16 %0,[%1+%2];" : "=r"(v) : "r"(address), "n"(Offset));
  return v;
}

/// grid: (splits, blocks of 128 rows); block: 8 warps. Tiles: columns of Y / 8. `chunk`: tiles of
/// columns of x in shared memory.
template <class V, int Tiles>
__global__ void __launch_bounds__(warps * 32, Tiles <= 4 ? 3 : 2)
    matmul_kernel(View a, const V* __restrict__ x, V* __restrict__ y, float* partial,
                  unsigned* arrived, int batch, int chunk) {
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ bool is_last;
  launch_dependents();
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const int col_tiles = (a.cols + 63) / 64, row_tiles = (a.rows + 15) / 16, splits = gridDim.x;
  const int first = int((long)col_tiles * blockIdx.x / splits),
            last = int((long)col_tiles * (blockIdx.x + 1) / splits);
  const int row_tile = blockIdx.y * warps + warp;
  const int tiles = row_tile < row_tiles ? last - first : 0;
  const uint32_t* offset = a.offset + (long)row_tile * col_tiles + first;
  constexpr int kBatch = 8 * Tiles;
  const unsigned x_size = kBatch * 128 * chunk;  // bytes of one of the two buffers of x
  const unsigned xs = shared_address(shared),
                 ring = xs + 2 * x_size + warp * (stages * a.largest + 128),
                 bases = ring + stages * a.largest;

  // Opaque to the compiler, which would compute them again for every tile.
  const uint8_t* lane_stream = a.stream + lane * 16;
  unsigned mask_at = (lane % 2 * 16 + lane / 2) * 4, lane_masks = lane / 16 * 64,
           largest = a.largest;
  asm volatile("" : "+l"(lane_stream), "+r"(mask_at), "+r"(lane_masks), "+r"(largest));

  unsigned window = 0;  // offsets of the tiles [window_first, window_first + 31], one a lane
  int window_first = -64;
  auto fetch = [&](int i, unsigned slot) {  // tile i into its slot of the ring
    if (i < tiles) {
      if (i + 1 > window_first + 31) window_first = i, window = offset[min(i + lane, tiles)];
      const unsigned from = __shfl_sync(~0u, window, i - window_first),
                     to = __shfl_sync(~0u, window, i + 1 - window_first);
      const uint8_t* source = lane_stream + size_t(from) * 16;
      slot += lane * 16;
      const int left = int(to - from) - lane;
#pragma unroll
      for (int piece = 0; piece < 5; piece++)  // of 512 bytes: 2176 are the most
        if (left > piece * 32)
          asm volatile("cp.async.cg.shared.global [%0],[%1],16;" ::"r"(slot + piece * 512),
                       "l"(source + piece * 512)
                       : "memory");
    }
    async_commit();
  };
  for (int i = 0; i < stages - 1; i++) fetch(i, ring + i * largest);
  wait_for_launches_before();

  const bool aligned = a.cols % 8 == 0 && (uintptr_t)x % 16 == 0;
  auto load_x = [&](int chunk_first,
                    unsigned to) {  // eight columns at a time: B of wgmma without swizzle
    const int count = min(chunk, last - first - chunk_first) * kBatch * 8;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      const int n = i / 8 % kBatch, eight = i / (8 * kBatch) * 8 + i % 8,
                c = (first + chunk_first) * 64 + eight * 8;
      const unsigned at = to + (eight * kBatch + n) * 16;
      const V* from = x + (long)n * a.cols + c;
      if (aligned) {
        const bool valid = n < batch && c < a.cols;
        asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(at), "l"(valid ? from : x),
                     "r"(valid ? 16 : 0)
                     : "memory");
      } else {
        unsigned short v[8] = {};
        for (int e = 0; e < 8; e++)
          if (n < batch && c + e < a.cols) v[e] = ((const unsigned short*)from)[e];
        const uint4& w = (uint4&)v;
        asm volatile("st.shared.v4.u32 [%0],{%1,%2,%3,%4};" ::"r"(at), "r"(w.x), "r"(w.y), "r"(w.z),
                     "r"(w.w)
                     : "memory");
      }
    }
  };
  load_x(0, xs);
  async_commit();
  async_wait<0>();

  float sum[Tiles][4] = {};
  unsigned below = (1u << 2 * (lane & 15)) - 1, shift = 2 * (lane & 15);
  unsigned table_low = 0x32103232u,
           table_high = 0x54101032u;  // selectors of a pair by its mask: none, first, second, both
  asm volatile("" : "+r"(below), "+r"(shift), "+r"(table_low), "+r"(table_high));
  // 8 columns of Y x 16 bytes are contiguous, then the next 8 columns of Y, then the next 8 of the
  // inner dimension.
  const uint64_t x_layout = uint64_t(kBatch * 16 >> 4) << 16 | uint64_t(128 >> 4) << 32;
  unsigned slot = ring, previous = ring + (stages - 1) * largest, buffer = xs;
  uint64_t b = 0;
  for (int i = 0, next_chunk = 0; i < last - first; i++) {
    async_wait<stages - 2>();
    if (i == next_chunk) {
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
      wgmma_wait();
      __syncthreads();
      b = x_layout | buffer >> 4;
      buffer ^= xs ^ xs + x_size;
      next_chunk += chunk;
      if (next_chunk < last - first)
        load_x(next_chunk, buffer);  // ends with the group of the next fetch
    }
    __syncwarp();
    fetch(i + stages - 1, previous);  // into the slot that all lanes left before the barrier above
    {  // address of the first value of each mask word, in the order of the values
      unsigned word;
      asm volatile("ld.shared.u32 %0,[%1];" : "=r"(word) : "r"(slot + mask_at));
      const int count = i < tiles ? __popc(word) : 0;
      int before = count;
#pragma unroll
      for (int k = 1; k < 32; k *= 2)
        asm volatile(
            "{.reg .s32 v; .reg .pred p; shfl.sync.up.b32 v|p,%0,%1,0,-1; @p add.s32 %0,%0,v;}"
            : "+r"(before)
            : "r"(k));
      asm volatile("st.shared.u32 [%0],%1;" ::"r"(bases + mask_at),
                   "r"(slot + 128 + 2 * (before - count))
                   : "memory");
      __syncwarp();
    }
    unsigned av[4][4];
    wgmma_wait();
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const uint4 masks = load4(slot + lane_masks + k * 16),
                  starts = load4(bases + lane_masks + k * 16);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const unsigned mask = j == 0 ? masks.x : j == 1 ? masks.y : j == 2 ? masks.z : masks.w;
        const unsigned start = j == 0 ? starts.x : j == 1 ? starts.y : j == 2 ? starts.z : starts.w;
        const unsigned address = start + 2 * __popc(mask & below);
        const unsigned index = (mask >> shift & 3) * 0x22 + 0x10;
        av[k][j] = permute(load_half<0>(address), load_half<2>(address),
                           permute(table_low, table_high, index));
      }
    }
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; k++, b += kBatch * 32 >> 4) wgmma<V, Tiles>(sum, av[k], b);
    wgmma_commit();
    previous = slot, slot = slot == ring + (stages - 1) * largest ? ring : slot + largest;
  }
  wgmma_wait();

  const int rows_padded = gridDim.y * block_rows, row0 = row_tile * 16 + g;
  auto store = [&](int row, int n, float v) {
    if (row < a.rows && n < batch) y[(long)n * a.rows + row] = V(v);
  };
  if (splits == 1) {
#pragma unroll
    for (int n = 0; n < Tiles; n++)
      for (int k = 0; k < 4; k++) store(row0 + k / 2 * 8, n * 8 + 2 * t + k % 2, sum[n][k]);
    return;
  }
  float* mine = partial + (long)blockIdx.x * 8 * Tiles * rows_padded;
#pragma unroll
  for (int n = 0; n < Tiles; n++)
    for (int k = 0; k < 4; k++)
      __stcg(&mine[(long)(n * 8 + 2 * t + k % 2) * rows_padded + row0 + k / 2 * 8], sum[n][k]);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) is_last = atomicAdd(&arrived[blockIdx.y], 1u) == unsigned(splits - 1);
  __syncthreads();
  if (!is_last) return;
  __threadfence();
#pragma unroll 4
  for (int i = threadIdx.x; i < block_rows / 4 * batch; i += warps * 32) {
    const int row = blockIdx.y * block_rows + i % (block_rows / 4) * 4, n = i / (block_rows / 4);
    const float4* from = (const float4*)(partial + (long)n * rows_padded + row);
    float4 total = {};
#pragma unroll 4
    for (int s = 0; s < splits; s++) {
      const float4 v = __ldcg(from + (long)s * 2 * Tiles * rows_padded);
      total.x += v.x, total.y += v.y, total.z += v.z, total.w += v.w;
    }
    store(row, n, total.x), store(row + 1, n, total.y), store(row + 2, n, total.z),
        store(row + 3, n, total.w);
  }
  if (threadIdx.x == 0) arrived[blockIdx.y] = 0;
}

template <class V, int Tiles>
cudaError_t launch(const Launch& product) {
  auto* kernel = matmul_kernel<V, Tiles>;
  static SharedMemoryLimit limit;
  if (const cudaError_t error = limit.raise(kernel, product.device, 220 << 10)) return error;
  const View& a = product.a;
  const int tiles = (a.cols + tile_cols - 1) / tile_cols;
  const int range = (tiles + product.splits - 1) / product.splits;
  const int chunk = std::min(range, std::max(4, 8 / Tiles));
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(product.splits, (a.rows + block_rows - 1) / block_rows);
  config.blockDim = warps * 32;
  config.stream = product.stream;
  config.dynamicSmemBytes = 2 * 8 * Tiles * 128 * chunk + warps * (stages * a.largest + 128);
  config.attrs = &attribute;
  config.numAttrs = product.overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, a, static_cast<const V*>(product.x),
                            static_cast<V*>(product.y), product.partial, product.arrived,
                            product.vectors, chunk);
}

template <class V>
cudaError_t launch(const Launch& product) {
  switch (padded_vectors(product.vectors)) {
    case 8:
      return launch<V, 1>(product);
    case 16:
      return launch<V, 2>(product);
    case 32:
      return launch<V, 4>(product);
    default:
      return launch<V, 8>(product);
  }
}

}  // namespace

cudaError_t matmul(const Launch& product) {
  return product.dtype == DType::float16 ? launch<__half>(product) : launch<__nv_bfloat16>(product);
}

}  // namespace gossamer::cuda::bitmap_tiles
