// SPDX-License-Identifier: Apache-2.0
// Vectors of any value type, widened to the accumulator. Included once for each SIMD target.
#if defined(GOSSAMER_SIMD_LOAD_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_SIMD_LOAD_INL_HPP
#undef GOSSAMER_SIMD_LOAD_INL_HPP
#else
#define GOSSAMER_SIMD_LOAD_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "core/scalar.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Loads lanes of T as float lanes, or as they are.
template <class D, class T>
HWY_INLINE hn::Vec<D> load(D d, const T* from) {
  if constexpr (is_16bit<T> && HWY_TARGET == HWY_SCALAR) {
    return hn::Set(d, widen(*from));  // Highway 1.0's scalar path loses float16's infinities
  } else if constexpr (std::is_same_v<T, float16>) {
    const hn::Rebind<hwy::float16_t, D> half;
    return hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(from)));
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    const hn::Rebind<hwy::bfloat16_t, D> half;
    return hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::bfloat16_t*>(from)));
  } else {
    return hn::LoadU(d, from);
  }
}

/// The first `count` elements as lanes, the rest zero; reads nothing beyond them.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_first(D d, const T* from, std::int64_t count) {
  if constexpr (is_16bit<T>) {
    HWY_ALIGN float padded[hn::MaxLanes(d)] = {};
    for (std::int64_t c = 0; c < count; ++c) padded[c] = widen(from[c]);
    return hn::Load(d, padded);
  } else {
    return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(count)), d, from);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif
