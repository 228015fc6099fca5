// SPDX-License-Identifier: Apache-2.0
// The transpose of packed rows times a vector: each row, scaled by its element of x, is added to y.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_transposed_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>
#include <vector>

#include "formats/bitmap.hpp"
#include "formats/packed.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Adds rows slot by slot; their columns differ, so that the additions of a row do not wait for
/// each other.
void scatter_rows(const PackedView& packed, const float* x, std::int64_t begin, std::int64_t end,
                  float* HWY_RESTRICT y) {
  std::vector<std::int32_t> columns(static_cast<std::size_t>(decoded_length(packed)));
  std::vector<float> values(columns.size());
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t first = row_offset(packed, i);
    const std::size_t count = static_cast<std::size_t>(row_offset(packed, i + 1) - first);
    decode_columns(packed, i, columns.data());
    decode_values(packed, first, static_cast<std::int64_t>(count), values.data());
    const float factor = x[i] * row_scale(packed, i);
    for (std::size_t k = 0; k < count; ++k) y[columns[k]] += values[k] * factor;
  }
}

#if HWY_TARGET != HWY_SCALAR

template <class V>
void expand_rows(const PackedView& packed, const float* x, std::int64_t begin, std::int64_t end,
                 float* HWY_RESTRICT y) {
  const FloatTag d;
  // Sums in the order of the lanes, put right in the end.
  std::vector<float> sums(static_cast<std::size_t>((packed.cols + 63) / 64 * 64));
  const std::int64_t bytes = bitmap::row_bytes(packed.cols);
  const V* all = static_cast<const V*>(packed.values);
  std::vector<V> padded;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t last = row_offset(packed, i + 1);
    const V* values = all + row_offset(packed, i);
    if (last + block_columns > packed.slots) {
      // Whole vectors are read; here they would leave the array.
      padded.assign(values, all + last);
      padded.resize(padded.size() + block_columns);
      values = padded.data();
    }
    const auto factor = hn::Set(d, x[i] * row_scale(packed, i));
    const std::uint8_t* bits = packed.positions + i * bytes;
    for (std::int64_t j = 0; j < packed.cols; j += block_columns) {
      std::uint64_t mask = 0;
      std::memcpy(&mask, bits + j / 8, bytes - j / 8 >= 8 ? 8 : 4);
      FloatVec expanded[block_vectors];
      BlockExpansion<V>::expand_block(values, mask, expanded);
      // The processor foresees reads within a page of memory, not the next page's.
      for (std::size_t line = 0; line < sizeof(V); ++line) {
        hwy::Prefetch(reinterpret_cast<const std::uint8_t*>(values) +
                      tuning::packed_prefetch_bytes + 64 * line);
      }
      hwy::Prefetch(bits + j / 8 + tuning::packed_prefetch_bits);
      values += std::popcount(mask);
      for (int v = 0; v < block_vectors; ++v) {
        float* HWY_RESTRICT to = sums.data() + j + v * float_lanes;
        hn::StoreU(hn::MulAdd(expanded[v], factor, hn::LoadU(d, to)), d, to);
      }
    }
  }
  for (std::int64_t j = 0; j < static_cast<std::int64_t>(sums.size()); ++j) {
    const std::int64_t column = (j & ~63LL) + BlockExpansion<V>::lane_column(j & 63);
    if (column < packed.cols) y[column] += sums[static_cast<std::size_t>(j)];
  }
}

#endif

void VectorTransposed(const PackedView& packed, const float* x, std::int64_t begin,
                      std::int64_t end, float* y) {
#if HWY_TARGET != HWY_SCALAR
  if (packed.format == PackedFormat::bitmap) {
    return visit_packed(packed.dtype, [&](auto tag) HWY_ATTR {
      expand_rows<typename decltype(tag)::type>(packed, x, begin, end, y);
    });
  }
#endif
  scatter_rows(packed, x, begin, end, y);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void vector_transposed(const PackedView& packed, const float* x, std::int64_t begin,
                       std::int64_t end, float* y) {
  GOSSAMER_SIMD_FUNCTION(VectorTransposed)(packed, x, begin, end, y);
}

}  // namespace gossamer
#endif  // HWY_ONCE
