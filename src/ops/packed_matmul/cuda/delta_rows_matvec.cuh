// SPDX-License-Identifier: Apache-2.0
// Y = X Aᵀ for the arrangement of delta_rows.hpp, vector by vector. A warp walks 16 rows, 16 slots
// of each a step:
//   1. Column of every slot: distances (16x16, 8 bits) times an upper-triangular matrix of
//      sizeof(X), on the tensor cores, started at the rows' addresses. The accumulators are the
//      shared-memory addresses of x: no scan, no shuffle, no arithmetic. The least distance is not
//      in what is multiplied; it is in the starting address of a lane and in the offset of a load.
//   2. Gather x. What a lane gathers is the B fragment of V * X^T, whose diagonal is the result
//      (16-bit and 8-bit values); float32 operands are multiplied and added instead.
#pragma once

#include "cuda/async_copy.cuh"
#include "cuda/launch.cuh"
#include "cuda/runtime.hpp"
#include "ops/packed_matmul/cuda/delta_rows_decode.cuh"
#include "ops/packed_matmul/cuda/delta_rows_exchange.cuh"
#include "ops/packed_matmul/cuda/delta_rows_matvec.hpp"

namespace gossamer::cuda::delta_rows {

/// Bytes of zeros in front of x: where the padding of an empty row points.
inline constexpr int guard_bytes = 16;

/// Of x with zeros in front and behind, a multiple of 128.
template <class X, int Bits>
__host__ __device__ constexpr int x_bytes(int cols) {
  const int columns = cols + columns_behind<Bits>;
  return (guard_bytes + columns * static_cast<int>(sizeof(X)) + 127) / 128 * 128;
}

/// Units of a warp on their way. Two blocks fit a multiprocessor, so that the next kernel's first
/// loads run beside this one.
template <class V, int Bits>
inline constexpr int depth = (88 << 10) / (warps * unit_bytes<V, Bits>);

/// Copies pieces of 16 bytes to shared memory by all threads of the block, four at a time. Behind
/// another product, when the stream has come already, this is quicker than the copy engine.
__device__ __forceinline__ void load_pieces(void* to, const void* from, int pieces) {
  constexpr int kAtOnce = 4, kThreads = warps * 32;
  for (int begin = threadIdx.x; begin < pieces; begin += kAtOnce * kThreads) {
    uint4 piece[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int i = begin + k * kThreads;
      if (i < pieces) piece[k] = __ldcg((const uint4*)from + i);
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int i = begin + k * kThreads;
      if (i < pieces) ((uint4*)to)[i] = piece[k];
    }
  }
}

/// grid: a.blocks blocks of `warps` warps for each vector; dynamic shared memory: x where Resident
/// (else it is gathered from global memory), then `depth` units a warp. x is not called restricted:
/// read-only loads are not for what the kernel before may still be writing.
template <class V, class X, int Bits, bool Resident>
__global__ void __launch_bounds__(warps * 32, 2)
    matvec_kernel(const __grid_constant__ View a, const X* x, X* y, const X* bias,
                  std::uint64_t* partial, bool overlap) {
  using Code = DistanceCode<Bits>;
  constexpr int kSteps = Code::steps, kWords = Code::words, kPlanes = kSteps * 8 * sizeof(V) / 16,
                kDepth = depth<V, Bits>;
  constexpr unsigned kUnitBytes = unit_bytes<V, Bits>;
  // Of 3 bits the loop is compiled otherwise where threads may load x as well: in a chain of H200
  // products at 50% 1.59 times cuBLAS, with the copy engine alone 1.66.
  constexpr bool kThreadsLoad = !has_bulk_copy || Bits != 3;
  constexpr bool kTensor = sizeof(X) == 2 && (std::is_same_v<V, X> || sizeof(V) == 1);
  if constexpr (has_vectors<Bits>) {
    x += std::size_t{blockIdx.y} * a.cols, y += std::size_t{blockIdx.y} * a.rows;
    partial += std::size_t{blockIdx.y} * gridDim.x * 16;
  }
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ SharedSums sums;
  __shared__ std::uint64_t x_full;
  launch_dependents();
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const int worker = blockIdx.x * warps + warp;
  // What is small and waited for goes first: behind the stream of all warps it would take two
  // microseconds longer.
  const int4 where = ((const int4*)a.worker)[worker];
  const auto start = [&](int row) -> int {
    const int i = 16 * worker + row;
    return narrow_starts(a.cols) ? ((const std::uint16_t*)a.start)[i] : ((const int*)a.start)[i];
  };
  const int start0 = start(g), start1 = start(g + 8);
  X* xs = (X*)(shared + guard_bytes);
  const int pieces =  // of 16 bytes
      Resident && (std::uintptr_t)x % 16 == 0 ? a.cols * (int)sizeof(X) / 16 : 0;
  const bool bulk = has_bulk_copy && pieces > 0 && (!kThreadsLoad || !overlap);
  if (threadIdx.x == 0) bulk_barrier_init(&x_full);
  __syncwarp();
  if (threadIdx.x == 0 && bulk && !overlap) bulk_copy(xs, x, 16 * pieces, &x_full);
  if (Resident && threadIdx.x < guard_bytes / sizeof(X)) ((X*)shared)[threadIdx.x] = X(0.f);
  if (Resident && (int)threadIdx.x < columns_behind<Bits>) xs[a.cols + threadIdx.x] = X(0.f);
  if (lane == 0) sums.head_group[warp] = sums.tail_group[warp] = -1;

  const int block_begin = a.block_unit[blockIdx.x],
            block_units = a.block_unit[blockIdx.x + 1] - block_begin;
  const int first = warp_unit(block_units, warp, warps),
            units = warp_unit(block_units, warp + 1, warps) - first;
  const int begin = (block_begin + first) * kSteps, end = begin + units * kSteps,
            block_end = (block_begin + block_units) * kSteps;

  // A lane copies what it will read itself, so that no barrier is needed.
  const std::uint8_t* source = a.stream + std::size_t(block_begin + first) * kUnitBytes;
  const unsigned ring = shared_address(shared) + (Resident ? x_bytes<X, Bits>(a.cols) : 0) +
                        warp * kDepth * kUnitBytes;
  auto each_piece = [&](auto&& piece) {
#pragma unroll
    for (int i = 0; i < kPlanes; ++i) piece.template operator()<16>(4 * i, i * 512 + lane * 16);
    constexpr int kBytes = kWords == 4 ? 16 : 8;
    piece.template operator()<kBytes>(4 * kPlanes, kPlanes * 512 + lane * kBytes);
    if constexpr (kWords == 3) {
      piece.template operator()<4>(4 * kPlanes + 2, kPlanes * 512 + 256 + lane * 4);
    }
  };
  auto fetch = [&](unsigned slot, bool valid) {
    if (valid) {
      each_piece([&]<int Bytes>(int, unsigned offset) {
        async_copy<Bytes>(slot + offset, source + offset);
      });
    }
    source += kUnitBytes;
    async_commit();
  };
#pragma unroll
  for (int p = 0; p < kDepth; ++p) fetch(ring + p * kUnitBytes, p < units);

  // The structure and values are constants; only x and y belong to the kernel before.
  wait_for_launches_before();
  if (threadIdx.x == 0 && bulk && overlap) bulk_copy(xs, x, 16 * pieces, &x_full);
  if (kThreadsLoad && !bulk) load_pieces(xs, x, pieces);
  for (int i = 16 * pieces / sizeof(X) + threadIdx.x; Resident && i < a.cols; i += blockDim.x) {
    xs[i] = x[i];
  }

  int group = where.x, group_begin, group_end, next_end;
  Place place0, place1;
  const auto place = [&](int i) -> Place {
    return {a.row[i], sizeof(V) == 1 ? a.scale[i] : 1.f};  // the others have no scales
  };
  auto enter = [&](int begin_step, int end_step, int next_step) {
    group_begin = begin_step, group_end = end_step, next_end = next_step;
    place0 = place(16 * group + g), place1 = place(16 * group + g + 8);
  };
  enter(where.y, where.z, where.w);
  const int origin = (Resident ? (int)shared_address(xs) : 0) - (int)sizeof(X);  // column -1
  constexpr int kLeast = Code::least * (int)sizeof(X);
  const int last = origin + a.cols * (int)sizeof(X) + 8 * kLeast;  // no lane's column goes further
  int base[4];
  auto triangle = [&](int n) {  // row k = 4 t + j, column n: sizeof(X) where k <= n
    unsigned b = 0;
    for (int j = 0; j < 4; ++j) b |= (4 * t + j <= n ? (unsigned)sizeof(X) : 0u) << 8 * j;
    return b;
  };
  unsigned triangle0 = triangle(g), triangle1 = triangle(g + 8), all = sizeof(X) * 0x01010101u;
  asm volatile("" : "+r"(triangle0), "+r"(triangle1), "+r"(all));  // not computed again in the loop
  // kTensor: rows 0-7 and 8-15 of V * X^T; else four partial sums of either row.
  float e0[4] = {}, e1[4] = {};
  __syncthreads();
  if (bulk) bulk_wait(&x_full);
  // Before a step with the columns at0 and at1 of rows g and g + 8, `behind` behind the unit's
  // first.
  auto begin_at = [&](int at0, int at1, int behind) {
    for (int i = 0; i < 4; ++i) {
      base[i] = (i < 2 ? at0 : at1) + (2 * t + i % 2 + 1) * kLeast - behind;
    }
  };
  begin_at(origin + (int)sizeof(X) * start0, origin + (int)sizeof(X) * start1, 0);
  for (int i = 0; i < 4; ++i) asm volatile("" : "+r"(base[i]));  // no gather before the wait

  const auto write = [&](Place to, float sum) {
    if (to.row < 0) return;
    X result = X(__fmul_rn(sum, to.scale));  // never one operation with the bias
    if constexpr (has_vectors<Bits>) {
      if (bias != nullptr) result = X(to_float(result) + to_float(bias[to.row]));
    }
    y[to.row] = result;
  };
  auto flush = [&](int behind) {
    float s0, s1;
    if constexpr (kTensor) {  // lane t == g / 2 holds the diagonal
      s0 = g & 1 ? e0[1] : e0[0], s1 = g & 1 ? e1[3] : e1[2];
    } else {
      s0 = (e0[0] + e0[1]) + (e0[2] + e0[3]), s1 = (e1[0] + e1[1]) + (e1[2] + e1[3]);
      for (int k = 1; k < 4; k *= 2) {
        s0 += __shfl_xor_sync(~0u, s0, k), s1 += __shfl_xor_sync(~0u, s1, k);
      }
    }
    if (t == g / 2) {
      const bool continues = group_begin < begin;
      if (continues || group_end > end) {
        float* sum = continues ? sums.head[warp] : sums.tail[warp];
        Place* place = sums.place[warp][continues ? 0 : 1];
        sum[g] = s0, sum[g + 8] = s1, place[g] = place0, place[g + 8] = place1;
        (continues ? sums.head_group : sums.tail_group)[warp] = group;
        (continues ? sums.head_end : sums.tail_end)[warp] = group_end;
      } else {
        write(place0, s0);
        write(place1, s1);
      }
    }
    if (group + 1 < a.groups) {
      group++, enter(group_end, next_end, a.group_step[min(group + 2, a.groups)]);
    }
    for (int i = 0; i < 4; ++i) e0[i] = e1[i] = 0.f;
    begin_at(origin, origin, behind);
  };
  auto step = [&](const unsigned* value, const unsigned (&distance)[2], int behind) {
    int d0[4], d1[4];
    prefix_mma(d0, distance, triangle0, base);
    prefix_mma(d1, distance, triangle1, base);
    prefix_mma(base, distance, all, base);
    auto at = [&](int address, int offset) {
      address += offset;
      if constexpr (Resident) {
        return gather<X>(address);
      } else {
        const bool inside = (unsigned)address < (unsigned)a.cols * sizeof(X);
        return inside ? *(const X*)((const char*)x + address) : X(0.f);
      }
    };
    if constexpr (kTensor) {
      unsigned av[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) av[k] = value_pair<V, X>(value, k);
      auto first = [&](int k) { return Pair<X>(at(d0[k], behind), at(d0[k + 1], behind)); };
      auto second = [&](int k) {
        return Pair<X>(at(d1[k], behind + 8 * kLeast), at(d1[k + 1], behind + 8 * kLeast));
      };
      product_mma(e0, av, first(0), second(0));
      product_mma(e1, av, first(2), second(2));
    } else {
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const float xe = to_float(e < 4 ? at(d0[e], behind) : at(d1[e - 4], behind + 8 * kLeast));
        float& sum = e / 2 % 2 ? e1[e % 2 + e / 4 * 2] : e0[e % 2 + e / 4 * 2];
        sum = fmaf(value_float<V>(value, e), xe, sum);
      }
    }
  };

  int stop = min(group_end, end), done = begin;
  unsigned slot = ring;
  for (int u = 0; u < units; ++u) {
    unsigned v[4 * kPlanes + kWords], distance[kSteps][2];
    async_wait<kDepth - 1>();
    each_piece(
        [&]<int Bytes>(int word, unsigned offset) { load_shared<Bytes>(v + word, slot + offset); });
    unpack<Bits>(v + 4 * kPlanes, distance);
    fetch(slot, u + kDepth < units);
    slot = slot == ring + (kDepth - 1) * kUnitBytes ? ring : slot + kUnitBytes;
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      step(v + i * 2 * sizeof(V), distance[i], 16 * i * kLeast);
      if (++done == stop) flush(16 * (i + 1) * kLeast), stop = min(group_end, end);
    }
    if constexpr (kLeast > 0) {  // padding goes no further than the zeros behind x
      for (int i = 0; i < 4; ++i) base[i] = min(base[i] + 16 * kSteps * kLeast, last);
    }
  }
  __syncthreads();
  add_shared_groups(a, sums, block_end, partial, write);
}

template <class V, class X, int Bits, bool Resident>
cudaError_t launch(const Launch& product, int shared_bytes, int shared_limit) {
  auto* kernel = matvec_kernel<V, X, Bits, Resident>;
  static SharedMemoryLimit limit;
  if (const cudaError_t error = limit.raise(kernel, product.device, shared_limit)) {
    return error;
  }
  return launch_overlapped(kernel, dim3(product.a.blocks, product.vectors), warps * 32,
                           shared_bytes, product.stream, product.overlap, product.a,
                           static_cast<const X*>(product.x), static_cast<X*>(product.y),
                           static_cast<const X*>(product.bias), product.partial, product.overlap);
}

template <class V, class X>
cudaError_t matvec(const Launch& product) {
  const int shared_limit = static_cast<int>(device_properties(product.device).shared_bytes) -
                           static_cast<int>(sizeof(SharedSums)) - 128;
  return visit_width(product.bits, [&](auto bits) {
    const int ring = depth<V, bits> * warps * unit_bytes<V, bits>;
    const int resident = x_bytes<X, bits>(product.a.cols) + ring;
    return resident <= shared_limit ? launch<V, X, bits, true>(product, resident, shared_limit)
                                    : launch<V, X, bits, false>(product, ring, shared_limit);
  });
}

}  // namespace gossamer::cuda::delta_rows
