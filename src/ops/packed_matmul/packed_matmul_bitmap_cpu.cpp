// SPDX-License-Identifier: Apache-2.0
// Bitmap rows times one or a few vectors: each block of 64 columns is expanded in registers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_bitmap_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "formats/bitmap.hpp"
#include "formats/packed.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

/// One row times `Columns` vectors. Reads up to a vector beyond the row's values.
template <int Columns, class V>
HWY_INLINE void bitmap_row(const std::uint8_t* HWY_RESTRICT bits, const V* HWY_RESTRICT values,
                           std::int64_t cols, const float* HWY_RESTRICT x, std::int64_t x_stride,
                           float scale, float* HWY_RESTRICT sums) {
  // Several sums at once hide the latency of the multiply-add.
  constexpr int chains = std::max(1, std::min(block_vectors, 4 / Columns));
  const FloatTag d;
  FloatVec partial[Columns][chains];
  for (int c = 0; c < Columns; ++c) {
    for (int chain = 0; chain < chains; ++chain) partial[c][chain] = hn::Zero(d);
  }
  const auto block = [&](std::uint64_t mask, const float* HWY_RESTRICT from) HWY_ATTR {
    FloatVec expanded[block_vectors];
    BlockExpansion<V>::expand_block(values, mask, expanded);
    values += std::popcount(mask);
    for (int i = 0; i < block_vectors; ++i) {
      for (int c = 0; c < Columns; ++c) {
        auto& sum = partial[c][i % chains];
        sum = hn::MulAdd(expanded[i], hn::Load(d, from + c * x_stride + i * float_lanes), sum);
      }
    }
  };
  std::int64_t j = 0;
  for (; j + block_columns <= cols; j += block_columns) {
    std::uint64_t mask;
    std::memcpy(&mask, bits + j / 8, 8);
    block(mask, x + j);
  }
  if (j < cols) {
    std::uint64_t mask = 0;
    std::memcpy(&mask, bits + j / 8, static_cast<std::size_t>(bitmap::row_bytes(cols) - j / 8));
    block(mask, x + j);
  }
  for (int c = 0; c < Columns; ++c) {
    for (int chain = 1; chain < chains; ++chain) {
      partial[c][0] = hn::Add(partial[c][0], partial[c][chain]);
    }
    sums[c] = hn::GetLane(hn::SumOfLanes(d, partial[c][0])) * scale;
  }
}

template <class V>
void rows_of(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  const std::int64_t row_bytes = bitmap::row_bytes(packed.cols);
  const V* all = static_cast<const V*>(packed.values);
  std::vector<V> padded;
  for (std::int64_t i = begin; i < end; ++i, sums += x.count) {
    const std::int64_t first = row_offset(packed, i);
    const std::int64_t last = row_offset(packed, i + 1);
    const V* values = all + first;
    if (last + block_columns > packed.slots) {
      // Whole vectors are read; here they would leave the array.
      padded.assign(values, all + last);
      padded.resize(padded.size() + block_columns);
      values = padded.data();
    }
    const std::uint8_t* bits = packed.positions + i * row_bytes;
    const float scale = row_scale(packed, i);
    int c = 0;
    const auto columns = [&]<int Columns>() HWY_ATTR {
      for (; c + Columns <= x.count; c += Columns) {
        bitmap_row<Columns>(bits, values, packed.cols, x.data + c * x.stride, x.stride, scale,
                            sums + c);
      }
    };
    columns.template operator()<8>();
    columns.template operator()<4>();
    columns.template operator()<2>();
    columns.template operator()<1>();
  }
}

#else

/// Without vectors the set bits are walked.
template <class V>
void rows_of(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  std::vector<std::int32_t> columns(static_cast<std::size_t>(decoded_length(packed)));
  for (std::int64_t i = begin; i < end; ++i, sums += x.count) {
    decode_columns(packed, i, columns.data());
    const std::int64_t first = row_offset(packed, i);
    const std::int64_t count = row_offset(packed, i + 1) - first;
    const V* values = static_cast<const V*>(packed.values) + first;
    for (int c = 0; c < x.count; ++c) {
      const float* from = x.data + c * x.stride;
      float partial[4] = {};
      for (std::int64_t k = 0; k < count; ++k)
        partial[k & 3] += widen(values[k]) * from[columns[static_cast<std::size_t>(k)]];
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

const std::uint8_t* BitmapLaneColumns(PackedDType dtype) {
  return visit_packed(dtype, []([[maybe_unused]] auto tag) {
    static constexpr auto columns = [] {
      std::array<std::uint8_t, 64> table{};
      for (int lane = 0; lane < 64; ++lane) {
#if HWY_TARGET != HWY_SCALAR
        table[static_cast<std::size_t>(lane)] = static_cast<std::uint8_t>(
            BlockExpansion<typename decltype(tag)::type>::lane_column(lane));
#else
        table[static_cast<std::size_t>(lane)] = static_cast<std::uint8_t>(lane);
#endif
      }
      return table;
    }();
    return columns.data();
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

const std::uint8_t* bitmap_lane_columns(PackedDType dtype) {
  return GOSSAMER_SIMD_FUNCTION(BitmapLaneColumns)(dtype);
}

}  // namespace gossamer
#endif  // HWY_ONCE
