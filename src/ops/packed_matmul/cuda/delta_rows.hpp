// SPDX-License-Identifier: Apache-2.0
// The arrangement `delta_rows`: a packed matrix as streams that warps walk sixteen rows at a time,
// for products with one vector. Made on load, never stored.
//
// A row is a sequence of slots. A slot holds a value and the distance (1 .. reach) of its column
// from the slot before; the first slot counts from column -1. A longer distance is bridged by
// fillers: the largest distance and the value 0. Rows are sorted by their number of slots and taken
// 16 at a time (a group), so that a group's rows are about equally long; shorter rows end in
// padding (code 0, value 0: where no distance is 0 it runs on behind x, into zeros). A step is 16
// slots of the 16 rows of a group, a unit is `steps` steps of the stream, whichever groups they
// belong to, and the bytes of a unit are laid out as the 32 lanes of a warp load them:
//   values     element e (0..7) of step i of lane l = 4 g + t is row g + 8 (e / 2 % 2), slot
//              2 t + e % 2 + 8 (e / 4) of the step: the A fragment of mma.m16n8k16. Planes of 16
//              bytes a lane.
//   distances  byte j of register r of step i of lane l is row g + 8 r, slot 4 t + j: the A
//              fragment of the 8-bit mma.m16n8k16. DistanceCode<Bits> packs these registers into
//              `words` words a lane.
// Units are dealt out evenly to the warps of the grid; `start` has the column at which each warp's
// first step begins.
#pragma once

#include <cstdint>
#include <vector>

namespace gossamer::cuda::delta_rows {

inline constexpr int warps = 16;            ///< of a block
inline constexpr int max_blocks = 264;      ///< of a grid
inline constexpr int widths[] = {3, 4, 8};  ///< of a distance, in bits

/// How the eight distances of a lane and step are packed: `steps` steps share `words` words of a
/// lane. What is stored is the distance less `least`. put sets it in the same byte of each word,
/// for register `reg` of the unit; get reads it from these bytes.
template <int Bits>
struct DistanceCode;
template <>
struct DistanceCode<8> {
  static constexpr int least = 0, steps = 2, words = 4;
  static constexpr void put(unsigned (&word)[words], int reg, unsigned distance) {
    word[reg] = distance;
  }
  static constexpr unsigned get(const std::uint8_t (&byte)[words], int reg) { return byte[reg]; }
};
template <>
struct DistanceCode<4> {
  static constexpr int least = 0, steps = 2, words = 2;
  static constexpr void put(unsigned (&word)[words], int reg, unsigned distance) {
    word[reg / 2] = distance << 4 * (reg % 2);
  }
  static constexpr unsigned get(const std::uint8_t (&byte)[words], int reg) {
    return byte[reg / 2] >> 4 * (reg % 2) & 15;
  }
};
template <>
struct DistanceCode<3> {  // two registers a word; the last two in the top two bits of the three
  static constexpr int least = 1, steps = 4, words = 3;
  static constexpr void put(unsigned (&word)[words], int reg, unsigned distance) {
    if (reg < 6) {
      word[reg % 3] = distance << 3 * (reg / 3);
    } else {
      word[reg - 6] = (distance & 3) << 6;
      word[2] |= (distance >> 2) << reg;
    }
  }
  static constexpr unsigned get(const std::uint8_t (&byte)[words], int reg) {
    return reg < 6 ? byte[reg % 3] >> 3 * (reg / 3) & 7
                   : byte[reg - 6] >> 6 | (byte[2] >> reg & 1) << 2;
  }
};

/// The largest distance of a slot.
template <int Bits>
inline constexpr int reach = (1 << Bits) - 1 + DistanceCode<Bits>::least;

/// Columns behind x that padding reaches, zeros for the kernel: those of a unit, and where it is
/// stopped 8 more.
template <int Bits>
inline constexpr int columns_behind =
    DistanceCode<Bits>::least * (16 * DistanceCode<Bits>::steps + 8);

/// Calls body(std::integral_constant<int, Bits>) for one of `widths`.
template <class Body>
decltype(auto) visit_width(int bits, Body&& body) {
  if (bits == 3) return body(std::integral_constant<int, 3>());
  if (bits == 4) return body(std::integral_constant<int, 4>());
  return body(std::integral_constant<int, 8>());
}

/// Where a warp begins.
struct Worker {
  int group;                             ///< of its first step
  int group_begin, group_end, next_end;  ///< first steps of that group and of the two after it
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
  const int* row;         ///< [16 groups] -1 past the last row
  const float* scale;     ///< [16 groups] of these rows; null without scales
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
  std::vector<int> row;
  std::vector<int> group_step;
  std::vector<Worker> worker;
  std::vector<int> owner;
  std::vector<int> block_unit;
};

/// Deals rows of that many slots out to a grid of `blocks` blocks, `steps` steps a unit.
Plan plan(const std::vector<int>& slots, int blocks, int steps);

}  // namespace gossamer::cuda::delta_rows
