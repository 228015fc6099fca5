// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/pack/pack_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "formats/packed.hpp"
#include "ops/pack/pack.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

void CompactRow(DType dtype, const void* row, std::int64_t cols, float threshold,
                RowNonzeros& nonzeros) {
  visit_dense(dtype, "dense", [&](auto tag) HWY_ATTR {
    using T = typename decltype(tag)::type;
    const FloatTag d;
    const hn::RebindToSigned<decltype(d)> di;
    const T* from = static_cast<const T*>(row);
    std::int32_t* columns = nonzeros.columns.data();
    float* values = nonzeros.values.data();
    const auto limit = hn::Set(d, threshold);
    auto index = hn::Iota(di, 0);
    std::uint8_t* bits = nonzeros.bits.data();
    std::fill(bits, bits + nonzeros.bits.size(), std::uint8_t{0});
    std::int64_t column = 0;
    for (; column + float_lanes <= cols; column += float_lanes) {
      const auto value = load_values(from + column);
      const auto keep = hn::Not(hn::Le(hn::Abs(value), limit));
      hn::StoreU(hn::Compress(value, keep), d, values);
      hn::StoreU(hn::Compress(index, hn::RebindMask(di, keep)), di, columns);
      const std::size_t kept = hn::CountTrue(d, keep);
      if constexpr (float_lanes >= 8) {
        hn::StoreMaskBits(d, keep, bits + column / 8);
      } else {
        static_assert(float_lanes == 1 || float_lanes >= 8);  // the count of one lane is its mask
        bits[column / 8] |= static_cast<std::uint8_t>(kept << (column % 8));
      }
      values += kept;
      columns += kept;
      index = hn::Add(index, hn::Set(di, float_lanes));
    }
    for (; column < cols; ++column) {
      const float value = widen(from[column]);
      *values = value;
      *columns = static_cast<std::int32_t>(column);
      const bool keep = !(std::fabs(value) <= threshold);
      bits[column / 8] |= static_cast<std::uint8_t>(keep << (column % 8));
      values += keep;
      columns += keep;
    }
    nonzeros.count = values - nonzeros.values.data();
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void compact_row(DType dtype, const void* row, std::int64_t cols, float threshold,
                 RowNonzeros& nonzeros) {
  GOSSAMER_SIMD_FUNCTION(CompactRow)(dtype, row, cols, threshold, nonzeros);
}

}  // namespace gossamer
#endif  // HWY_ONCE
