// SPDX-License-Identifier: Apache-2.0
// How warps and blocks of delta_rows that share a group of rows add up their sums, in order.
#pragma once

#include <cstdint>

#include "ops/packed_matmul/cuda/delta_rows.hpp"

namespace gossamer::cuda::delta_rows {

/// One of a group's sixteen rows.
struct Place {
  int row;      ///< -1 past the last row
  float scale;  ///< what the row's sum is multiplied by
};

/// Sums of the groups that begin before a warp's steps (head) or end after them (tail).
struct SharedSums {
  float head[warps][16], tail[warps][16];
  Place place[warps][2][16];  ///< of these groups
  int head_group[warps], tail_group[warps], head_end[warps], tail_end[warps];
};

/// The warp in which a group begins adds up, in the order of the warps. Of groups that blocks share
/// the block in which one ends adds up what those before it send. A sum is sent with a mark in one
/// word, so that no fence is needed, and before others are waited for. write_place(place, sum)
/// writes a row.
template <class Write>
__device__ __forceinline__ void add_shared_groups(const View& a, const SharedSums& sums,
                                                  int block_end, std::uint64_t* partial,
                                                  Write write_place) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, i = lane & 15;
  auto add_heads = [&](float sum, int k, int group) {
    for (; k < warps && sums.head_group[k] == group; ++k) sum += sums.head[k][i];
    return sum;
  };
  auto write = [&](Place place, float sum) {
    if (lane < 16) write_place(place, sum);
  };
  auto send = [&](float sum) {
    if (lane < 16) {
      ((volatile std::uint64_t*)partial)[blockIdx.x * 16 + i] = 1ull << 32 | __float_as_uint(sum);
    }
  };
  auto receive = [&](int block) {
    volatile std::uint64_t* from = (volatile std::uint64_t*)partial + block * 16 + i;
    std::uint64_t word;
    do {
      word = *from;
    } while (!(word >> 32));
    __syncwarp();
    if (lane < 16) *from = 0;
    return __uint_as_float(static_cast<unsigned>(word));
  };
  if (sums.tail_group[warp] >= 0) {
    const float sum = add_heads(sums.tail[warp][i], warp + 1, sums.tail_group[warp]);
    if (sums.tail_end[warp] > block_end) {
      send(sum);
    } else {
      write(sums.place[warp][1][i], sum);
    }
  }
  if (warp == 0 && sums.head_group[0] >= 0) {
    const float heads = add_heads(sums.head[0][i], 1, sums.head_group[0]);
    if (sums.head_end[0] > block_end) {
      send(heads);
    } else {
      const int owner = a.owner[blockIdx.x];
      float sum = receive(owner);
      for (int b = owner + 1; b < static_cast<int>(blockIdx.x); ++b) sum += receive(b);
      write(sums.place[0][0][i], sum + heads);
    }
  }
}

}  // namespace gossamer::cuda::delta_rows
