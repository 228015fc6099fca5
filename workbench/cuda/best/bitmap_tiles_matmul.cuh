// SPDX-License-Identifier: Apache-2.0
// Y = X A^T for the arrangement of bitmap_tiles.hpp and up to 64 rows of X: one decode serves them all.
// A warp expands a tile of 16 x 64 into A fragments: the rank of a lane's two elements is the population count of the mask below them, so a
// warp reads 64 positions' values from shared memory in order, without bank conflicts; a byte permutation puts the two in their places.
// A block has 8 warps below each other and a range of columns; blocks that share rows add up in the order of the columns.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "bitmap_tiles.hpp"

namespace gossamer {

/// Device pointers of an arrangement, see BitmapTilesHost.
struct BitmapTiles {
  const uint8_t* stream;
  const uint32_t* offset;
  float* partial;     ///< [splits][batch rounded up to 8][rows rounded up to 128] workspace, not used for one split
  unsigned* arrived;  ///< [blocks of 128 rows] workspace, zero before the first product; a product leaves it zero
  int rows, cols;
  unsigned largest;
};

namespace bitmap_tiles {

constexpr int kWarps = 8, kStages = 4, kRows = 16 * kWarps;

template <class V>
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if constexpr (std::is_same_v<V, __half>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ __forceinline__ uint4 load4(unsigned address) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3},[%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(address));
  return v;
}
template <int Offset> __device__ __forceinline__ unsigned load_half(unsigned address) {
  unsigned v;
  asm volatile("ld.shared.u16 %0,[%1+%2];" : "=r"(v) : "r"(address), "n"(Offset));
  return v;
}

/// Bytes of a row of `chunk` tiles of x: 64 more than a multiple of 128, so that the 16-byte loads of a fragment do not conflict.
constexpr int x_pitch(int chunk) { return chunk * 128 + 64; }

/// grid: (splits, blocks of 128 rows); block: 8 warps. Tiles: columns of Y / 8. `chunk`: tiles of columns of x in shared memory.
template <class V, int Tiles>
__global__ void __launch_bounds__(kWarps * 32, Tiles <= 2 ? 3 : 2)
    matmul(BitmapTiles a, const V* __restrict__ x, V* __restrict__ y, int batch, int chunk) {
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ bool is_last;
  asm volatile("griddepcontrol.launch_dependents;");
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const int col_tiles = (a.cols + 63) / 64, row_tiles = (a.rows + 15) / 16, splits = gridDim.x;
  const int first = int((long)col_tiles * blockIdx.x / splits), last = int((long)col_tiles * (blockIdx.x + 1) / splits);
  const int row_tile = blockIdx.y * kWarps + warp;
  const int tiles = row_tile < row_tiles ? last - first : 0;
  const uint32_t* offset = a.offset + (long)row_tile * col_tiles + first;
  const int pitch = x_pitch(chunk), x_size = 8 * Tiles * pitch;
  const unsigned ring = shared_address(shared) + x_size + warp * (kStages * a.largest + 128), bases = ring + kStages * a.largest;

  unsigned window = 0;  // offsets of the tiles [window_first, window_first + 31], one a lane
  int window_first = -64;
  auto fetch = [&](int i) {  // tile i into its slot of the ring
    if (i < tiles) {
      if (i + 1 > window_first + 31) window_first = i, window = offset[min(i + lane, tiles)];
      const unsigned from = __shfl_sync(~0u, window, i - window_first), to = __shfl_sync(~0u, window, i + 1 - window_first);
      const uint8_t* source = a.stream + size_t(from) * 16 + lane * 16;
      const unsigned slot = ring + (i % kStages) * a.largest + lane * 16;
      for (unsigned piece = 0; piece * 32 < to - from; piece++)
        if (piece * 32 + lane < to - from)
          asm volatile("cp.async.cg.shared.global [%0],[%1],16;" ::"r"(slot + piece * 512), "l"(source + piece * 512) : "memory");
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  for (int i = 0; i < kStages - 1; i++) fetch(i);
  asm volatile("griddepcontrol.wait;" ::: "memory");

  float sum[Tiles][4] = {};
  unsigned table_low = 0x32103232u, table_high = 0x54101032u;  // selectors of a pair by its mask: none, first, second, both
  asm volatile("" : "+r"(table_low), "+r"(table_high));
  const unsigned below = (1u << 2 * (lane & 15)) - 1;
  const int shift = 2 * (lane & 15), half = lane >> 4;
  const unsigned x_address = shared_address(shared) + g * pitch + t * 16;

  for (int chunk_first = 0; chunk_first < last - first; chunk_first += chunk) {
    const int col0 = (first + chunk_first) * 64, vectors = min(chunk, last - first - chunk_first) * 8;
    __syncthreads();
    for (int i = threadIdx.x; i < vectors * 8 * Tiles; i += blockDim.x) {
      const int n = i / vectors, c = col0 + i % vectors * 8;
      uint4 v = {};
      if (n < batch) {
        const V* from = x + (long)n * a.cols + c;
        if (c + 8 <= a.cols && (uintptr_t)from % 16 == 0) v = *(const uint4*)from;
        else
          for (int e = 0; e < 8; e++)
            if (c + e < a.cols) ((V*)&v)[e] = from[e];
      }
      *(uint4*)(shared + n * pitch + i % vectors * 16) = v;
    }
    __syncthreads();
    for (int i = chunk_first; i < min(chunk_first + chunk, tiles); i++) {
      asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2) : "memory");
      __syncwarp();
      const unsigned slot = ring + (i % kStages) * a.largest;
      fetch(i + kStages - 1);  // into the slot that all lanes left before the barrier above
      {                        // address of the first value of each mask word, in the order of the values
        const unsigned at = (lane % 2 * 16 + lane / 2) * 4;
        unsigned word;
        asm volatile("ld.shared.u32 %0,[%1];" : "=r"(word) : "r"(slot + at));
        const int count = __popc(word);
        int before = count;
#pragma unroll
        for (int k = 1; k < 32; k *= 2) {
          int other = __shfl_up_sync(~0u, before, k);
          if (lane >= k) before += other;
        }
        asm volatile("st.shared.u32 [%0],%1;" ::"r"(bases + at), "r"(slot + 128 + 2 * (before - count)) : "memory");
        __syncwarp();
      }
      const unsigned x_tile = x_address + (i - chunk_first) * 128;
#pragma unroll
      for (int q = 0; q < 2; q++) {
        unsigned av[2][4];
#pragma unroll
        for (int p = 0; p < 2; p++) {
          const uint4 masks = load4(slot + half * 64 + (2 * q + p) * 16), starts = load4(bases + half * 64 + (2 * q + p) * 16);
#pragma unroll
          for (int j = 0; j < 4; j++) {
            const unsigned mask = j == 0 ? masks.x : j == 1 ? masks.y : j == 2 ? masks.z : masks.w;
            const unsigned start = j == 0 ? starts.x : j == 1 ? starts.y : j == 2 ? starts.z : starts.w;
            const unsigned address = start + 2 * __popc(mask & below);
            const unsigned index = (mask >> shift & 3) * 0x22 + 0x10;
            av[p][j] = __byte_perm(load_half<0>(address), load_half<2>(address), __byte_perm(table_low, table_high, index));
          }
        }
#pragma unroll
        for (int n = 0; n < Tiles; n++) {
          const uint4 b = load4(x_tile + n * 8 * pitch + q * 64);
          mma<V>(sum[n], av[0], b.x, b.y);
          mma<V>(sum[n], av[1], b.z, b.w);
        }
      }
    }
  }

  const int rows_padded = gridDim.y * kRows, row0 = row_tile * 16 + g;
  auto store = [&](int row, int n, float v) {
    if (row < a.rows && n < batch) y[(long)n * a.rows + row] = V(v);
  };
  if (splits == 1) {
#pragma unroll
    for (int n = 0; n < Tiles; n++)
      for (int k = 0; k < 4; k++) store(row0 + k / 2 * 8, n * 8 + 2 * t + k % 2, sum[n][k]);
    return;
  }
  float* mine = a.partial + (long)blockIdx.x * 8 * Tiles * rows_padded;
#pragma unroll
  for (int n = 0; n < Tiles; n++)
    for (int k = 0; k < 4; k++) __stcg(&mine[(long)(n * 8 + 2 * t + k % 2) * rows_padded + row0 + k / 2 * 8], sum[n][k]);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) is_last = atomicAdd(&a.arrived[blockIdx.y], 1u) == unsigned(splits - 1);
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  for (int i = threadIdx.x; i < kRows * batch; i += blockDim.x) {
    const int row = blockIdx.y * kRows + i % kRows, n = i / kRows;
    float total = 0;
#pragma unroll 4
    for (int s = 0; s < splits; s++) total += __ldcg(&a.partial[((long)s * 8 * Tiles + n) * rows_padded + row]);
    store(row, n, total);
  }
  if (threadIdx.x == 0) a.arrived[blockIdx.y] = 0;
}

}  // namespace bitmap_tiles

/// Y = X A^T on `stream`: x [batch, cols], y [batch, rows], batch at most 64. Allocates nothing, does not synchronize, can be captured.
/// @param overlap  see delta_rows_matvec
template <class V, int Tiles>
cudaError_t bitmap_tiles_matmul(const BitmapTiles& a, const V* x, V* y, int batch, int splits, bool overlap, cudaStream_t stream) {
  using namespace bitmap_tiles;
  auto* kernel = matmul<V, Tiles>;
  static const cudaError_t raised = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 220 << 10);
  if (raised != cudaSuccess) return raised;
  const int range = ((a.cols + 63) / 64 + splits - 1) / splits, chunk = std::min(range, std::max(4, 16 / Tiles));
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(splits, (a.rows + kRows - 1) / kRows), config.blockDim = kWarps * 32, config.stream = stream;
  config.dynamicSmemBytes = 8 * Tiles * x_pitch(chunk) + kWarps * (kStages * a.largest + 128);
  config.attrs = &attribute, config.numAttrs = overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, a, x, y, batch, chunk);
}

}  // namespace gossamer
