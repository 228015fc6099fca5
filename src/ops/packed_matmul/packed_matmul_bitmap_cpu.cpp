// SPDX-License-Identifier: Apache-2.0
// Bitmap rows times one or a few vectors: each block of 64 columns is expanded in registers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_bitmap_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "formats/bitmap.hpp"
#include "formats/packed.hpp"
#include "ops/packed_matmul/aligned_floats.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

/// Rows that are walked together: two streams of values come from memory faster than one.
template <int Columns>
inline constexpr int rows_together = Columns <= tuning::packed_paired_columns ? 2 : 1;

/// Where one row is read, and what is fetched meanwhile.
template <class V>
struct RowStream {
  const std::uint8_t* bits;
  const V* values;
  const V* later;
};

/// Columns [begin, end) of each stream's row times `Columns` vectors, added to partial: a vector of
/// lanes for each. Leaves each stream where its values go on. Reads up to 64 of them beyond.
template <int Columns, int Rows, class V>
HWY_INLINE void add_blocks(RowStream<V> (&rows)[Rows], std::int64_t begin, std::int64_t end,
                           const float* HWY_RESTRICT x, float* const (&partial)[Rows]) {
  // Several sums at once hide the latency of the multiply-add. How many must not depend on Rows: a
  // row alone and one of two have the same bits.
  constexpr int chains = std::max(1, 4 / (Columns * rows_together<Columns>));
  const FloatTag d;
  FloatVec sums[Rows][Columns][chains];
  unroll<Rows>([&](auto r) HWY_ATTR {
    unroll<Columns>([&](auto c) HWY_ATTR {
      sums[r][c][0] = hn::Load(d, partial[r] + c * float_lanes);
      unroll<chains - 1>([&](auto chain) HWY_ATTR { sums[r][c][chain + 1] = hn::Zero(d); });
    });
  });
  for (std::int64_t j = begin; j < end; j += block_columns) {
    const float* HWY_RESTRICT from = x + j * Columns;
    unroll<Rows>([&](auto r) HWY_ATTR {
      const std::uint8_t* bits = rows[r].bits + j / 8;
      std::uint64_t mask = 0;
      // A row is padded to 32 columns only.
      std::memcpy(&mask, bits, 4);
      if (j + 32 < end) std::memcpy(&mask, bits, 8);
      FloatVec expanded[block_vectors];
      BlockExpansion<V>::expand_block(rows[r].values, mask, expanded);
      unroll<sizeof(V)>([&](auto line) HWY_ATTR {
        hwy::Prefetch(reinterpret_cast<const std::uint8_t*>(rows[r].later) + 64 * line);
      });
      hwy::Prefetch(bits + tuning::packed_prefetch_bits);
      rows[r].values += std::popcount(mask);
      rows[r].later += std::popcount(mask);
      unroll<block_vectors>([&](auto i) HWY_ATTR {
        unroll<Columns>([&](auto c) HWY_ATTR {
          auto& sum = sums[r][c][i % chains];
          sum =
              hn::MulAdd(expanded[i], hn::Load(d, from + c * block_columns + i * float_lanes), sum);
        });
      });
    });
  }
  unroll<Rows>([&](auto r) HWY_ATTR {
    unroll<Columns>([&](auto c) HWY_ATTR {
      unroll<chains - 1>([&](auto chain) HWY_ATTR {
        sums[r][c][0] = hn::Add(sums[r][c][0], sums[r][c][chain + 1]);
      });
      hn::Store(sums[r][c][0], d, partial[r] + c * float_lanes);
    });
  });
}

/// Rows [begin, end), whose values begin at `next`, times one group of vectors.
template <int Columns, class V>
void multiply_group(const PackedView& packed, const V** next, std::int64_t begin, std::int64_t end,
                    const float* x, float* sums) {
  constexpr int together = rows_together<Columns>;
  constexpr std::int64_t step =
      (together > 1 ? tuning::packed_paired_floats : tuning::packed_block_floats) / Columns /
      block_columns * block_columns;
  const FloatTag d;
  const std::int64_t rows = end - begin;
  const std::int64_t row_bytes =
      (row_offset(packed, end) - row_offset(packed, begin)) / rows * std::int64_t{sizeof(V)};
  const std::int64_t ahead = 1 + tuning::packed_prefetch_bytes / (row_bytes + 1);
  const AlignedFloats partial = aligned_floats(rows * Columns * float_lanes);
  std::fill(partial.get(), partial.get() + rows * Columns * float_lanes, 0.0f);
  // Rows walked together lie far apart, so that each walk goes straight on through memory.
  const std::int64_t apart = rows / together;
  for (std::int64_t j = 0; j < packed.cols; j += step) {
    const auto add = [&]<int Rows>(std::int64_t r) HWY_ATTR {
      RowStream<V> streams[Rows];
      float* to[Rows];
      for (int i = 0; i < Rows; ++i) {
        const std::int64_t row = r + i * apart;
        // The processor foresees reads within a page of memory, not the next page's, nor the jump
        // to the next row where X is taken block by block.
        streams[i] = {packed.positions + (begin + row) * bitmap::row_bytes(packed.cols), next[row],
                      packed.cols <= step
                          ? next[row] + tuning::packed_prefetch_bytes / std::int64_t{sizeof(V)}
                          : next[std::min(row + ahead, rows - 1)]};
        to[i] = partial.get() + row * Columns * float_lanes;
      }
      add_blocks<Columns>(streams, j, std::min(packed.cols, j + step), x, to);
      for (int i = 0; i < Rows; ++i) next[r + i * apart] = streams[i].values;
    };
    for (std::int64_t r = 0; r < apart; ++r) add.template operator()<together>(r);
    for (std::int64_t r = apart * together; r < rows; ++r) add.template operator()<1>(r);
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    for (int c = 0; c < Columns; ++c) {
      const auto lanes = hn::Load(d, partial.get() + (r * Columns + c) * float_lanes);
      sums[r * Columns + c] = hn::GetLane(hn::SumOfLanes(d, lanes)) * row_scale(packed, begin + r);
    }
  }
}

template <class V>
void rows_of(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  // Whole vectors are read: rows at the array's end, where these would leave it, are copied.
  const V* all = static_cast<const V*>(packed.values);
  const std::int64_t reach = packed.slots - block_columns;
  std::int64_t inside = end;
  while (inside > begin && row_offset(packed, inside) > reach) --inside;
  const std::int64_t copied = row_offset(packed, inside);
  std::vector<V> tail(all + copied, all + row_offset(packed, end));
  tail.resize(tail.size() + block_columns);
  std::vector<const V*> values;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t first = row_offset(packed, i);
    values.push_back(i < inside ? all + first : tail.data() + (first - copied));
  }
  const auto group = [&]<int Columns>() HWY_ATTR {
    multiply_group<Columns>(packed, values.data(), begin, end, x.data, sums);
  };
  switch (x.width) {
    case 1:
      group.template operator()<1>();
      break;
    case 2:
      group.template operator()<2>();
      break;
    case 4:
      group.template operator()<4>();
      break;
    case 8:
      group.template operator()<8>();
      break;
    default:
      group.template operator()<16>();
  }
}

#else

/// Without vectors the set bits are walked.
template <class V>
void rows_of(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  std::vector<std::int32_t> columns(static_cast<std::size_t>(decoded_length(packed)));
  for (std::int64_t i = begin; i < end; ++i, sums += x.width) {
    decode_columns(packed, i, columns.data());
    const std::int64_t first = row_offset(packed, i);
    const std::int64_t count = row_offset(packed, i + 1) - first;
    const V* values = static_cast<const V*>(packed.values) + first;
    for (std::int64_t c = 0; c < x.width; ++c) {
      const float* from = x.data + c * 64;
      float partial[4] = {};
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t j = columns[static_cast<std::size_t>(k)];
        partial[k & 3] += widen(values[k]) * from[(j & ~63LL) * x.width + (j & 63)];
      }
      sums[c] = ((partial[0] + partial[1]) + (partial[2] + partial[3])) * row_scale(packed, i);
    }
  }
}

#endif

void BitmapRows(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
                float* sums) {
  visit_packed(packed.dtype, [&](auto tag) {
    rows_of<typename decltype(tag)::type>(packed, x, begin, end, sums);
  });
}

/// lanes[j] is the place of column j; none are there where every column has its own.
struct LaneTable {
  std::array<std::uint8_t, 64> lanes{};
  bool in_order = true;
};

const std::uint8_t* BitmapLanes(PackedDType dtype) {
  return visit_packed(dtype, []([[maybe_unused]] auto tag) {
    static constexpr LaneTable table = [] {
      LaneTable made;
      for (int lane = 0; lane < 64; ++lane) {
#if HWY_TARGET != HWY_SCALAR
        const int column = BlockExpansion<typename decltype(tag)::type>::lane_column(lane);
#else
        const int column = lane;
#endif
        made.lanes[static_cast<std::size_t>(column)] = static_cast<std::uint8_t>(lane);
        made.in_order &= column == lane;
      }
      return made;
    }();
    return table.in_order ? nullptr : table.lanes.data();
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void bitmap_rows(const PackedView& packed, const VectorsOfX& x, std::int64_t begin,
                 std::int64_t end, float* sums) {
  GOSSAMER_SIMD_FUNCTION(BitmapRows)(packed, x, begin, end, sums);
}

const std::uint8_t* bitmap_lanes(PackedDType dtype) {
  return GOSSAMER_SIMD_FUNCTION(BitmapLanes)(dtype);
}

}  // namespace gossamer
#endif  // HWY_ONCE
