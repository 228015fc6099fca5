// SPDX-License-Identifier: Apache-2.0
// y = A x for the arrangement of delta_rows.hpp. A warp walks 16 rows, 16 slots of each a step:
//   1. Column of every slot: deltas (16x16, 8 bits) times an upper-triangular matrix of sizeof(X),
//   on the tensor cores, started
//      at the rows' addresses. The accumulators are the shared-memory addresses of x: no scan, no
//      shuffle, no arithmetic.
//   2. Gather x. What a lane gathers is the B fragment of V * X^T, whose diagonal is the result
//   (16-bit and 8-bit values); float32
//      operands are multiplied and added instead.
// Groups of rows that several warps share are summed in the order of the warps, through shared
// memory in a block and through `partial` across blocks: the same bits every time.
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
  const int* group_step;
  const DeltaRowsWorker* worker;
  const int *start, *owner;
  uint64_t*
      partial;  ///< [blocks][16] workspace, zero before the first product; a product leaves it zero
  int groups, cols, blocks;
  int block_unit[kMaxBlocks +
                 1];  ///< here and not in memory: the first loads of a block depend on it
};

namespace delta_rows {

__device__ __forceinline__ void prefix_mma(int (&d)[4], const unsigned (&a)[2], unsigned b,
                                           const int (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.u8.u8.s32 {%0,%1,%2,%3},{%4,%5},{%6},{%7,%8,%9,%10};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

__device__ __forceinline__ void product_mma(float (&d)[4], const unsigned (&a)[4], __half2 b0,
                                            __half2 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"((unsigned&)b0), "r"((unsigned&)b1));
}
__device__ __forceinline__ void product_mma(float (&d)[4], const unsigned (&a)[4],
                                            __nv_bfloat162 b0, __nv_bfloat162 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"((unsigned&)b0), "r"((unsigned&)b1));
}

template <int Bits>
__device__ __forceinline__ void unpack(const unsigned* w,
                                       unsigned (&a)[DeltaCode<Bits>::kSteps][2]) {
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

struct Int8 {
  int8_t value;
};

template <class X>
using Pair = std::conditional_t<std::is_same_v<X, __half>, __half2, __nv_bfloat162>;

/// Two neighbouring values, element 2 k and 2 k + 1 of the words w, as a pair of X (exact).
template <class V, class X>
__device__ __forceinline__ unsigned value_pair(const unsigned* w, int k) {
  if constexpr (std::is_same_v<V, X>) return w[k];
  __half2 h;
  if constexpr (std::is_same_v<V, Int8>) {  // byte ^ 0x80 in the mantissa of 1024 is 1024 + 128 +
                                            // value
    unsigned biased = __byte_perm(w[k / 2] ^ 0x80808080u, 0x64646464u, k % 2 ? 0x4342 : 0x4140);
    h = __hsub2((__half2&)biased, __float2half2_rn(1152.f));
  } else {
    h = __half2(
        __nv_cvt_fp8x2_to_halfraw2(__nv_fp8x2_storage_t(w[k / 2] >> 16 * (k % 2)), __NV_E4M3));
  }
  if constexpr (std::is_same_v<X, __half>) return (unsigned&)h;
  __nv_bfloat162 b = __float22bfloat162_rn(__half22float2(h));
  return (unsigned&)b;
}

template <class V>
__device__ __forceinline__ float value_float(const unsigned* w, int e) {
  if constexpr (sizeof(V) == 4)
    return __uint_as_float(w[e]);
  else if constexpr (std::is_same_v<V, __nv_bfloat16>)
    return __uint_as_float(e % 2 ? w[e / 2] & 0xffff0000u : w[e / 2] << 16);
  else {
    unsigned pair = value_pair<V, std::conditional_t<sizeof(V) == 1, __half, V>>(w, e / 2);
    return e % 2 ? __high2float((__half2&)pair) : __low2float((__half2&)pair);
  }
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class X>
__device__ __forceinline__ X from_float(float x) {
  if constexpr (sizeof(X) == 4)
    return x;
  else
    return X(x);
}

__device__ __forceinline__ unsigned shared_address(const void* p) {
  return (unsigned)__cvta_generic_to_shared(p);
}

/// x to shared memory by the copy engine, whose result does not queue behind the loads of the
/// stream.
__device__ __forceinline__ void bulk_copy(void* to, const void* from, unsigned bytes,
                                          uint64_t* barrier) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(bytes)
               : "memory");
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}
__device__ __forceinline__ void barrier_wait(uint64_t* barrier) {
  asm volatile(
      "{\n.reg .pred done;\nretry:\nmbarrier.try_wait.parity.shared.b64 done, [%0], 0;\n@!done bra "
      "retry;\n}" ::"r"(shared_address(barrier))
      : "memory");
}

template <class X>
__device__ __forceinline__ X gather(int address) {
  if constexpr (sizeof(X) == 4) {
    float v;
    asm("ld.shared.f32 %0,[%1];" : "=f"(v) : "r"(address));
    return v;
  } else {
    unsigned short v;
    asm("ld.shared.u16 %0,[%1];" : "=h"(v) : "r"(address));
    return (X&)v;
  }
}

template <int Bytes>
__device__ __forceinline__ void async_copy(unsigned to, const uint8_t* from) {
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0],[%1],16;" ::"r"(to), "l"(from) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0],[%1],%2;" ::"r"(to), "l"(from), "n"(Bytes)
                 : "memory");
}
template <int Bytes>
__device__ __forceinline__ void load_shared(unsigned* v, unsigned from) {
  if constexpr (Bytes == 16)
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3},[%4];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                 : "r"(from));
  else if constexpr (Bytes == 8)
    asm volatile("ld.shared.v2.u32 {%0,%1},[%2];" : "=r"(v[0]), "=r"(v[1]) : "r"(from));
  else
    asm volatile("ld.shared.u32 %0,[%1];" : "=r"(v[0]) : "r"(from));
}

constexpr int kGuard =
    16;  // bytes of zeros in front of x: where the padding of an empty row points
constexpr int kWarps = 16, kMaxShared = 220 << 10;
template <class X>
__host__ __device__ constexpr int x_bytes(int cols) {
  return (kGuard + cols * (int)sizeof(X) + 127) / 128 * 128;
}
template <class V, int Bits>
__host__ __device__ constexpr int unit_bytes() {
  return DeltaCode<Bits>::kSteps * 256 * (int)sizeof(V) + DeltaCode<Bits>::kWords * 128;
}
/// Units of a warp on their way: two blocks fit a multiprocessor, so that the next kernel's first
/// loads run beside this one.
template <class V, int Bits>
constexpr int depth() {
  return (88 << 10) / (kWarps * unit_bytes<V, Bits>());
}

/// grid: a.blocks blocks of kWarps warps; dynamic shared memory: x where Resident (else it is
/// gathered from global memory), then depth() units a warp.
template <class V, class X, int Bits, bool Resident>
__global__ void __launch_bounds__(kWarps * 32, 2)
    matvec(const __grid_constant__ DeltaRows a, const X* __restrict__ x, X* __restrict__ y,
           bool overlap) {
  using Code = DeltaCode<Bits>;
  constexpr int kSteps = Code::kSteps, kWords = Code::kWords, kPlanes = kSteps * 8 * sizeof(V) / 16,
                kDepth = depth<V, Bits>();
  constexpr unsigned kUnitBytes = unit_bytes<V, Bits>();
  constexpr bool kTensor = sizeof(X) == 2 && (std::is_same_v<V, X> || sizeof(V) == 1);
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ float head[kWarps][16],
      tail[kWarps][16];  // sums of groups that begin before a warp's steps, or end after them
  __shared__ DeltaRowsPlace shared_place[kWarps][2][16];  // of those groups
  __shared__ int head_group[kWarps], tail_group[kWarps], head_end[kWarps], tail_end[kWarps];
  __shared__ uint64_t x_full;
  asm volatile("griddepcontrol.launch_dependents;");
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const int worker = blockIdx.x * kWarps + warp;
  // What is small and waited for goes first: behind the stream of all warps it would take two
  // microseconds longer.
  const int4 where = ((const int4*)a.worker)[worker];
  const int start0 = a.start[16 * worker + g], start1 = a.start[16 * worker + g + 8];
  X* xs = (X*)(shared + kGuard);
  const unsigned copied =
      Resident && (uintptr_t)x % 16 == 0 ? a.cols * sizeof(X) / 16 * 16 : 0;  // bytes
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(&x_full)) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncwarp();
  if (threadIdx.x == 0 && copied && !overlap) bulk_copy(xs, x, copied, &x_full);
  if (Resident && threadIdx.x < kGuard / sizeof(X)) ((X*)shared)[threadIdx.x] = X(0.f);
  if (lane == 0) head_group[warp] = tail_group[warp] = -1;

  const int block_begin = a.block_unit[blockIdx.x],
            block_units = a.block_unit[blockIdx.x + 1] - block_begin;
  const int first = warp_unit(block_units, warp, kWarps),
            units = warp_unit(block_units, warp + 1, kWarps) - first;
  const int begin = (block_begin + first) * kSteps, end = begin + units * kSteps,
            block_end = (block_begin + block_units) * kSteps;

  // A lane copies what it will read itself, so that no barrier is needed.
  const uint8_t* source = a.stream + size_t(block_begin + first) * kUnitBytes;
  const unsigned ring =
      shared_address(shared) + (Resident ? x_bytes<X>(a.cols) : 0) + warp * kDepth * kUnitBytes;
  auto each_piece = [&](auto&& piece) {
#pragma unroll
    for (int i = 0; i < kPlanes; i++) piece.template operator()<16>(4 * i, i * 512 + lane * 16);
    constexpr int kBytes = kWords == 4 ? 16 : 8;
    piece.template operator()<kBytes>(4 * kPlanes, kPlanes * 512 + lane * kBytes);
    if constexpr (kWords == 3)
      piece.template operator()<4>(4 * kPlanes + 2, kPlanes * 512 + 256 + lane * 4);
  };
  auto fetch = [&](unsigned slot, bool valid) {
    if (valid)
      each_piece([&]<int Bytes>(int, unsigned offset) {
        async_copy<Bytes>(slot + offset, source + offset);
      });
    source += kUnitBytes;
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
#pragma unroll
  for (int p = 0; p < kDepth; p++) fetch(ring + p * kUnitBytes, p < units);

  // The structure and values are the caller's constants; only x and y belong to the kernel before.
  asm volatile("griddepcontrol.wait;" ::: "memory");
  if (threadIdx.x == 0 && copied && overlap) bulk_copy(xs, x, copied, &x_full);
  for (int i = copied / sizeof(X) + threadIdx.x; Resident && i < a.cols; i += blockDim.x)
    xs[i] = x[i];

  int group = where.x, group_begin, group_end, next_end;
  DeltaRowsPlace place0, place1;
  auto enter = [&](int begin_step, int end_step, int next_step) {
    group_begin = begin_step, group_end = end_step, next_end = next_step;
    place0 = a.place[16 * group + g], place1 = a.place[16 * group + g + 8];
  };
  enter(where.y, where.z, where.w);
  const int origin = (Resident ? (int)shared_address(xs) : 0) - (int)sizeof(X);  // column -1
  int base[4];
  auto triangle = [&](int n) {  // row k = 4 t + j, column n: sizeof(X) where k <= n
    unsigned b = 0;
    for (int j = 0; j < 4; j++) b |= (4 * t + j <= n ? (unsigned)sizeof(X) : 0u) << 8 * j;
    return b;
  };
  unsigned triangle0 = triangle(g), triangle1 = triangle(g + 8), all = sizeof(X) * 0x01010101u;
  asm volatile("" : "+r"(triangle0), "+r"(triangle1), "+r"(all));  // not computed again in the loop
  float e0[4] = {},
        e1[4] = {};  // kTensor: rows 0-7 and 8-15 of V * X^T; else four partial sums of either row
  __syncthreads();
  if (copied) barrier_wait(&x_full);
  base[0] = base[1] = origin + (int)sizeof(X) * (start0 + 1);
  base[2] = base[3] = origin + (int)sizeof(X) * (start1 + 1);
  for (int i = 0; i < 4; i++) asm volatile("" : "+r"(base[i]));  // no gather before the wait

  auto flush = [&] {
    float s0, s1;
    if constexpr (kTensor) {  // lane t == g / 2 holds the diagonal
      s0 = g & 1 ? e0[1] : e0[0], s1 = g & 1 ? e1[3] : e1[2];
    } else {
      s0 = (e0[0] + e0[1]) + (e0[2] + e0[3]), s1 = (e1[0] + e1[1]) + (e1[2] + e1[3]);
      for (int k = 1; k < 4; k *= 2)
        s0 += __shfl_xor_sync(~0u, s0, k), s1 += __shfl_xor_sync(~0u, s1, k);
    }
    if (t == g / 2) {
      const bool continues = group_begin < begin;
      if (continues || group_end > end) {
        float* sum = continues ? head[warp] : tail[warp];
        DeltaRowsPlace* place = shared_place[warp][continues ? 0 : 1];
        sum[g] = s0, sum[g + 8] = s1, place[g] = place0, place[g + 8] = place1;
        (continues ? head_group : tail_group)[warp] = group,
                                  (continues ? head_end : tail_end)[warp] = group_end;
      } else {
        if (place0.row >= 0) y[place0.row] = from_float<X>(s0 * place0.scale);
        if (place1.row >= 0) y[place1.row] = from_float<X>(s1 * place1.scale);
      }
    }
    if (group + 1 < a.groups)
      group++, enter(group_end, next_end, a.group_step[min(group + 2, a.groups)]);
    for (int i = 0; i < 4; i++) e0[i] = e1[i] = 0.f, base[i] = origin;
  };
  auto step = [&](const unsigned* value, const unsigned (&delta)[2]) {
    int d0[4], d1[4];
    prefix_mma(d0, delta, triangle0, base);
    prefix_mma(d1, delta, triangle1, base);
    prefix_mma(base, delta, all, base);
    auto at = [&](int address) {
      if constexpr (Resident)
        return gather<X>(address);
      else
        return address < 0 ? X(0.f) : *(const X*)((const char*)x + address);
    };
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
  unsigned slot = ring;
  for (int u = 0; u < units; u++) {
    unsigned v[4 * kPlanes + kWords], delta[kSteps][2];
    asm volatile("cp.async.wait_group %0;" ::"n"(kDepth - 1) : "memory");
    each_piece(
        [&]<int Bytes>(int word, unsigned offset) { load_shared<Bytes>(v + word, slot + offset); });
    unpack<Bits>(v + 4 * kPlanes, delta);
    fetch(slot, u + kDepth < units);
    slot = slot == ring + (kDepth - 1) * kUnitBytes ? ring : slot + kUnitBytes;
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      step(v + i * 2 * sizeof(V), delta[i]);
      if (++done == stop) flush(), stop = min(group_end, end);
    }
  }
  __syncthreads();

  // Groups that warps share: the warp in which one begins adds up, in the order of the warps.
  // Groups that blocks share: the block in which one ends adds up what those before it send. A sum
  // is sent with a mark in one word, so that no fence is needed; it is sent before others are
  // waited for.
  const int i = lane & 15;
  auto add_heads = [&](float sum, int k, int shared_group) {
    for (; k < kWarps && head_group[k] == shared_group; k++) sum += head[k][i];
    return sum;
  };
  auto write = [&](DeltaRowsPlace place, float sum) {
    if (lane < 16 && place.row >= 0) y[place.row] = from_float<X>(sum * place.scale);
  };
  auto send = [&](float sum) {
    if (lane < 16)
      ((volatile uint64_t*)a.partial)[blockIdx.x * 16 + i] = 1ull << 32 | __float_as_uint(sum);
  };
  auto receive = [&](int block) {
    volatile uint64_t* from = (volatile uint64_t*)a.partial + block * 16 + i;
    uint64_t word;
    do word = *from;
    while (!(word >> 32));
    __syncwarp();
    if (lane < 16) *from = 0;
    return __uint_as_float((unsigned)word);
  };
  if (tail_group[warp] >= 0) {
    const float sum = add_heads(tail[warp][i], warp + 1, tail_group[warp]);
    if (tail_end[warp] > block_end)
      send(sum);
    else
      write(shared_place[warp][1][i], sum);
  }
  if (warp == 0 && head_group[0] >= 0) {
    const float heads = add_heads(head[0][i], 1, head_group[0]);
    if (head_end[0] > block_end) {
      send(heads);
    } else {
      const int owner = a.owner[blockIdx.x];
      float sum = receive(owner);
      for (int b = owner + 1; b < (int)blockIdx.x; b++) sum += receive(b);
      write(shared_place[0][0][i], sum + heads);
    }
  }
}

}  // namespace delta_rows

/// y = A x on `stream`. Allocates nothing, does not synchronize, can be captured in a graph.
/// @param overlap  the launch may begin while the kernel before it on the stream ends (programmatic
/// dependent launch); A must have been
///                 complete before that kernel began.
template <class V, class X, int Bits>
cudaError_t delta_rows_matvec(const DeltaRows& a, const X* x, X* y, bool overlap,
                              cudaStream_t stream) {
  using namespace delta_rows;
  const int ring = depth<V, Bits>() * kWarps * unit_bytes<V, Bits>();
  const bool resident = x_bytes<X>(a.cols) + ring <= kMaxShared;
  auto* kernel = resident ? matvec<V, X, Bits, true> : matvec<V, X, Bits, false>;
  static const cudaError_t raised = [] {
    cudaError_t first = cudaFuncSetAttribute(
        matvec<V, X, Bits, true>, cudaFuncAttributeMaxDynamicSharedMemorySize, kMaxShared);
    return first ? first
                 : cudaFuncSetAttribute(matvec<V, X, Bits, false>,
                                        cudaFuncAttributeMaxDynamicSharedMemorySize, kMaxShared);
  }();
  if (raised != cudaSuccess) return raised;
  const int bytes = (resident ? x_bytes<X>(a.cols) : 0) + ring;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = a.blocks, config.blockDim = kWarps * 32, config.dynamicSmemBytes = bytes,
  config.stream = stream;
  config.attrs = &attribute, config.numAttrs = overlap ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, a, x, y, overlap);
}

}  // namespace gossamer
