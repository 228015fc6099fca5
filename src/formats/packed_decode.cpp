// SPDX-License-Identifier: Apache-2.0
// The row walk of the packed formats: columns and values of a row's slots, or the row itself, as
// plain arrays.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/packed_decode.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "formats/bitmap.hpp"
#include "formats/gap.hpp"
#include "formats/packed.hpp"
#include "simd/expand-inl.hpp"
#include "simd/gap_scan-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

void bitmap_columns(const PackedView& packed, std::int64_t row, std::int32_t* columns) {
  const std::int64_t bytes = bitmap::row_bytes(packed.cols);
  const std::uint8_t* bits = packed.positions + row * bytes;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<std::int32_t> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  auto column = hn::Iota(d, 0);
  for (std::int64_t j = 0; j < bytes * 8; j += lanes) {
    const auto set = hn::LoadMaskBits(d, bits + j / 8);
    hn::StoreU(hn::Compress(column, set), d, columns);
    columns += hn::CountTrue(d, set);
    column = hn::Add(column, hn::Set(d, static_cast<std::int32_t>(lanes)));
  }
#else
  for (std::int64_t j = 0; j < bytes * 8; j += 32) {
    std::uint32_t mask;
    std::memcpy(&mask, bits + j / 8, 4);
    for (; mask != 0; mask &= mask - 1) {
      *columns++ = static_cast<std::int32_t>(j + std::countr_zero(mask));
    }
  }
#endif
}

template <int Bits>
void gap_columns(const PackedView& packed, std::int64_t row, std::int32_t* columns) {
  std::int64_t slot = row_offset(packed, row);
  const std::int64_t end = row_offset(packed, row + 1);
  std::int64_t next = 0;
#if HWY_TARGET != HWY_SCALAR
  const std::int64_t safe = std::min(end, packed.slots - scan_reach<Bits> + 8);
  for (; slot + 8 <= safe; slot += 8, columns += 8) {
    std::int64_t advance;
    const __m256i from_next = widen_columns(scan_8<Bits>(packed.positions, slot, advance));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(columns),
                        _mm256_add_epi32(from_next, _mm256_set1_epi32(static_cast<int>(next))));
    next += advance;
  }
#endif
  for (; slot < end; ++slot) {
    next += gap::gap_at<Bits>(packed.positions, slot) + 1;
    *columns++ = static_cast<std::int32_t>(next - 1);
  }
}

void DecodeColumns(const PackedView& packed, std::int64_t row, std::int32_t* columns) {
  switch (packed.format) {
    case PackedFormat::bitmap:
      return bitmap_columns(packed, row, columns);
    case PackedFormat::gap4:
      return gap_columns<4>(packed, row, columns);
    case PackedFormat::gap8:
      return gap_columns<8>(packed, row, columns);
  }
}

void DecodeValues(const PackedView& packed, std::int64_t first, std::int64_t count, float* values) {
  visit_packed(packed.dtype, [&](auto tag) HWY_ATTR {
    const auto* from = static_cast<const typename decltype(tag)::type*>(packed.values) + first;
    std::int64_t i = 0;
    for (; i + float_lanes <= count; i += float_lanes) {
      hn::StoreU(load_values(from + i), FloatTag(), values + i);
    }
    for (; i < count; ++i) values[i] = widen(from[i]);
  });
}

void DecodeRow(const PackedView& packed, std::int64_t row, float* elements) {
  const std::int64_t slot = row_offset(packed, row);
  const std::int64_t count = row_offset(packed, row + 1) - slot;
#if HWY_TARGET != HWY_SCALAR
  // Whole vectors are read: the array's last rows go the other way.
  if (packed.format == PackedFormat::bitmap && slot + count + float_lanes <= packed.slots) {
    const std::uint8_t* bits = packed.positions + row * bitmap::row_bytes(packed.cols);
    return visit_packed(packed.dtype, [&](auto tag) HWY_ATTR {
      const auto* values = static_cast<const typename decltype(tag)::type*>(packed.values) + slot;
      for (std::int64_t j = 0; j < packed.cols; j += float_lanes) {
        // The processor foresees reads within a page of memory only.
        hwy::Prefetch(reinterpret_cast<const std::uint8_t*>(values) + 4096);
        std::uint32_t mask = 0;
        std::memcpy(&mask, bits + j / 8, float_lanes / 8);
        hn::StoreU(expand(load_values(values), mask), FloatTag(), elements + j);
        values += std::popcount(mask);
      }
    });
  }
#endif
  std::vector<std::int32_t> columns(static_cast<std::size_t>(decoded_length(packed)));
  std::vector<float> values(columns.size());
  DecodeColumns(packed, row, columns.data());
  DecodeValues(packed, slot, count, values.data());
  std::fill_n(elements, packed.cols, 0.0f);
  for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
    elements[columns[k]] = values[k];
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void decode_columns(const PackedView& packed, std::int64_t row, std::int32_t* columns) {
  GOSSAMER_SIMD_FUNCTION(DecodeColumns)(packed, row, columns);
}

void decode_row(const PackedView& packed, std::int64_t row, float* elements) {
  GOSSAMER_SIMD_FUNCTION(DecodeRow)(packed, row, elements);
}

void decode_values(const PackedView& packed, std::int64_t first, std::int64_t count,
                   float* values) {
  GOSSAMER_SIMD_FUNCTION(DecodeValues)(packed, first, count, values);
}

}  // namespace gossamer
#endif  // HWY_ONCE
