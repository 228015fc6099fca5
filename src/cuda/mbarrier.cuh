// SPDX-License-Identifier: Apache-2.0
// Barriers in shared memory between warps that fill a ring of stages, some of it by the copy
// engine, and warps that empty it. From compute capability 9.0 on.
#pragma once

#include "cuda/async_copy.cuh"

namespace gossamer::cuda {

__device__ __forceinline__ void mbarrier_init(unsigned barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
/// Makes initialized barriers known to the copy engine.
__device__ __forceinline__ void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void mbarrier_arrive(unsigned barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/// Arrives when this thread's copies so far (cp.async) are complete.
__device__ __forceinline__ void mbarrier_arrive_after_copies(unsigned barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
}
/// Arrives and announces bytes that the copy engine will bring.
__device__ __forceinline__ void mbarrier_arrive_expecting(unsigned barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
/// Waits until the phase of that parity is complete.
__device__ __forceinline__ void mbarrier_wait(unsigned barrier, unsigned parity) {
  asm volatile(
      "{\n.reg .pred done;\nretry:\nmbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@!done "
      "bra retry;\n}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}
/// Copies `bytes` (a multiple of 16, both addresses too) and counts them at the barrier.
__device__ __forceinline__ void mbarrier_bulk_copy(unsigned to, const void* from, unsigned bytes,
                                                   unsigned barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(to),
      "l"(from), "r"(bytes), "r"(barrier)
      : "memory");
}
/// Orders what this thread wrote to shared memory, or was told that others wrote, before what the
/// tensor cores read of it.
__device__ __forceinline__ void fence_for_tensor_cores() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Which stage of a ring is next, and how often the ring was gone around.
struct RingPosition {
  int stages;
  int stage = 0;
  unsigned round = 0;

  __device__ void advance() {
    if (++stage == stages) stage = 0, ++round;
  }
};

}  // namespace gossamer::cuda
