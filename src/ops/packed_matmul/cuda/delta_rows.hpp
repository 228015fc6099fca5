// SPDX-License-Identifier: Apache-2.0
// The arrangement `delta_rows`: a packed matrix as streams that warps walk sixteen rows at a time,
// for products with one vector. Made on load, never stored.
//
// A row is a sequence of slots. A slot holds a value and the distance of its column from the slot
// before; the first slot counts from column -1. A longer distance than can be written is bridged by
// fillers, of the value 0. Rows are sorted by their number of slots and taken 16 at a time (a
// group), so that a group's rows are about equally long; shorter rows end in padding (distance 0,
// value 0; in the second slot of a pair distance 1). A step is 16 slots of the 16 rows of a group,
// a unit is `steps` steps of the stream, whichever groups they belong to, and the bytes of a unit
// are laid out as the 32 lanes of a warp load them:
//   values     element e (0..7) of step i of lane l = 4 g + t is row g + 8 (e / 2 % 2), slot
//              2 t + e % 2 + 8 (e / 4) of the step: the A fragment of mma.m16n8k16. Planes of 16
//              bytes a lane.
//   distances  byte j of register r of step i of lane l is row g + 8 (r % 2), slot 4 t + j, where
//              r = 2 i + r % 2: the A fragment of the 8-bit mma.m16n8k16. DistanceCode<Bits> packs
//              these registers.
// Units are dealt out evenly to the warps of the grid; `start` has the column at which each warp's
// first step begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace gossamer::cuda::delta_rows {

inline constexpr int warps = 16;             ///< of a block
inline constexpr int max_blocks = 264;       ///< of a grid
inline constexpr int widths[] = {5, 8, 16};  ///< of a pair of neighbouring distances, in bits

/// How the distances of a unit are packed, those of a lane in `words` words or less:
///   bytes  of a unit
///   reach  the largest distance of a slot; of a pair's second slot behind `first`, else that is 0
///   put    calls body(word, bits) with what to set for byte j of register reg of a lane
///   get    the distance there; load(word) reads a word
template <int Bits>
struct DistanceCode;

template <>
struct DistanceCode<16> {
  static constexpr int steps = 2, words = 4, bytes = 512;
  static constexpr int reach(int) { return 255; }
  template <class Body>
  static constexpr void put(int lane, int reg, int j, int, int distance, Body&& body) {
    body(4 * lane + reg, unsigned(distance) << 8 * j);
  }
  template <class Load>
  static constexpr int get(int lane, int reg, int j, Load&& load) {
    return static_cast<int>(load(4 * lane + reg) >> 8 * j & 255);
  }
};

template <>
struct DistanceCode<8> {
  static constexpr int steps = 2, words = 2, bytes = 256;
  static constexpr int reach(int) { return 15; }
  template <class Body>
  static constexpr void put(int lane, int reg, int j, int, int distance, Body&& body) {
    body(2 * lane + reg / 2, unsigned(distance) << (8 * j + 4 * (reg % 2)));
  }
  template <class Load>
  static constexpr int get(int lane, int reg, int j, Load&& load) {
    return static_cast<int>(load(2 * lane + reg / 2) >> (8 * j + 4 * (reg % 2)) & 15);
  }
};

/// A pair's distances sum to 8 at most: there are 28 such pairs. Of a lane's 16 codes six are in
/// each of two words, three in 16 bits that follow those of all lanes, one in what is left of
/// these.
template <>
struct DistanceCode<5> {
  static constexpr int steps = 4, words = 3, bytes = 320;
  static constexpr int reach(int first) { return first == 0 ? 7 : 8 - first; }
  static constexpr int codes_before(int first) { return 8 * (first - 1) - first * (first - 1) / 2; }
  static constexpr int code(int first, int second) { return codes_before(first) + second; }
  /// The first distance of a code's pair in the low byte, the second in the next.
  static constexpr unsigned pair(int code) {
    if (code == 0) return 0;
    int first = 1;
    while (first < 7 && code > codes_before(first + 1)) ++first;
    return static_cast<unsigned>(first | (code - codes_before(first)) << 8);
  }
  template <class Body>
  static constexpr void put(int lane, int reg, int j, int first, int distance, Body&& body) {
    if (j % 2 == 0) return;  // written with the second
    const auto bits = static_cast<unsigned>(code(first, distance));
    const int k = 2 * reg + j / 2, half_word = 64 + lane / 2, half = 16 * (lane % 2);
    if (k < 12) {
      body(2 * lane + k / 6, bits << 5 * (k % 6));
    } else if (k < 15) {
      body(half_word, bits << 5 * (k - 12) << half);
    } else {
      body(2 * lane, (bits & 3) << 30);
      body(2 * lane + 1, (bits >> 2 & 3) << 30);
      body(half_word, bits >> 4 << 15 << half);
    }
  }
  /// Code k of the words of a lane, in the low five bits.
  static constexpr unsigned code_at(const unsigned* word, int k) {
    return k < 15 ? word[k / 6] >> 5 * (k % 6)
                  : word[0] >> 30 | word[1] >> 30 << 2 | (word[2] >> 15 & 1) << 4;
  }
  template <class Load>
  static constexpr int get(int lane, int reg, int j, Load&& load) {
    const unsigned word[] = {load(2 * lane), load(2 * lane + 1),
                             load(64 + lane / 2) >> 16 * (lane % 2)};
    const auto code = static_cast<int>(code_at(word, 2 * reg + j / 2) & 31);
    return static_cast<int>(pair(code) >> 8 * (j % 2) & 255);
  }
};

/// Calls body(std::integral_constant<int, Bits>) for one of `widths`.
template <class Body>
decltype(auto) visit_width(int bits, Body&& body) {
  if (bits == 5) return body(std::integral_constant<int, 5>());
  if (bits == 8) return body(std::integral_constant<int, 8>());
  return body(std::integral_constant<int, 16>());
}

/// Where a warp begins.
struct Worker {
  int group;                             ///< of its first step
  int group_begin, group_end, next_end;  ///< first steps of that group and of the two after it
};

/// One of a group's sixteen rows.
struct Place {
  int row;      ///< -1 past the last row
  float scale;  ///< what the row's sum is multiplied by
};

/// Whether starting columns take two bytes; four would be 1% of 4096x4096 at a density of 0.1.
constexpr bool narrow_starts(int cols) { return cols <= 0xffff; }

/// First unit of warp `w` of a block that has `units`: idle warps come last.
constexpr int warp_unit(unsigned units, unsigned w, unsigned warps) {
  return static_cast<int>(units < warps ? (w < units ? w : units)
                                        : std::uint64_t(units) * w / warps);
}

/// Device pointers of an arrangement, and what a launch needs beside them.
struct View {
  const std::uint8_t* stream;
  const Place* place;     ///< [16 groups]
  const int* group_step;  ///< [groups + 1] first step of each group
  const Worker* worker;   ///< [blocks * warps]
  const void* start;  ///< [blocks * warps][16] column behind the slot before a warp's first slot
  const int* owner;   ///< [blocks] the block in which the group of the first step begins
  int rows, cols, groups, blocks;
  int block_unit[max_blocks + 1];  ///< first unit of each block: here and not in memory, since a
                                   ///< block's first loads depend on it
};

/// The tables of an arrangement on the host.
struct Plan {
  int groups = 0, units = 0;
  std::vector<Place> place;
  std::vector<int> group_step;
  std::vector<Worker> worker;
  std::vector<int> owner;
  std::vector<int> block_unit;
};

/// Deals rows of that many slots out to a grid of `blocks` blocks, `steps` steps a unit.
Plan plan(const std::vector<int>& slots, int blocks, int steps);

}  // namespace gossamer::cuda::delta_rows
