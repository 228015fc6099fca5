// SPDX-License-Identifier: Apache-2.0
// Y = X A^T for the arrangement of bitmap_tiles.hpp and up to 64 rows of X: one decode serves them
// all. One persistent block a multiprocessor takes an even share of the units, in the order of the
// stream. A thread has the copy engine bring panels into a ring of stages, two warps bring X, and
// sixteen warps expand a tile each into A fragments, which wgmma multiplies by X in shared memory.
//
// The address of each value comes from two 8-bit matrix products, exact in integers: counts of the
// columns before it (triangle over columns) and bits of the rows above it (triangle over rows),
// both scaled by the size of a value. A position that is not stored is moved behind the panel by a
// multiple of its bit's absence, where shared memory holds zeros: it loads 0 like any value.
// Blocks that share rows add up in the order of the columns.
#include <algorithm>

#include "cuda/async_copy.cuh"
#include "cuda/mbarrier.cuh"
#include "cuda/runtime.hpp"
#include "cuda/wgmma.cuh"
#include "ops/packed_matmul/cuda/bitmap_tiles.hpp"

namespace gossamer::cuda::bitmap_tiles {
namespace {

inline constexpr int warps = panel_tiles * unit_panels;  ///< that expand
inline constexpr int x_threads = 64;                     ///< that bring X
inline constexpr int threads = 32 * (warps + 1) + x_threads;
inline constexpr int most_stages = 8;
inline constexpr int x_lag = 2;  ///< stages of X on their way
/// Distance of zeros from values in units of 2 x 96 bytes, an odd number of them: as many banks
/// apart as can be. 254 x 96 bytes are the most.
inline constexpr int zero_step = 96;
inline constexpr unsigned shared_bytes = 224 << 10;

/// Where things are in a stage: panels, each with zeros behind it, then X.
struct Stage {
  unsigned zeros, panel, x, bytes;
  __host__ __device__ Stage(const View& a, int vectors)
      : zeros((a.largest_panel + 127) / 128 * 128),
        panel(zeros + (a.largest_tile + 5 * zero_step + 127) / 128 * 128),
        x(unit_panels * panel),
        bytes(x + 2 * tile_cols * vectors) {}
};

/// Units [first(b), first(b + 1)) are block b's.
struct Share {
  long units;
  int blocks;
  __device__ long first(int block) const { return units * block / blocks; }
  __device__ int block_of(long unit) const { return int(((unit + 1) * blocks - 1) / units); }
};

__device__ __forceinline__ unsigned permute(unsigned a, unsigned b, unsigned selector) {
  unsigned d;
  asm("prmt.b32 %0,%1,%2,%3;" : "=r"(d) : "r"(a), "r"(b), "r"(selector));
  return d;
}
__device__ __forceinline__ unsigned load_value(unsigned address) {
  unsigned v;
  asm volatile("ld.shared.u16 %0,[%1];" : "=r"(v) : "r"(address));
  return v;
}

/// Volatile: loads of neighbours become one otherwise, into registers to copy from.
__device__ __forceinline__ unsigned load_word(unsigned address) {
  unsigned v;
  asm volatile("ld.volatile.shared.u32 %0,[%1];" : "=r"(v) : "r"(address));
  return v;
}

/// d = A B + c in integers, 16 x 32 by 32 x 8 bytes.
__device__ __forceinline__ void multiply_counts(unsigned (&d)[4], const unsigned (&a)[4],
                                                const unsigned (&b)[2], const unsigned (&c)[4]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%10,%11,%12,%13};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(c[0]), "r"(c[1]),
        "r"(c[2]), "r"(c[3]));
}
/// d += A B, A signed.
__device__ __forceinline__ void multiply_bits(unsigned (&d)[4], const unsigned (&a)[4], unsigned b0,
                                              unsigned b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// The constant operands of both products, as a lane holds them, and zeros. They are read back from
/// shared memory because the assembler would compute what it knows anew in every step; and what it
/// knows to be equal it would copy for each product, four registers at a time.
struct Constants {
  unsigned rows[4];        ///< A: 2 below the diagonal; behind it -zero_step on the diagonal
  unsigned columns[4][2];  ///< B for each eight columns of 32: 2 for those before; 8 for the sum
  unsigned zeros[3];
  static constexpr int count = 15;

  __device__ explicit Constants(unsigned table) {
    const unsigned at = table + 4 * (threadIdx.x % 32);
    for (int i = 0; i < 4; ++i) rows[i] = load_word(at + 128 * i);
    for (int i = 0; i < 8; ++i) columns[i / 2][i % 2] = load_word(at + 128 * (4 + i));
    for (int i = 0; i < 3; ++i) zeros[i] = load_word(at + 128 * (12 + i));
  }
  /// Constant i of a lane.
  __device__ static unsigned value(int i, int lane) {
    const int g = lane / 4, t = lane % 4;
    unsigned value = 0;
    for (int j = 0; j < 4; ++j) {
      unsigned byte = 0;
      if (i < 4) {
        const int row = g + 8 * (i % 2), k = 4 * t + j;
        byte = i < 2 ? (k < row ? 2 : 0) : (k == row ? 0x100 - zero_step : 0);
      } else if (i < 12) {
        const int k = 16 * (i % 2) + 4 * t + j, place = 8 * (i / 2 - 2) + g % 2 * 4 + g / 2;
        byte = k == 31 ? 8 : k < place ? 2 : 0;
      }
      value |= byte << 8 * j;
    }
    return value;
  }
};

/// What a warp's lane knows of its tile in every stage.
struct Place {
  unsigned start, masks, counts;  ///< bytes from the panel's begin
  __device__ Place(int tile, int lane)
      : start(2 * tile),
        masks(masks_at + 128 * tile + 4 * lane),
        counts(counts_at + 64 * tile + 16 * (lane % 4)) {}
};

/// Expands a lane's part of a tile of the panel at that shared address into A fragments.
__device__ __forceinline__ void expand(unsigned (&av)[4][4], const Constants& constants,
                                       const Place& place, unsigned panel, unsigned zeros_at) {
  const unsigned start = load_value(panel + place.start), mask = load_word(panel + place.masks);
  unsigned counts[2][4];  // of 32 columns each, the same in all rows
  for (int i = 0; i < 8; i += 2) {
    counts[i / 4][i % 4] = load_word(panel + place.counts + 2 * i);
    counts[i / 4][i % 4 + 1] = counts[i / 4][i % 4] + constants.zeros[0];
  }
  // The least odd number of double zero_steps that leads behind the panel, or the next one.
  const unsigned steps = (((zeros_at - start) * 342 >> 16) + 1) | 1;
  const unsigned first = panel + start + 2 * zero_step * steps;
  const unsigned absent[4] = {first, first + constants.zeros[0], first + constants.zeros[1],
                              first + constants.zeros[2]};
#pragma unroll
  for (int eight = 0; eight < 8; ++eight) {
    unsigned address[4];
    multiply_counts(address, counts[eight / 4], constants.columns[eight % 4], absent);
    const unsigned bits = mask >> eight & 0x01010101u;
    multiply_bits(address, constants.rows, bits, bits * (2 * steps));
#pragma unroll
    for (int half = 0; half < 2; ++half)
      av[eight / 2][eight % 2 * 2 + half] =
          permute(load_value(address[2 * half]), load_value(address[2 * half + 1]), 0x5410);
  }
}

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

/// One warp: the panels of units [first, last).
__device__ void bring_panels(const View& a, const Ring& ring, int stages, long first, long last) {
  const int lane = threadIdx.x % 32;
  RingPosition position{stages};
  const long end = unit_panels * last;
  for (long panel = unit_panels * first; panel < end; panel += 30) {
    // Offsets of 30 panels and of their end, one a lane.
    const unsigned offset = a.offset[min(panel + lane, end)];
    for (int k = 0; k < 30 && panel + k < end; k += unit_panels) {
      const unsigned from = __shfl_sync(~0u, offset, k), middle = __shfl_sync(~0u, offset, k + 1),
                     to = __shfl_sync(~0u, offset, k + 2);
      ring.wait_empty(position);
      if (lane == 0) {
        const unsigned full = ring.full(position.stage), base = ring.at(position);
        mbarrier_arrive_expecting(full, 16 * (to - from));
        mbarrier_bulk_copy(base, a.stream + 16 * size_t(from), 16 * (middle - from), full);
        mbarrier_bulk_copy(base + ring.stage.panel, a.stream + 16 * size_t(middle),
                           16 * (to - middle), full);
      }
      position.advance();
    }
  }
}

/// x_threads threads: the columns of X of units [first, last), eight columns of a row contiguous,
/// then the next row, then the next eight columns: B of wgmma without swizzle.
template <class V, int Tiles>
__device__ void bring_x(const V* x, int batch, int cols, int col_units, const Ring& ring,
                        int stages, long first, long last, int thread) {
  constexpr int vectors = 8 * Tiles;
  const bool aligned = cols % 8 == 0 && (uintptr_t)x % 16 == 0;
  const int row = thread % 8, eight = thread / 8;
  RingPosition position{stages}, arriving{stages};
  for (long unit = first; unit < last + x_lag; ++unit) {
    if (unit < last) {
      ring.wait_empty(position);
      const int column = int(unit % col_units) * tile_cols + 8 * eight;
      unsigned to = ring.at(position) + ring.stage.x + (eight * vectors + row) * 16;
      const V* from = x + (long)row * cols + column;
#pragma unroll
      for (int n = row; n < vectors; n += 8, to += 128, from += 8 * (long)cols) {
        if (aligned) {
          const bool valid = n < batch && column < cols;
          asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(to),
                       "l"(valid ? from : x), "r"(valid ? 16 : 0)
                       : "memory");
        } else {
          unsigned word[4] = {};
          for (int e = 0; e < 8; ++e)
            if (n < batch && column + e < cols)
              word[e / 2] |= unsigned(((const unsigned short*)from)[e]) << 16 * (e % 2);
          asm volatile("st.shared.v4.u32 [%0],{%1,%2,%3,%4};" ::"r"(to), "r"(word[0]), "r"(word[1]),
                       "r"(word[2]), "r"(word[3])
                       : "memory");
        }
      }
      position.advance();
    }
    async_commit();
    if (unit >= first + x_lag) {
      async_wait<x_lag>();
      fence_for_tensor_cores();
      mbarrier_arrive(ring.full(arriving.stage));
      arriving.advance();
    }
  }
}

/// A barrier of the warps that expand.
__device__ __forceinline__ void sync_expanding() {
  asm volatile("bar.sync 1, %0;" ::"n"(32 * warps) : "memory");
}

/// Sums of one block for the rows of one unit: written to Y, or, where other blocks have the rest
/// of the columns, to `partial`, which the last of them adds up.
template <class V, int Tiles>
__device__ void finish_rows(const float (&sum)[Tiles][4], const View& a, V* y, int batch,
                            float* partial, unsigned* arrived, const Share& share, int row_unit,
                            bool& is_last) {
  constexpr int vectors = 8 * Tiles;
  const int lane = threadIdx.x % 32, row0 = threadIdx.x / 32 * tile_rows + lane / 4, t = lane % 4;
  const auto store = [&](int row, int n, float v) {
    row += row_unit * unit_rows;
    if (row < a.rows && n < batch) y[(long)n * a.rows + row] = V(v);
  };
  const long begin = (long)row_unit * a.col_units();
  const int first = share.block_of(begin), last = share.block_of(begin + a.col_units() - 1);
  if (first == last) {
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
      for (int k = 0; k < 4; ++k) store(row0 + k / 2 * 8, n * 8 + 2 * t + k % 2, sum[n][k]);
    return;
  }
  // A block shares at most its first rows and its last ones. Only the first of the blocks that
  // share may have begun with other rows.
  const auto part = [&](int block) {
    const bool second = block == first && share.first(block) < begin;
    return partial + (2l * block + second) * vectors * unit_rows;
  };
  float* mine = part(blockIdx.x);
#pragma unroll
  for (int n = 0; n < Tiles; ++n)
    for (int k = 0; k < 4; ++k)
      __stcg(&mine[(n * 8 + 2 * t + k % 2) * unit_rows + row0 + k / 2 * 8], sum[n][k]);
  __threadfence();
  sync_expanding();
  if (threadIdx.x == 0) is_last = atomicAdd(&arrived[row_unit], 1u) == unsigned(last - first);
  sync_expanding();
  if (!is_last) return;
  __threadfence();
  for (int i = threadIdx.x; i < unit_rows / 4 * batch; i += 32 * warps) {
    const int row = i % (unit_rows / 4) * 4, n = i / (unit_rows / 4);
    float4 total = {};
#pragma unroll 4
    for (int block = first; block <= last; ++block) {
      const float4 v = __ldcg((const float4*)(part(block) + n * unit_rows + row));
      total.x += v.x, total.y += v.y, total.z += v.z, total.w += v.w;
    }
    store(row, n, total.x), store(row + 1, n, total.y), store(row + 2, n, total.z),
        store(row + 3, n, total.w);
  }
  if (threadIdx.x == 0) arrived[row_unit] = 0;
}

/// Tiles: columns of Y / 8.
template <class V, int Tiles>
__global__ void __launch_bounds__(threads, 1)
    matmul_kernel(const __grid_constant__ View a, const V* __restrict__ x, V* __restrict__ y,
                  float* partial, unsigned* arrived, int batch, int stages) {
  constexpr int vectors = 8 * Tiles;
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ uint64_t barriers[2 * most_stages];
  __shared__ unsigned constant_table[32 * Constants::count];
  __shared__ bool is_last;
  launch_dependents();
  const Ring ring{shared_address(shared), shared_address(barriers), Stage(a, vectors)};
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), lane = threadIdx.x % 32,
            col_units = a.col_units();
  const Share share{(long)a.row_units() * col_units, int(gridDim.x)};
  const long first = share.first(blockIdx.x), last = share.first(blockIdx.x + 1);
  if (threadIdx.x == 32 * warps) {
    for (int s = 0; s < stages; ++s)
      mbarrier_init(ring.full(s), 1 + x_threads), mbarrier_init(ring.empty(s), warps);
    mbarrier_init_fence();
  }
  const unsigned zero_bytes = ring.stage.panel - ring.stage.zeros;
  for (unsigned i = 16 * threadIdx.x; i < unit_panels * stages * zero_bytes; i += 16 * threads) {
    const unsigned panel = i / zero_bytes;
    const unsigned at = panel / unit_panels * ring.stage.bytes +
                        panel % unit_panels * ring.stage.panel + ring.stage.zeros + i % zero_bytes;
    *reinterpret_cast<uint4*>(shared + at) = {};
  }
  if (threadIdx.x < 32 * Constants::count) {
    constant_table[threadIdx.x] = Constants::value(warp, lane);
  }
  __syncthreads();
  if (warp >= warps) {
    if (warp == warps) {
      bring_panels(a, ring, stages, first, last);
    } else {
      wait_for_launches_before();
      bring_x<V, Tiles>(x, batch, a.cols, col_units, ring, stages, first, last,
                        threadIdx.x - 32 * (warps + 1));
    }
  } else {
    wait_for_launches_before();
    const Constants constants(shared_address(constant_table));
    const Place place(warp % panel_tiles, lane);
    float sum[Tiles][4];
    // 8 columns of Y x 16 bytes are contiguous, then the next 8 columns of Y, then the next 8 of
    // the inner dimension.
    const unsigned x_layout = (vectors * 16 >> 4) << 16;
    const unsigned panel_of_warp = warp / panel_tiles * ring.stage.panel;
    RingPosition position{stages};
    int row_unit = int(first / col_units), left = int(last - first);
    for (int count = min(left, int((row_unit + 1l) * col_units - first)); left > 0; ++row_unit) {
#pragma unroll
      for (int n = 0; n < Tiles; ++n)
        for (int k = 0; k < 4; ++k) sum[n][k] = 0;
      left -= count;
      for (; count > 0; --count) {
        const unsigned base = ring.at(position);
        mbarrier_wait(ring.full(position.stage), position.round & 1);
        unsigned av[4][4];
        expand(av, constants, place, base + panel_of_warp, ring.stage.zeros);
        unsigned b = x_layout | (base + ring.stage.x) >> 4;
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < 4; ++k, b += vectors * 32 >> 4)
          wgmma<V, Tiles>(sum, av[k], uint64_t(128 >> 4) << 32 | b);
        wgmma_commit();
        wgmma_wait();
        if (lane == 0) mbarrier_arrive(ring.empty(position.stage));
        position.advance();
      }
      finish_rows<V, Tiles>(sum, a, y, batch, partial, arrived, share, row_unit, is_last);
      count = min(left, col_units);
    }
  }
}

template <class V, int Tiles>
cudaError_t launch(const Launch& product) {
  auto* kernel = matmul_kernel<V, Tiles>;
  static SharedMemoryLimit limit;
  if (const cudaError_t error = limit.raise(kernel, product.device, shared_bytes)) return error;
  const Stage stage(product.a, 8 * Tiles);
  const int stages = std::min<int>(most_stages, shared_bytes / stage.bytes);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = product.blocks;
  config.blockDim = threads;
  config.stream = product.stream;
  config.dynamicSmemBytes = stages * stage.bytes;
  config.attrs = &attribute;
  config.numAttrs = product.overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, product.a, static_cast<const V*>(product.x),
                            static_cast<V*>(product.y), product.partial, product.arrived,
                            product.vectors, stages);
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
