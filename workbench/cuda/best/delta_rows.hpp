// SPDX-License-Identifier: Apache-2.0
// The arrangement `delta_rows`: a sparse matrix as streams that warps walk sixteen rows at a time.
// Made on load, never stored.
//
// A row is a sequence of slots. A slot holds a value and the distance (1 .. 2^Bits - 1) of its
// column from the slot before; the first slot counts from column -1. A longer distance is bridged
// by fillers: the largest distance and the value 0. Rows are sorted by their number of slots and
// taken 16 at a time (a group), so that a group's rows are about equally long; shorter rows end in
// padding (distance 0, value 0). A step is 16 slots of the 16 rows of a group, a unit is `kSteps`
// steps of the stream, whichever groups they belong to, and the bytes of a unit are laid out as the
// 32 lanes of a warp load them:
//   values  element e (0..7) of step i of lane l = 4 g + t is row g + 8 ((e / 2) % 2), slot 2 t + e
//   % 2 + 8 (e / 4) of the step:
//           the A fragment of mma.m16n8k16. Planes of 16 bytes a lane.
//   deltas  byte j of register r of step i of lane l is row g + 8 r, slot 4 t + j: the A fragment
//   of the 8-bit mma.m16n8k16.
//           DeltaCode<Bits> packs these registers into kWords words a lane.
// Units are dealt out evenly to the warps of the grid; `start` has the column at which each warp's
// first step begins.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "parallel.hpp"

namespace gossamer {

/// How the eight deltas of a lane and step are packed: `kSteps` steps share `kWords` words of a
/// lane.
template <int Bits>
struct DeltaCode;
template <>
struct DeltaCode<8> {
  static constexpr int kSteps = 2, kWords = 4;
  static void put(uint8_t (&word)[4], int reg, unsigned delta) { word[reg] = delta; }
};
template <>
struct DeltaCode<4> {
  static constexpr int kSteps = 2, kWords = 2;
  static void put(uint8_t (&word)[2], int reg, unsigned delta) {
    word[reg / 2] |= delta << 4 * (reg % 2);
  }
};
template <>
struct DeltaCode<6> {  // the fourth register lives in the top two bits of the other three
  static constexpr int kSteps = 2, kWords = 3;
  static void put(uint8_t (&word)[3], int reg, unsigned delta) {
    if (reg < 3)
      word[reg] |= delta;
    else
      for (int i = 0; i < 3; i++) word[i] |= (delta >> 2 * i & 3) << 6;
  }
};
template <>
struct DeltaCode<3> {  // two registers a word; the last two live in the top two bits of the three
                       // words
  static constexpr int kSteps = 4, kWords = 3;
  static void put(uint8_t (&word)[3], int reg, unsigned delta) {
    if (reg < 6)
      word[reg % 3] |= delta << 3 * (reg / 3);
    else
      word[reg - 6] |= (delta & 3) << 6, word[2] |= (delta >> 2) << reg;
  }
};

struct DeltaRowsWorker {  ///< where a warp begins
  int group;              ///< of its first step
  int group_begin, group_end,
      next_end;  ///< first steps of that group and the next, last step of the next
};

struct DeltaRowsPlace {  ///< of a group's sixteen
  int row;               ///< -1 past the last row
  float scale;           ///< what the row's sum is multiplied by
};

struct DeltaRowsHost {
  int groups = 0, units = 0;
  std::vector<uint8_t> stream;
  std::vector<DeltaRowsPlace> place;    ///< [16 groups]
  std::vector<int> group_step;          ///< [groups + 1] first step of each group
  std::vector<DeltaRowsWorker> worker;  ///< [blocks * warps]
  std::vector<int> start;  ///< [blocks * warps][16] column of the slot before a warp's first slot
  std::vector<int> owner;  ///< [blocks] the block in which the group of the first step begins
  std::vector<int> block_unit;  ///< [blocks + 1] first unit of each block

  size_t nbytes() const {
    return stream.size() + 8 * place.size() +
           4 * (group_step.size() + 4 * worker.size() + start.size() + owner.size());
  }
};

/// First unit of warp `w` of a block that has `units`: idle warps come last.
constexpr int warp_unit(unsigned units, unsigned w, unsigned warps) {
  return units < warps ? (w < units ? w : units) : units * w / warps;
}

/// Arrange the dense row-major `matrix` (rows x cols, elements of type Value compared as bit
/// patterns, -0 counts as zero) for a grid of `blocks` blocks of `warps` warps. `scale` has a
/// factor a row, or is null.
template <class Value, int Bits>
DeltaRowsHost arrange_delta_rows(const Value* matrix, const float* scale, int rows, int cols,
                                 int blocks, int warps) {
  using Code = DeltaCode<Bits>;
  constexpr int kReach = (1 << Bits) - 1, kPlanes = Code::kSteps * 8 * sizeof(Value) / 16;
  constexpr size_t kUnitBytes = kPlanes * 512 + Code::kWords * 128;
  constexpr Value kSign = Value(1) << (8 * sizeof(Value) - 1);
  auto row = [=](int r) { return matrix + size_t(r) * cols; };
  auto is_zero = [](Value v) { return Value(v & ~kSign) == 0; };

  std::vector<int> slots(rows);
  for_each_parallel(rows, [&](int r) {
    int count = 0, last = -1;
    for (int c = 0; c < cols; c++)
      if (!is_zero(row(r)[c])) count += (c - last + kReach - 1) / kReach, last = c;
    slots[r] = count;
  });

  DeltaRowsHost a;
  a.groups = (rows + 15) / 16;
  a.place.resize(16 * a.groups, {-1, 0.f});
  for (int r = 0; r < rows; r++) a.place[r] = {r, scale ? scale[r] : 1.f};
  std::stable_sort(a.place.begin(), a.place.begin() + rows,
                   [&](auto p, auto q) { return slots[p.row] > slots[q.row]; });
  std::vector<int> length(
      a.groups);  // every group has a step, so that the results of empty rows are written too
  for (int g = 0; g < a.groups; g++)
    length[g] = std::max(1, (slots[a.place[16 * g].row] + 15) / 16);

  // Longest, shortest, second longest, ...: neighbouring groups are equally long together.
  std::vector<DeltaRowsPlace> sorted(a.place);
  std::vector<int> sorted_length(length);
  for (int g = 0; g < a.groups; g++) {
    int from = g % 2 ? a.groups - 1 - g / 2 : g / 2;
    std::copy_n(sorted.begin() + 16 * from, 16, a.place.begin() + 16 * g);
    length[g] = sorted_length[from];
  }

  // Blocks begin at groups where that costs less than 4% of balance, for then no block waits for
  // another.
  const int64_t total = std::accumulate(length.begin(), length.end(), int64_t(0));
  std::vector<int> boundary(blocks + 1, a.groups);  // first group of each block
  int64_t sum = 0, largest = 0;
  for (int g = 0, b = 0; b < blocks; b++) {
    boundary[b] = g;
    int64_t before = sum;
    while (g < a.groups && sum + length[g] / 2 < total * (b + 1) / blocks) sum += length[g++];
    if (b == blocks - 1)
      while (g < a.groups) sum += length[g++];
    largest = std::max(largest, sum - before);
  }
  const bool aligned = largest * blocks <= total * 1.04;

  a.group_step.resize(a.groups + 1, 0);
  for (int g = 0, b = 1; g < a.groups; g++) {
    int end = a.group_step[g] + length[g];
    bool last = g + 1 == a.groups;
    while (aligned && b < blocks && boundary[b] < g + 1) b++;
    if (last || (aligned && b < blocks && boundary[b] == g + 1))
      end = (end + Code::kSteps - 1) / Code::kSteps * Code::kSteps;
    a.group_step[g + 1] = end;
  }
  a.units = a.group_step[a.groups] / Code::kSteps;

  a.block_unit.resize(blocks + 1);
  for (int b = 0; b <= blocks; b++)
    a.block_unit[b] = aligned ? a.group_step[b < blocks ? boundary[b] : a.groups] / Code::kSteps
                              : warp_unit(a.units, b, blocks);
  auto block_step = [&](int b) { return a.block_unit[b] * Code::kSteps; };
  const int workers = blocks * warps;
  std::vector<int> worker_step(workers);
  a.worker.resize(workers);
  a.owner.resize(blocks);
  for (int w = 0; w < workers; w++) {
    int b = w / warps, units = a.block_unit[b + 1] - a.block_unit[b];
    worker_step[w] = (a.block_unit[b] + warp_unit(units, w % warps, warps)) * Code::kSteps;
    int g = int(std::upper_bound(a.group_step.begin(), a.group_step.end() - 1, worker_step[w]) -
                a.group_step.begin()) -
            1;
    g = std::min(g, a.groups - 1);
    a.worker[w] = {g, a.group_step[g], a.group_step[g + 1],
                   a.group_step[std::min(g + 2, a.groups)]};
    if (w % warps == 0) {
      a.owner[b] = b;
      while (a.owner[b] > 0 && block_step(a.owner[b]) > a.group_step[g]) a.owner[b]--;
    }
  }

  a.start.assign(16 * size_t(workers), -1);
  a.stream.assign(a.units * kUnitBytes, 0);
  for_each_parallel(a.groups, [&](int g) {
    std::vector<int> inside;  // warps that begin in this group, and not at its start
    auto w = std::upper_bound(worker_step.begin(), worker_step.end(), a.group_step[g]);
    for (; w != worker_step.end() && *w < a.group_step[g + 1]; w++)
      inside.push_back(int(w - worker_step.begin()));
    for (int i = 0; i < 16; i++) {
      int r = a.place[16 * g + i].row, slot = 0, column = -1;
      size_t next = 0;
      auto pass = [&] {
        while (next < inside.size() && (worker_step[inside[next]] - a.group_step[g]) * 16 <= slot)
          a.start[16 * size_t(inside[next++]) + i] = column;
      };
      auto put = [&](unsigned delta, Value value) {
        pass();
        int step = a.group_step[g] + slot / 16, m = slot % 16, s = step % Code::kSteps;
        uint8_t* unit = a.stream.data() + step / Code::kSteps * kUnitBytes;
        int lane = 4 * (i % 8) + m % 8 / 2,
            byte = (8 * s + 4 * (m / 8) + 2 * (i / 8) + m % 2) * sizeof(Value);
        std::memcpy(unit + byte / 16 * 512 + lane * 16 + byte % 16, &value, sizeof(Value));
        uint8_t* deltas = unit + kPlanes * 512;
        uint8_t word[Code::kWords] = {};
        Code::put(word, 2 * s + i / 8, delta);
        for (int k = 0; k < Code::kWords;
             k++) {  // 16 or 8 bytes a lane; of three words the third has a plane of its own
          int l = 4 * (i % 8) + m / 4;
          uint8_t& byte = deltas[(Code::kWords == 3 ? (k < 2 ? l * 8 + k * 4 : 256 + l * 4)
                                                    : (l * Code::kWords + k) * 4) +
                                 m % 4];
          if (word[k])
            std::atomic_ref(byte).fetch_or(
                word[k], std::memory_order_relaxed);  // a neighbouring group may share it
        }
        slot++, column += delta;
      };
      for (int c = 0; r >= 0 && c < cols; c++) {
        if (is_zero(row(r)[c])) continue;
        while (c - column > kReach) put(kReach, 0);
        put(c - column, row(r)[c]);
      }
      slot = 16 * (a.group_step[g + 1] - a.group_step[g]);
      pass();
    }
  });
  return a;
}

}  // namespace gossamer
