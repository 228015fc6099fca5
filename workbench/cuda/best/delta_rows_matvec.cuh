// SPDX-License-Identifier: Apache-2.0
// y = A x for the arrangement of delta_rows.hpp. A warp walks 16 rows, 16 slots of each a step:
//   1. Column of every slot: deltas (16x16, 8 bits) times an upper-triangular matrix of sizeof(X), on the tensor cores, started
//      at the rows' addresses. The accumulators are the shared-memory addresses of x: no scan, no shuffle, no arithmetic.
//   2. Gather x. What a lane gathers is the B fragment of V * X^T, whose diagonal is the result (16-bit and 8-bit values); float32
//      operands are multiplied and added instead.
// Groups of rows that several warps share are summed in the order of the warps, through shared memory in a block and through
// `partial` across blocks: the same bits every time.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <type_traits>

#include "delta_rows.hpp"

namespace gossamer {

constexpr int kMaxBlocks = 264;

/// Device pointers of an arrangement, see DeltaRowsHost.
struct DeltaRows {
  const uint8_t* stream;
  const DeltaRowsPlace* place;
  const int *group_step, *first_group, *start;
  const DeltaRowsPlan* plan;
  float* partial;     ///< [blocks][2][16] workspace
  unsigned* arrived;  ///< [blocks] workspace, zero before the first product; a product leaves it zero
  int groups, cols, blocks, warps;
  int block_unit[kMaxBlocks + 1];  ///< here and not in memory: the first loads of a block depend on it
};

namespace delta_rows {

__device__ __forceinline__ void prefix_mma(int (&d)[4], const unsigned (&a)[2], unsigned b, const int (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.u8.u8.s32 {%0,%1,%2,%3},{%4,%5},{%6},{%7,%8,%9,%10};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

__device__ __forceinline__ void product_mma(float (&d)[4], const unsigned (&a)[4], __half2 b0, __half2 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"((unsigned&)b0), "r"((unsigned&)b1));
}
__device__ __forceinline__ void product_mma(float (&d)[4], const unsigned (&a)[4], __nv_bfloat162 b0, __nv_bfloat162 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"((unsigned&)b0), "r"((unsigned&)b1));
}

template <int Bits, int N>
__device__ __forceinline__ void unpack(const unsigned (&w)[N], unsigned (&a)[DeltaCode<Bits>::kSteps][2]) {
  if constexpr (Bits == 8) {
    for (int r = 0; r < 4; r++) a[r / 2][r % 2] = w[r];
  } else if constexpr (Bits == 4) {
    for (int r = 0; r < 4; r++) a[r / 2][r % 2] = (w[r / 2] >> 4 * (r % 2)) & 0x0f0f0f0f;
  } else if constexpr (Bits == 6) {
    for (int r = 0; r < 3; r++) a[r / 2][r % 2] = w[r] & 0x3f3f3f3f;
    a[1][1] = (w[0] >> 6 & 0x03030303) | (w[1] >> 4 & 0x0c0c0c0c) | (w[2] >> 2 & 0x30303030);
  } else {
    for (int r = 0; r < 6; r++) a[r / 2][r % 2] = (w[r % 3] >> 3 * (r / 3)) & 0x07070707;
    a[3][0] = (w[0] >> 6 & 0x03030303) | (w[2] >> 4 & 0x04040404);
    a[3][1] = (w[1] >> 6 & 0x03030303) | (w[2] >> 5 & 0x04040404);
  }
}

struct Int8 { int8_t value; };

template <class X> using Pair = std::conditional_t<std::is_same_v<X, __half>, __half2, __nv_bfloat162>;

/// Two neighbouring values, element 2 k and 2 k + 1 of the words w, as a pair of X (exact).
template <class V, class X>
__device__ __forceinline__ unsigned value_pair(const unsigned* w, int k) {
  if constexpr (std::is_same_v<V, X>) return w[k];
  __half2 h;
  if constexpr (std::is_same_v<V, Int8>) {  // byte ^ 0x80 in the mantissa of 1024 is 1024 + 128 + value
    unsigned biased = __byte_perm(w[k / 2] ^ 0x80808080u, 0x64646464u, k % 2 ? 0x4342 : 0x4140);
    h = __hsub2((__half2&)biased, __float2half2_rn(1152.f));
  } else {
    h = __half2(__nv_cvt_fp8x2_to_halfraw2(__nv_fp8x2_storage_t(w[k / 2] >> 16 * (k % 2)), __NV_E4M3));
  }
  if constexpr (std::is_same_v<X, __half>) return (unsigned&)h;
  __nv_bfloat162 b = __float22bfloat162_rn(__half22float2(h));
  return (unsigned&)b;
}

template <class V>
__device__ __forceinline__ float value_float(const unsigned* w, int e) {
  if constexpr (sizeof(V) == 4) return __uint_as_float(w[e]);
  else if constexpr (std::is_same_v<V, __nv_bfloat16>) return __uint_as_float(e % 2 ? w[e / 2] & 0xffff0000u : w[e / 2] << 16);
  else {
    unsigned pair = value_pair<V, std::conditional_t<sizeof(V) == 1, __half, V>>(w, e / 2);
    return e % 2 ? __high2float((__half2&)pair) : __low2float((__half2&)pair);
  }
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class X> __device__ __forceinline__ X from_float(float x) {
  if constexpr (sizeof(X) == 4) return x;
  else return X(x);
}

// Copies by the bulk copy engine, which end on a barrier in shared memory.
__device__ __forceinline__ void barrier_init(unsigned barrier) {
  asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void bulk_copy(unsigned to, const void* from, unsigned bytes, unsigned barrier) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from),
               "r"(bytes), "r"(barrier)
               : "memory");
}
__device__ __forceinline__ void barrier_wait(unsigned barrier, unsigned phase) {
  asm volatile(
      "{\n.reg .pred done;\nretry:\nmbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@!done bra retry;\n}" ::"r"(barrier), "r"(phase)
      : "memory");
}
__device__ __forceinline__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

constexpr int kGuard = 16;  // bytes of zeros in front of x: where the padding of an empty row points
constexpr int kMaxWarps = 16, kMaxStages = 16;
template <class X> __host__ __device__ constexpr int x_bytes(int cols) { return (kGuard + cols * (int)sizeof(X) + 127) / 128 * 128; }
template <class V, int Bits> __host__ __device__ constexpr int unit_bytes() {
  return DeltaCode<Bits>::kSteps * 256 * (int)sizeof(V) + DeltaCode<Bits>::kWords * 128;
}

/// grid: a.blocks blocks of a.warps warps (at most kMaxWarps); dynamic shared memory: x, then `stages` units a warp.
template <class V, class X, int Bits>
__global__ void __launch_bounds__(kMaxWarps * 32, 2)
    matvec(const __grid_constant__ DeltaRows a, const X* __restrict__ x, X* __restrict__ y, int stages) {
  using Code = DeltaCode<Bits>;
  constexpr int kSteps = Code::kSteps, kWords = Code::kWords, kPlanes = kSteps * 8 * sizeof(V) / 16;
  constexpr unsigned kUnitBytes = unit_bytes<V, Bits>();
  constexpr bool kTensor = sizeof(X) == 2 && (std::is_same_v<V, X> || sizeof(V) == 1);
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ float head[kMaxWarps][16], tail[kMaxWarps][16];  // sums of groups that begin before a warp's steps, or end after them
  __shared__ DeltaRowsPlace tail_place[kMaxWarps][16];
  __shared__ int head_group[kMaxWarps], tail_group[kMaxWarps], tail_end[kMaxWarps];
  __shared__ uint64_t full[kMaxWarps][kMaxStages], x_full;
  asm volatile("griddepcontrol.launch_dependents;");
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const int worker = blockIdx.x * a.warps + warp;
  const int block_begin = a.block_unit[blockIdx.x], block_units = a.block_unit[blockIdx.x + 1] - block_begin;
  const int first = warp_unit(block_units, warp, a.warps), units = warp_unit(block_units, warp + 1, a.warps) - first;
  const int begin = (block_begin + first) * kSteps, end = begin + units * kSteps, block_end = (block_begin + block_units) * kSteps;

  const uint8_t* stream = a.stream + size_t(block_begin + first) * kUnitBytes;
  const unsigned char* ring = shared + x_bytes<X>(a.cols) + warp * stages * kUnitBytes;
  const unsigned ring_address = shared_address(ring), full_address = shared_address(full[warp]);
  auto fetch = [&](int stage, int u) { bulk_copy(ring_address + stage * kUnitBytes, stream + u * size_t(kUnitBytes), kUnitBytes, full_address + 8 * stage); };
  if (lane == 0) {
    for (int i = 0; i < stages; i++) barrier_init(full_address + 8 * i);
    if (warp == 0) barrier_init(shared_address(&x_full));
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    for (int i = 0; i < min(stages, units); i++) fetch(i, i);
    head_group[warp] = tail_group[warp] = -1;
  }
  int group = 0, start0 = -1, start1 = -1;
  if (units > 0) group = a.first_group[worker], start0 = a.start[16 * worker + g], start1 = a.start[16 * worker + g + 8];

  // The structure and values are the caller's constants; only x and y belong to the kernel before.
  asm volatile("griddepcontrol.wait;" ::: "memory");
  X* xs = (X*)(shared + kGuard);
  const unsigned copied = (uintptr_t)x % 16 == 0 ? a.cols * sizeof(X) / 16 * 16 : 0;  // bytes
  if (threadIdx.x == 0 && copied) bulk_copy(shared_address(xs), x, copied, shared_address(&x_full));
  if (threadIdx.x < kGuard / sizeof(X)) ((X*)shared)[threadIdx.x] = X(0.f);
  for (int i = copied / sizeof(X) + threadIdx.x; i < a.cols; i += blockDim.x) xs[i] = x[i];

  int group_begin, group_end, next_end;
  DeltaRowsPlace place0, place1;
  auto enter = [&](int begin_step, int end_step) {
    group_begin = begin_step, group_end = end_step, next_end = a.group_step[min(group + 2, a.groups)];
    place0 = a.place[16 * group + g], place1 = a.place[16 * group + g + 8];
  };
  enter(a.group_step[group], a.group_step[group + 1]);
  const int origin = kGuard - (int)sizeof(X);  // column -1
  int base[4];
  base[0] = base[1] = origin + (int)sizeof(X) * (start0 + 1);
  base[2] = base[3] = origin + (int)sizeof(X) * (start1 + 1);
  auto triangle = [&](int n) {  // row k = 4 t + j, column n: sizeof(X) where k <= n
    unsigned b = 0;
    for (int j = 0; j < 4; j++) b |= (4 * t + j <= n ? (unsigned)sizeof(X) : 0u) << 8 * j;
    return b;
  };
  const unsigned triangle0 = triangle(g), triangle1 = triangle(g + 8), all = sizeof(X) * 0x01010101u;
  float e0[4] = {}, e1[4] = {};  // kTensor: rows 0-7 and 8-15 of V * X^T; else four partial sums of either row
  __syncthreads();
  if (copied) barrier_wait(shared_address(&x_full), 0);

  auto flush = [&] {
    float s0, s1;
    if constexpr (kTensor) {  // lane t == g / 2 holds the diagonal
      s0 = g & 1 ? e0[1] : e0[0], s1 = g & 1 ? e1[3] : e1[2];
    } else {
      s0 = (e0[0] + e0[1]) + (e0[2] + e0[3]), s1 = (e1[0] + e1[1]) + (e1[2] + e1[3]);
      for (int k = 1; k < 4; k *= 2) s0 += __shfl_xor_sync(~0u, s0, k), s1 += __shfl_xor_sync(~0u, s1, k);
    }
    if (t == g / 2) {
      if (group_begin < begin) {
        head[warp][g] = s0, head[warp][g + 8] = s1, head_group[warp] = group;
      } else if (group_end > end) {
        tail[warp][g] = s0, tail[warp][g + 8] = s1, tail_group[warp] = group, tail_end[warp] = group_end;
        tail_place[warp][g] = place0, tail_place[warp][g + 8] = place1;
      } else {
        if (place0.row >= 0) y[place0.row] = from_float<X>(s0 * place0.scale);
        if (place1.row >= 0) y[place1.row] = from_float<X>(s1 * place1.scale);
      }
    }
    if (group + 1 < a.groups) group++, enter(group_end, next_end);
    for (int i = 0; i < 4; i++) e0[i] = e1[i] = 0.f, base[i] = origin;
  };
  auto step = [&](const unsigned* value, const unsigned (&delta)[2]) {
    int d0[4], d1[4];
    prefix_mma(d0, delta, triangle0, base);
    prefix_mma(d1, delta, triangle1, base);
    prefix_mma(base, delta, all, base);
    auto at = [&](int address) { return *(const X*)(shared + address); };
    if constexpr (kTensor) {
      unsigned av[4];
#pragma unroll
      for (int k = 0; k < 4; k++) av[k] = value_pair<V, X>(value, k);
      product_mma(e0, av, Pair<X>(at(d0[0]), at(d0[1])), Pair<X>(at(d1[0]), at(d1[1])));
      product_mma(e1, av, Pair<X>(at(d0[2]), at(d0[3])), Pair<X>(at(d1[2]), at(d1[3])));
    } else {
#pragma unroll
      for (int e = 0; e < 8; e++) {
        float xe = to_float(at(e < 4 ? d0[e] : d1[e - 4]));
        float& sum = e / 2 % 2 ? e1[e % 2 + e / 4 * 2] : e0[e % 2 + e / 4 * 2];
        sum = fmaf(value_float<V>(value, e), xe, sum);
      }
    }
  };

  int stop = min(group_end, end), done = begin;
  for (int u = 0, stage = 0, phase = 0; u < units; u++) {
    unsigned v[kPlanes * 4], w[kWords], delta[kSteps][2];
    barrier_wait(full_address + 8 * stage, phase);
    const unsigned char* unit = ring + stage * kUnitBytes;
#pragma unroll
    for (int i = 0; i < kPlanes; i++) (uint4&)v[4 * i] = ((const uint4*)(unit + i * 512))[lane];
    unit += kPlanes * 512;
    if constexpr (kWords == 4) (uint4&)w[0] = ((const uint4*)unit)[lane];
    else (uint2&)w[0] = ((const uint2*)unit)[lane];
    if constexpr (kWords == 3) w[2] = ((const unsigned*)(unit + 256))[lane];
    __syncwarp();
    if (lane == 0 && u + stages < units) fetch(stage, u + stages);
    if (++stage == stages) stage = 0, phase ^= 1;
    unpack<Bits>(w, delta);
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      step(&v[i * 2 * sizeof(V)], delta[i]);
      if (++done == stop) flush(), stop = min(group_end, end);
    }
  }
  __syncthreads();

  // Groups that warps or blocks share, in the order of the warps: the warp in which one begins adds up, the last block to arrive too.
  auto add_heads = [&](float sum, int k, int shared_group) {
    for (; k < a.warps && head_group[k] == shared_group; k++) sum += head[k][lane & 15];
    return sum;
  };
  auto write = [&](DeltaRowsPlace place, float sum) {
    if (lane < 16 && place.row >= 0) y[place.row] = from_float<X>(sum * place.scale);
  };
  auto meet = [&](float sum, int slot, int shared_group, int owner, int last) {
    if (lane < 16) a.partial[(blockIdx.x * 2 + slot) * 16 + lane] = sum;
    __threadfence();
    __syncwarp();
    unsigned others = 0;
    if (lane == 0) others = atomicAdd(&a.arrived[owner], 1u);
    if (__shfl_sync(~0u, others, 0) != (unsigned)(last - owner)) return;
    __threadfence();
    sum = __ldcg(&a.partial[(owner * 2 + 1) * 16 + (lane & 15)]);
    for (int b = owner + 1; b <= last; b++) sum += __ldcg(&a.partial[b * 2 * 16 + (lane & 15)]);
    if (lane == 0) a.arrived[owner] = 0;
    write(a.place[16 * shared_group + (lane & 15)], sum);
  };
  if (warp == 0 && head_group[0] >= 0) {
    const DeltaRowsPlan plan = a.plan[blockIdx.x];
    meet(add_heads(head[0][lane & 15], 1, head_group[0]), 0, head_group[0], plan.head_owner, plan.head_last);
  }
  if (tail_group[warp] >= 0) {
    const float sum = add_heads(tail[warp][lane & 15], warp + 1, tail_group[warp]);
    const int plan_last = tail_end[warp] > block_end ? a.plan[blockIdx.x].tail_last : -1;
    if (plan_last < 0) write(tail_place[warp][lane & 15], sum);
    else meet(sum, 1, tail_group[warp], blockIdx.x, plan_last);
  }
}

}  // namespace delta_rows

/// y = A x on `stream`. Allocates nothing, does not synchronize, can be captured in a graph.
/// @param overlap  the launch may begin while the kernel before it on the stream ends (programmatic dependent launch); A must have been
///                 complete before that kernel began.
template <class V, class X, int Bits>
cudaError_t delta_rows_matvec(const DeltaRows& a, const X* x, X* y, bool overlap, cudaStream_t stream, int shared_budget = 106 << 10) {
  using namespace delta_rows;
  auto* kernel = matvec<V, X, Bits>;
  static const cudaError_t raised = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 220 << 10);
  if (raised != cudaSuccess) return raised;
  const int stage_bytes = a.warps * unit_bytes<V, Bits>(), room = (shared_budget - x_bytes<X>(a.cols)) / stage_bytes;
  const int stages = std::clamp(room, 2, kMaxStages), bytes = x_bytes<X>(a.cols) + stages * stage_bytes;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = a.blocks, config.blockDim = a.warps * 32, config.dynamicSmemBytes = bytes, config.stream = stream;
  config.attrs = &attribute, config.numAttrs = overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, a, x, y, stages);
}

}  // namespace gossamer
