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

/// Columns [begin, end) of one row times `Columns` vectors, added to partial: a vector of lanes for
/// each. Returns where the values go on. Reads up to 64 of them beyond.
template <int Columns, class V>
HWY_INLINE const V* add_blocks(const std::uint8_t* HWY_RESTRICT bits, const V* HWY_RESTRICT values,
                               const V* later, std::int64_t begin, std::int64_t end,
                               const float* HWY_RESTRICT x, float* HWY_RESTRICT partial) {
  // Several sums at once hide the latency of the multiply-add.
  constexpr int chains = std::max(1, 4 / Columns);
  const FloatTag d;
  FloatVec sums[Columns][chains];
  unroll<Columns>([&](auto c) HWY_ATTR {
    sums[c][0] = hn::Load(d, partial + c * float_lanes);
    unroll<chains - 1>([&](auto chain) HWY_ATTR { sums[c][chain + 1] = hn::Zero(d); });
  });
  for (std::int64_t j = begin; j < end; j += block_columns) {
    std::uint64_t mask = 0;
    // A row is padded to 32 columns only.
    std::memcpy(&mask, bits + j / 8, 4);
    if (j + 32 < end) std::memcpy(&mask, bits + j / 8, 8);
    FloatVec expanded[block_vectors];
    BlockExpansion<V>::expand_block(values, mask, expanded);
    // The processor foresees reads along a row, not the jump to the next row.
    unroll<sizeof(V)>([&](auto line) HWY_ATTR {
      hwy::Prefetch(reinterpret_cast<const std::uint8_t*>(later) + 64 * line);
    });
    values += std::popcount(mask);
    later += std::popcount(mask);
    const float* HWY_RESTRICT from = x + j * Columns;
    unroll<block_vectors>([&](auto i) HWY_ATTR {
      unroll<Columns>([&](auto c) HWY_ATTR {
        auto& sum = sums[c][i % chains];
        sum = hn::MulAdd(expanded[i], hn::Load(d, from + c * block_columns + i * float_lanes), sum);
      });
    });
  }
  unroll<Columns>([&](auto c) HWY_ATTR {
    unroll<chains - 1>([&](auto chain)
                           HWY_ATTR { sums[c][0] = hn::Add(sums[c][0], sums[c][chain + 1]); });
    hn::Store(sums[c][0], d, partial + c * float_lanes);
  });
  return values;
}

/// Rows [begin, end) times one group of vectors.
template <int Columns, class V>
void multiply_group(const PackedView& packed, const V* const* values, std::int64_t begin,
                    std::int64_t end, const float* x, std::int64_t width, float* sums) {
  constexpr std::int64_t step =
      tuning::packed_block_floats / Columns / block_columns * block_columns;
  const FloatTag d;
  const std::int64_t rows = end - begin;
  const std::int64_t row_bytes =
      (row_offset(packed, end) - row_offset(packed, begin)) / rows * std::int64_t{sizeof(V)};
  const std::int64_t ahead = 1 + tuning::packed_prefetch_bytes / (row_bytes + 1);
  std::vector<const V*> next(values, values + rows);
  const AlignedFloats partial = aligned_floats(rows * Columns * float_lanes);
  std::fill(partial.get(), partial.get() + rows * Columns * float_lanes, 0.0f);
  for (std::int64_t j = 0; j < packed.cols; j += step) {
    for (std::int64_t r = 0; r < rows; ++r) {
      next[static_cast<std::size_t>(r)] = add_blocks<Columns>(
          packed.positions + (begin + r) * bitmap::row_bytes(packed.cols),
          next[static_cast<std::size_t>(r)],
          next[static_cast<std::size_t>(std::min(r + ahead, rows - 1))], j,
          std::min(packed.cols, j + step), x, partial.get() + r * Columns * float_lanes);
    }
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    for (int c = 0; c < Columns; ++c) {
      const auto lanes = hn::Load(d, partial.get() + (r * Columns + c) * float_lanes);
      sums[r * width + c] = hn::GetLane(hn::SumOfLanes(d, lanes)) * row_scale(packed, begin + r);
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
  const std::int64_t padded = (packed.cols + block_columns - 1) / block_columns * block_columns;
  for (std::int64_t c = 0; c < x.width;) {
    const std::int64_t columns = vector_group(x.width - c);
    const auto group = [&]<int Columns>() HWY_ATTR {
      multiply_group<Columns>(packed, values.data(), begin, end, x.data + c * padded, x.width,
                              sums + c);
    };
    switch (columns) {
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
    c += columns;
  }
}

#else

/// Without vectors the set bits are walked.
template <class V>
void rows_of(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  std::vector<std::int32_t> columns(static_cast<std::size_t>(decoded_length(packed)));
  const std::int64_t padded = (packed.cols + 63) / 64 * 64;
  for (std::int64_t i = begin; i < end; ++i, sums += x.width) {
    decode_columns(packed, i, columns.data());
    const std::int64_t first = row_offset(packed, i);
    const std::int64_t count = row_offset(packed, i + 1) - first;
    const V* values = static_cast<const V*>(packed.values) + first;
    for (std::int64_t c = 0; c < x.width;) {
      const std::int64_t group = vector_group(x.width - c);
      for (std::int64_t g = 0; g < group; ++g) {
        const float* from = x.data + c * padded + g * 64;
        float partial[4] = {};
        for (std::int64_t k = 0; k < count; ++k) {
          const std::int64_t j = columns[static_cast<std::size_t>(k)];
          partial[k & 3] += widen(values[k]) * from[(j & ~63LL) * group + (j & 63)];
        }
        sums[c + g] =
            ((partial[0] + partial[1]) + (partial[2] + partial[3])) * row_scale(packed, i);
      }
      c += group;
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

const std::uint8_t* BitmapLanes(PackedDType dtype) {
  return visit_packed(dtype, []([[maybe_unused]] auto tag) {
    static constexpr auto lanes = [] {
      std::array<std::uint8_t, 64> table{};
      for (int lane = 0; lane < 64; ++lane) {
#if HWY_TARGET != HWY_SCALAR
        const int column = BlockExpansion<typename decltype(tag)::type>::lane_column(lane);
#else
        const int column = lane;
#endif
        table[static_cast<std::size_t>(column)] = static_cast<std::uint8_t>(lane);
      }
      return table;
    }();
    return lanes.data();
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
