// SPDX-License-Identifier: Apache-2.0
// How a warp expands a tile of bitmap_tiles.hpp into A fragments of m16n8k16.
//
// The address of each value comes from two 8-bit matrix products, exact in integers: counts of the
// columns before it (triangle over columns) and bits of the rows above it (triangle over rows),
// both scaled by the size of a value. A position that is not stored is moved behind the values by a
// multiple of its bit's absence, where shared memory holds zeros: it loads 0 like any value.
#pragma once

#include "cuda/async_copy.cuh"
#include "ops/packed_matmul/cuda/bitmap_tiles.hpp"

namespace gossamer::cuda::bitmap_tiles {

/// Distance of zeros from values in units of 2 x 96 bytes, an odd number of them: as many banks
/// apart as can be. 127 units are the most.
inline constexpr unsigned zero_step = 96;

/// Bytes of zeros that absent positions of a tile reach.
inline unsigned zero_bytes(const View& a) {
  return (a.largest_tile + 5 * zero_step + 15) / 16 * 16;
}

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

  /// Of a table of `count` rows of 32 lanes.
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

/// Expands a lane's part of a tile of the pair at that shared address into A fragments; zeros at
/// another, behind the pair. Runs `before_use` before `av` is written.
template <class BeforeUse>
__device__ __forceinline__ void expand(unsigned (&av)[4][4], const Constants& constants,
                                       unsigned pair, int tile, unsigned zeros,
                                       BeforeUse&& before_use) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned start = pair + (tile == 0 ? values_at : load_word(pair));
  const unsigned mask = load_word(pair + masks_at + 128 * tile + 4 * lane);
  unsigned counts[2][4];  // of 32 columns each, the same in all rows
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    counts[i / 4][i % 4] = load_word(pair + counts_at + 64 * tile + lane % 4 * 16 + 2 * i);
    counts[i / 4][i % 4 + 1] = counts[i / 4][i % 4] + constants.zeros[0];
  }
  // The least odd number of double zero_steps that leads to the zeros, or the next one.
  const unsigned steps = (((zeros - start) * 342 >> 16) + 1) | 1;
  const unsigned first = start + 2 * zero_step * steps;
  const unsigned absent[4] = {first, first + constants.zeros[0], first + constants.zeros[1],
                              first + constants.zeros[2]};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    unsigned value[2][4];  // of eight columns each
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int eight = 2 * k + i;
      multiply_counts(value[i], counts[eight / 4], constants.columns[eight % 4], absent);
      const unsigned bits = mask >> eight & 0x01010101u;
      multiply_bits(value[i], constants.rows, bits, bits * (2 * steps));
#pragma unroll
      for (unsigned& v : value[i]) v = load_value(v);
    }
    if (k == 0) before_use();
#pragma unroll
    for (int i = 0; i < 4; ++i)
      av[k][i] = permute(value[i / 2][2 * (i % 2)], value[i / 2][2 * (i % 2) + 1], 0x5410);
  }
}

/// Where eight columns of X are in 64 columns of it in shared memory: in the row's 128 bytes, in an
/// order of each row's own, so that neither rows nor columns meet in a bank: the 128-byte swizzle
/// of wgmma.
__device__ __forceinline__ unsigned swizzled(int row, int eight) {
  return row * 128 + (eight ^ row % 8) * 16;
}

/// The rows of X.
template <class V>
struct VectorRows {
  const V* x;
  int count, cols;
  bool aligned;  ///< to 16 bytes, every eight columns
  __device__ VectorRows(const V* x, int count, int cols)
      : x(x), count(count), cols(cols), aligned(cols % 8 == 0 && (uintptr_t)x % 16 == 0) {}
  /// A warp copies 64 columns of up to Rows rows to shared memory, from `column`, a multiple of
  /// eight, on; zeros behind the last one. If `aligned`, the copies are on their way afterwards.
  template <int Rows>
  __device__ __forceinline__ void copy(unsigned to, int column) const {
    const int eight = threadIdx.x % 8, at = column + 8 * eight, row0 = threadIdx.x % 32 / 8;
    if (aligned) {
      const V* from = x + row0 * (long)cols + (at < cols ? at : 0);
#pragma unroll
      for (int row = 0; row < Rows; row += 4, from += 4 * (long)cols)
        if (row + row0 < count)
          async_copy_or_zeros(to + swizzled(row + row0, eight), from, at < cols);
    } else {
#pragma unroll 1
      for (int row = row0; row < min(Rows, count); row += 4) {
        const auto* from = reinterpret_cast<const unsigned short*>(x + row * (long)cols + at);
#pragma unroll 1
        for (int i = 0; i < 8; ++i)
          asm volatile("st.shared.u16 [%0],%1;" ::"r"(to + swizzled(row, eight) + 2 * i),
                       "h"(at + i < cols ? __ldg(from + i) : (unsigned short)0)
                       : "memory");
      }
    }
  }
};

}  // namespace gossamer::cuda::bitmap_tiles
