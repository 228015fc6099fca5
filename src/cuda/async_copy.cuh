// SPDX-License-Identifier: Apache-2.0
// Copies to shared memory that threads do not wait for, and the early start of dependent launches.
// What compute capability 9.0 brought does nothing before it.
#pragma once

#include <cstdint>

namespace gossamer::cuda {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
inline constexpr bool has_bulk_copy = true;
#else
inline constexpr bool has_bulk_copy = false;
#endif

__device__ __forceinline__ unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// ---- Copies of single threads (cp.async) --------------------------------------------------------

template <int Bytes>
__device__ __forceinline__ void async_copy(unsigned to, const void* from) {
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0],[%1],16;" ::"r"(to), "l"(from) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0],[%1],%2;" ::"r"(to), "l"(from), "n"(Bytes)
                 : "memory");
  }
}
/// 16 bytes from there, or of zeros; `from` is an address in either case.
__device__ __forceinline__ void async_copy_or_zeros(unsigned to, const void* from, bool copied) {
  asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(to), "l"(from),
               "r"(copied ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most Groups of this thread's committed groups are on their way.
template <int Groups>
__device__ __forceinline__ void async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

template <int Bytes>
__device__ __forceinline__ void load_shared(unsigned* v, unsigned from) {
  if constexpr (Bytes == 16) {
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3},[%4];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                 : "r"(from));
  } else if constexpr (Bytes == 8) {
    asm volatile("ld.shared.v2.u32 {%0,%1},[%2];" : "=r"(v[0]), "=r"(v[1]) : "r"(from));
  } else {
    asm volatile("ld.shared.u32 %0,[%1];" : "=r"(v[0]) : "r"(from));
  }
}

// ---- Copies by the copy engine, which do not queue behind the threads' loads --------------------

__device__ __forceinline__ void bulk_barrier_init(std::uint64_t* barrier) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ __forceinline__ void bulk_copy(void* to, const void* from, unsigned bytes,
                                          std::uint64_t* barrier) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(bytes)
               : "memory");
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
#endif
}
__device__ __forceinline__ void bulk_wait(std::uint64_t* barrier) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred done;\nretry:\nmbarrier.try_wait.parity.shared.b64 done, [%0], 0;\n@!done bra "
      "retry;\n}" ::"r"(shared_address(barrier))
      : "memory");
#endif
}

// ---- Programmatic dependent launch --------------------------------------------------------------

/// The kernel after this one may be launched.
__device__ __forceinline__ void launch_dependents() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
/// Waits for the kernels before this one, and for what they wrote.
__device__ __forceinline__ void wait_for_launches_before() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace gossamer::cuda
