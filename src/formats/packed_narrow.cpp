// SPDX-License-Identifier: Apache-2.0
// Rows of floats to stored types; decode_values is the way back.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/packed_narrow.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "formats/packed.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// Each rounds as narrow_packed does.

HWY_INLINE void store_narrow(FloatVec value, float16* to) {
  const hn::Rebind<hwy::float16_t, FloatTag> dh;
  hn::StoreU(hn::DemoteTo(dh, value), dh, reinterpret_cast<hwy::float16_t*>(to));
}

HWY_INLINE void store_narrow(FloatVec value, bfloat16* to) {
  const hn::RebindToUnsigned<FloatTag> du;
  const auto bits = hn::BitCast(du, value);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu))));
  const auto is_nan = hn::RebindMask(du, hn::IsNaN(value));
  const auto words = hn::IfThenElse(is_nan, hn::Or(upper, hn::Set(du, 0x40u)), rounded);
  hn::StoreU(hn::DemoteTo(hn::Rebind<std::uint16_t, FloatTag>(),
                          hn::BitCast(hn::RebindToSigned<FloatTag>(), words)),
             hn::Rebind<std::uint16_t, FloatTag>(), &to->bits);
}

HWY_INLINE void store_narrow(FloatVec value, std::int8_t* to) {
  const FloatTag d;
  const auto clamped = hn::Min(hn::Max(value, hn::Set(d, -127.0f)), hn::Set(d, 127.0f));
  const hn::Rebind<std::int8_t, FloatTag> db;
  hn::StoreU(hn::DemoteTo(db, hn::NearestInt(clamped)), db, to);
}

HWY_INLINE void store_narrow(FloatVec value, float8_e4m3* to) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  const auto magnitude = hn::Min(hn::Abs(value), hn::Set(d, 448.0f));
  const auto bits = hn::BitCast(du, magnitude);
  const auto sign = hn::And(hn::ShiftRight<24>(hn::BitCast(du, value)), hn::Set(du, 0x80u));
  const auto odd = hn::And(hn::ShiftRight<20>(bits), hn::Set(du, 1u));
  // The exponent's bias becomes 7; 0x7ffff and the last bit kept round to even.
  const auto normal =
      hn::ShiftRight<20>(hn::Add(hn::Add(bits, odd), hn::Set(du, 0x7ffffu - (120u << 23))));
  const auto aligned = hn::Set(d, 0x1p14f);
  const auto subnormal =
      hn::Sub(hn::BitCast(du, hn::Add(magnitude, aligned)), hn::BitCast(du, aligned));
  const auto is_subnormal = hn::RebindMask(du, hn::Lt(magnitude, hn::Set(d, 0x1p-6f)));
  const auto bytes = hn::Or(hn::IfThenElse(is_subnormal, subnormal, normal), sign);
  const hn::Rebind<std::uint8_t, FloatTag> db;
  hn::StoreU(hn::DemoteTo(db, hn::BitCast(hn::RebindToSigned<FloatTag>(), bytes)), db, &to->bits);
}

#endif

void NarrowValues(PackedDType dtype, const float* values, std::int64_t count, float scale,
                  void* output) {
  visit_packed(dtype, [&](auto tag) HWY_ATTR {
    using V = typename decltype(tag)::type;
    V* to = static_cast<V*>(output);
    if constexpr (std::is_same_v<V, float>) {
      std::copy_n(values, count, to);
    } else {
      std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
      const FloatTag d;
      for (; i + float_lanes <= count; i += float_lanes) {
        auto value = hn::LoadU(d, values + i);
        if constexpr (is_8bit<V>) value = hn::Div(value, hn::Set(d, scale));
        store_narrow(value, to + i);
      }
#endif
      for (; i < count; ++i) {
        to[i] = narrow_packed<V>(is_8bit<V> ? values[i] / scale : values[i]);
      }
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void narrow_values(PackedDType dtype, const float* values, std::int64_t count, float scale,
                   void* output) {
  GOSSAMER_SIMD_FUNCTION(NarrowValues)(dtype, values, count, scale, output);
}

}  // namespace gossamer
#endif  // HWY_ONCE
