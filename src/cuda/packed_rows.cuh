// SPDX-License-Identifier: Apache-2.0
// A warp walks a row: of a dense or of a packed matrix, 32 positions or slots at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "gossamer/packed.hpp"

namespace gossamer::cuda {

inline constexpr unsigned all_lanes = ~0u;
/// Rows of one block where a warp takes a row.
inline constexpr int rows_a_block = 8;

__device__ inline unsigned lanes_below() {
  unsigned mask;
  asm("mov.u32 %0, %%lanemask_lt;" : "=r"(mask));
  return mask;
}

/// Sum of n over this lane and those below it.
__device__ inline int inclusive_scan(int n) {
  for (int k = 1; k < 32; k *= 2) {
    const int below = __shfl_up_sync(all_lanes, n, k);
    if (static_cast<int>(threadIdx.x % 32) >= k) n += below;
  }
  return n;
}

__device__ inline std::int64_t row_offset(DType dtype, const void* offsets, std::int64_t row) {
  return dtype == DType::int32 ? static_cast<const std::int32_t*>(offsets)[row]
                               : static_cast<const std::int64_t*>(offsets)[row];
}

/// Distances between neighbouring stored columns of a row, the first one from column -1. A distance
/// over Reach is bridged by fillers of the distance Reach: it takes ceil(distance / Reach) slots.
template <int Reach>
struct BridgedDistances {
  int distance = 0;        ///< of this lane's column, where it is stored
  int count = 0;           ///< slots that it takes; 0 where it is not
  std::int64_t first = 0;  ///< the first of them in the row
  std::int64_t slots = 0;  ///< of the row so far
  int previous = -1;       ///< stored column before the next 32

  /// Takes the next 32 columns, ascending by lane; called by all lanes together.
  __device__ void next(bool stored, int column) {
    const unsigned mask = __ballot_sync(all_lanes, stored);
    const unsigned below = mask & lanes_below();
    const int neighbour = __shfl_sync(all_lanes, column, 31 - __clz(below | 1));
    distance = column - (below != 0 ? neighbour : previous);
    count = stored ? (distance + Reach - 1) / Reach : 0;
    const int end = inclusive_scan(count);
    first = slots + end - count;
    slots += __shfl_sync(all_lanes, end, 31);
    const int last = __shfl_sync(all_lanes, column, 31 - __clz(mask | 1));
    if (mask != 0) previous = last;
  }

  /// Distance of this lane's slot k, 0 <= k < count: the last one is the column's own.
  __device__ int slot_distance(int k) const {
    return k + 1 < count ? Reach : distance - (count - 1) * Reach;
  }
};

/// Calls body(stored, column, item) with the slots of a row of a packed matrix, 32 at a time, by
/// all lanes together; item indexes packed.values. Values that equal 0 are not stored; a value's
/// bits in `ignored` (its sign, or none) do not keep it from being 0.
template <class Item, class Body>
__device__ void walk_row(const PackedView& packed, std::int64_t row, unsigned ignored,
                         Body&& body) {
  const int lane = threadIdx.x % 32;
  const auto* values = static_cast<const Item*>(packed.values);
  const auto is_stored = [&](std::int64_t item) {
    return (values[item] & static_cast<Item>(~ignored)) != 0;
  };
  std::int64_t item = row_offset(packed.offset_dtype, packed.row_offsets, row);
  const std::int64_t end = row_offset(packed.offset_dtype, packed.row_offsets, row + 1);
  if (packed.format == PackedFormat::bitmap) {
    const std::int64_t words = (packed.cols + 31) / 32;
    const auto* bits = reinterpret_cast<const std::uint32_t*>(packed.positions) + row * words;
    for (std::int64_t word = 0; word < words; ++word) {
      const unsigned mask = bits[word];
      const std::int64_t at = item + __popc(mask & lanes_below());
      const bool set = (mask >> lane & 1) != 0;
      body(set && is_stored(at), static_cast<int>(32 * word) + lane, at);
      item += __popc(mask);
    }
    return;
  }
  int next = 0;  // column after the slots so far
  for (; item < end; item += 32) {
    const std::int64_t at = item + lane;
    int taken = 0;  // columns of this slot: its gap and itself
    if (at < end) {
      taken =
          1 + (packed.format == PackedFormat::gap4 ? packed.positions[at >> 1] >> (at & 1) * 4 & 15
                                                   : packed.positions[at]);
    }
    const int through = next + inclusive_scan(taken);
    body(at < end && is_stored(at), through - 1, at);
    next = __shfl_sync(all_lanes, through, 31);
  }
}

/// The bits that do not keep a value of the type from being zero: the sign of a float.
constexpr unsigned ignored_bits(PackedDType dtype) {
  switch (dtype) {
    case PackedDType::float32:
      return 0x80000000u;
    case PackedDType::float16:
    case PackedDType::bfloat16:
      return 0x8000u;
    case PackedDType::float8_e4m3:
      return 0x80u;
    case PackedDType::int8:
      return 0;
  }
  return 0;
}

/// Calls body(Item{}) with the unsigned type of the stored values' size.
template <class Body>
decltype(auto) visit_item(PackedDType dtype, Body&& body) {
  switch (dtype) {
    case PackedDType::float32:
      return body(std::uint32_t{});
    case PackedDType::float16:
    case PackedDType::bfloat16:
      return body(std::uint16_t{});
    default:
      return body(std::uint8_t{});
  }
}

/// Blocks of rows_a_block warps for a warp a row.
inline unsigned row_blocks(std::int64_t rows) {
  return static_cast<unsigned>((rows + rows_a_block - 1) / rows_a_block);
}

}  // namespace gossamer::cuda
