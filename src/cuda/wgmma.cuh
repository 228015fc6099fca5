// SPDX-License-Identifier: Apache-2.0
// Hopper's warpgroup matrix instruction, A from registers and B from shared memory.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace gossamer::cuda {

#define GOSSAMER_WGMMA(N, TYPE, D, D_OPERANDS, A0, A1, A2, A3, B)                              \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" D "},{" A0 \
               "," A1 "," A2 "," A3 "}," B ",1,1,1,0;"                                         \
               : D_OPERANDS                                                                    \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#define GOSSAMER_D4(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define GOSSAMER_R8 "%0,%1,%2,%3,%4,%5,%6,%7"
#define GOSSAMER_R16 GOSSAMER_R8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define GOSSAMER_R32 GOSSAMER_R16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define GOSSAMER_WGMMA_ALL(TYPE)                                                                  \
  if constexpr (Tiles == 2)                                                                       \
    GOSSAMER_WGMMA(16, TYPE, GOSSAMER_R8, GOSSAMER_D4(0) COMMA GOSSAMER_D4(1), "%8", "%9", "%10", \
                   "%11", "%12");                                                                 \
  if constexpr (Tiles == 4)                                                                       \
    GOSSAMER_WGMMA(32, TYPE, GOSSAMER_R16,                                                        \
                   GOSSAMER_D4(0) COMMA GOSSAMER_D4(1) COMMA GOSSAMER_D4(2) COMMA GOSSAMER_D4(3), \
                   "%16", "%17", "%18", "%19", "%20");                                            \
  if constexpr (Tiles == 8)                                                                       \
  GOSSAMER_WGMMA(64, TYPE, GOSSAMER_R32,                                                          \
                 GOSSAMER_D4(0) COMMA GOSSAMER_D4(1) COMMA GOSSAMER_D4(2) COMMA GOSSAMER_D4(3)    \
                     COMMA GOSSAMER_D4(4) COMMA GOSSAMER_D4(5) COMMA GOSSAMER_D4(6)               \
                         COMMA GOSSAMER_D4(7),                                                    \
                 "%32", "%33", "%34", "%35", "%36")
#define COMMA ,
/// d += a * B: 64 rows of four warps, 16 columns; B, 16, 32 or 64 columns, by its shared-memory
/// descriptor.
template <class V, int Tiles>
__device__ __forceinline__ void wgmma(float (&d)[Tiles][4], const unsigned (&a)[4], uint64_t b) {
  if constexpr (std::is_same_v<V, __half>) {
    GOSSAMER_WGMMA_ALL("f16");
  } else {
    GOSSAMER_WGMMA_ALL("bf16");
  }
}
#undef COMMA

/// Descriptor of B in shared memory with the 128-byte swizzle: a row of 64 elements of the inner
/// dimension for each column, aligned to 1024 bytes. 16 elements are 32 bytes.
__device__ __forceinline__ uint64_t swizzled_descriptor(unsigned address) {
  constexpr uint64_t swizzle = uint64_t{1} << 62, eight_rows = 1024 >> 4;
  return swizzle | eight_rows << 32 | address >> 4;
}

/// Takes registers from, or gives them to, those that the block was launched with: all warps of a
/// warpgroup together.
template <bool More, int Registers>
__device__ __forceinline__ void set_registers() {
  if constexpr (More) {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
  } else {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
  }
}

/// Orders register accesses before the instructions that follow.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits for all of this warpgroup's instructions.
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

}  // namespace gossamer::cuda
