// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/pack/pack_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "formats/packed.hpp"
#include "ops/pack/pack.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Loads lanes of T as float.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_float(D d, const T* from) {
  if constexpr (std::is_same_v<T, float16>) {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(),
                                      reinterpret_cast<const hwy::float16_t*>(from)));
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(),
                                      reinterpret_cast<const hwy::bfloat16_t*>(from)));
  } else {
    return hn::LoadU(d, from);
  }
}

void CompactRow(DType dtype, const void* row, std::int64_t cols, float threshold,
                RowNonzeros& nonzeros) {
  visit_dense(dtype, "dense", [&](auto tag) HWY_ATTR {
    using T = typename decltype(tag)::type;
    const hn::ScalableTag<float> d;
    const hn::RebindToSigned<decltype(d)> di;
    constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
    const T* from = static_cast<const T*>(row);
    std::int32_t* columns = nonzeros.columns.data();
    float* values = nonzeros.values.data();
    const auto limit = hn::Set(d, threshold);
    auto index = hn::Iota(di, 0);
    std::int64_t column = 0;
    for (; column + lanes <= cols; column += lanes) {
      const auto value = load_float(d, from + column);
      const auto keep = hn::Not(hn::Le(hn::Abs(value), limit));
      hn::StoreU(hn::Compress(value, keep), d, values);
      hn::StoreU(hn::Compress(index, hn::RebindMask(di, keep)), di, columns);
      const std::size_t kept = hn::CountTrue(d, keep);
      values += kept;
      columns += kept;
      index = hn::Add(index, hn::Set(di, static_cast<std::int32_t>(lanes)));
    }
    for (; column < cols; ++column) {
      const float value = widen(from[column]);
      *values = value;
      *columns = static_cast<std::int32_t>(column);
      const bool keep = !(std::fabs(value) <= threshold);
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
