// SPDX-License-Identifier: Apache-2.0
// The distances of a row's slots in the codes of delta_rows.hpp, 32 columns at a time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/packed_rows.cuh"
#include "ops/packed_matmul/cuda/delta_rows.hpp"

namespace gossamer::cuda::delta_rows {

/// What BridgedDistances are to the other codes, for pairs of distances: which slot of a pair a
/// column comes to, and how many fillers that takes, depends on all before, so a warp goes through
/// its columns one by one.
struct PairedDistances {
  using Code = DistanceCode<5>;
  int distance = 0;  ///< of this lane's column, where it is stored
  int count = 0;     ///< slots that it takes; 0 where it is not
  int before = 0;    ///< distance of the slot before the first of them, if that is a pair's first
  std::int64_t first = 0;  ///< the first of them in the row
  std::int64_t slots = 0;  ///< of the row so far
  int previous = -1;       ///< stored column before the next 32
  int pending = 0;         ///< distance of the row's last slot, if that is a pair's first

  /// Takes the next 32 columns, ascending by lane; called by all lanes together.
  __device__ void next(bool stored, int column) {
    count = 0;
    for (unsigned rest = __ballot_sync(all_lanes, stored); rest != 0; rest &= rest - 1) {
      const int lane = __ffs(static_cast<int>(rest)) - 1;
      const int to = __shfl_sync(all_lanes, column, lane);
      const int was = pending;
      const int taken = take(to - previous);
      if (static_cast<int>(threadIdx.x % 32) == lane) {
        distance = to - previous;
        count = taken;
        before = was;
        first = slots;
      }
      slots += taken;
      previous = to;
    }
  }

 private:
  __device__ int take(int gap) {
    int taken = 0;
    if (pending != 0) {
      const int step = min(gap, Code::reach(pending));
      pending = 0, gap -= step, ++taken;
      if (gap == 0) return taken;
    }
    const int pairs = (gap - 1) / 8;  // of fillers; 1 to 8 columns are left
    gap -= 8 * pairs;
    pending = gap == 8 ? 0 : gap;
    return taken + 2 * pairs + (gap == 8 ? 2 : 1);
  }
};

template <int Bits>
using Distances =
    std::conditional_t<Bits == 5, PairedDistances, BridgedDistances<DistanceCode<Bits>::reach(0)>>;

}  // namespace gossamer::cuda::delta_rows
