// SPDX-License-Identifier: Apache-2.0
// Expansion: lane i of the result takes the next value if bit i of a mask is set, and is zero
// otherwise. Highway 1.0 has no such operation. Included once for each target, from within a kernel
// file.
#if defined(GOSSAMER_SIMD_EXPAND_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_SIMD_EXPAND_INL_HPP
#undef GOSSAMER_SIMD_EXPAND_INL_HPP
#else
#define GOSSAMER_SIMD_EXPAND_INL_HPP
#endif

#include <hwy/highway.h>

#include <array>
#include <bit>
#include <cstdint>

#include "formats/packed.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;
inline constexpr int float_lanes = static_cast<int>(hn::MaxLanes(FloatTag()));

/// Calls body(std::integral_constant<int, i>) for i in 0..N-1: a loop that is unrolled for certain,
/// so that the arrays of vectors that it indexes stay in registers.
template <int N, class Body>
HWY_INLINE void unroll(Body&& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) HWY_ATTR {
    (body(std::integral_constant<int, I>()), ...);
  }(std::make_integer_sequence<int, N>());
}

// ---- Stored values as floats --------------------------------------------------------------------

/// Loads a vector's lanes of stored values as floats.
#if HWY_TARGET == HWY_SCALAR
// Highway's own conversion from float16 knows no infinities here.
template <class V>
HWY_INLINE FloatVec load_values(const V* from) {
  return hn::Set(FloatTag(), widen(*from));
}
#else
HWY_INLINE FloatVec load_values(const float* from) { return hn::LoadU(FloatTag(), from); }
HWY_INLINE FloatVec load_values(const float16* from) {
  return hn::PromoteTo(FloatTag(), hn::LoadU(hn::Rebind<hwy::float16_t, FloatTag>(),
                                             reinterpret_cast<const hwy::float16_t*>(from)));
}
HWY_INLINE FloatVec load_values(const bfloat16* from) {
  return hn::PromoteTo(FloatTag(), hn::LoadU(hn::Rebind<hwy::bfloat16_t, FloatTag>(),
                                             reinterpret_cast<const hwy::bfloat16_t*>(from)));
}
HWY_INLINE FloatVec load_values(const std::int8_t* from) {
  return hn::ConvertTo(FloatTag(),
                       hn::PromoteTo(hn::RebindToSigned<FloatTag>(),
                                     hn::LoadU(hn::Rebind<std::int8_t, FloatTag>(), from)));
}
HWY_INLINE FloatVec load_values(const float8_e4m3* from) {
  // As binary16 scaled by 2^-8 every value but NaN is exact, subnormals too.
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::Rebind<std::uint8_t, FloatTag> db;
  const auto bytes = hn::PromoteTo(du, hn::LoadU(db, reinterpret_cast<const std::uint8_t*>(from)));
  const auto magnitude = hn::And(bytes, hn::Set(du, 0x7fu));
  const auto sign = hn::ShiftLeft<24>(hn::Xor(bytes, magnitude));
  const hn::Rebind<hwy::float16_t, FloatTag> dh;
  const auto half = hn::BitCast(
      dh, hn::DemoteTo(hn::Rebind<std::uint16_t, FloatTag>(),
                       hn::BitCast(hn::RebindToSigned<FloatTag>(), hn::ShiftLeft<7>(magnitude))));
  const auto scaled = hn::Mul(hn::PromoteTo(FloatTag(), half), hn::Set(FloatTag(), 256.0f));
  const auto value =
      hn::IfThenElse(hn::RebindMask(FloatTag(), hn::Eq(magnitude, hn::Set(du, 0x7fu))),
                     hn::BitCast(FloatTag(), hn::Set(du, 0x7fc00000u)), scaled);
  return hn::Or(value, hn::BitCast(FloatTag(), sign));
}

#endif

#if HWY_TARGET != HWY_SCALAR

// ---- One vector ---------------------------------------------------------------------------------

#if HWY_TARGET <= HWY_AVX3

/// Zeros for expansion to merge with, in a register of their own. Zen 5 lets an expansion wait for
/// what its register held before, even one that sets the rest to zero: one multiply-add after the
/// other waited, and took twice the time.
HWY_INLINE __m512i fresh_zeros() {
  __m512i zeros = _mm512_setzero_si512();
  asm("" : "+v"(zeros));  // The compiler would make it the expansion that zeroes.
  return zeros;
}

HWY_INLINE FloatVec expand(FloatVec values, std::uint64_t bits) {
  return FloatVec{_mm512_mask_expand_ps(_mm512_castsi512_ps(fresh_zeros()),
                                        static_cast<__mmask16>(bits), values.raw)};
}

#else

/// For each byte of mask the source lane of every lane, negative where its bit is not set.
inline constexpr auto expand_lanes = [] {
  std::array<std::array<std::int8_t, 8>, 256> table{};
  for (unsigned bits = 0; bits < 256; ++bits) {
    for (unsigned lane = 0, next = 0; lane < 8; ++lane) {
      const bool set = (bits >> lane) & 1;
      table[bits][lane] = set ? static_cast<std::int8_t>(next) : std::int8_t{-128};
      next += set;
    }
  }
  return table;
}();

HWY_INLINE FloatVec expand(FloatVec values, std::uint64_t bits) {
  const __m256i lanes = _mm256_cvtepi8_epi32(_mm_loadl_epi64(
      reinterpret_cast<const __m128i*>(expand_lanes[static_cast<std::uint8_t>(bits)].data())));
  const __m256 moved = _mm256_permutevar8x32_ps(values.raw, lanes);
  return FloatVec{_mm256_andnot_ps(_mm256_castsi256_ps(_mm256_srai_epi32(lanes, 31)), moved)};
}

#endif

// ---- Blocks of 64 columns -----------------------------------------------------------------------

/// Columns of a block: one word of the bitmap.
inline constexpr int block_columns = 64;
inline constexpr int block_vectors = block_columns / float_lanes;

/// The values of a block expanded to floats, `block_vectors` of them.
///
/// lane_column gives the column of each lane, so that the other factor can be laid out to match.
template <class V>
struct BlockExpansion {
  static constexpr int lane_column(int lane) { return lane; }

  static HWY_INLINE void expand_block(const V* HWY_RESTRICT values, std::uint64_t bits,
                                      FloatVec* HWY_RESTRICT out) {
    HWY_UNROLL(8)
    for (int i = 0; i < block_vectors; ++i) {
      const int before = i * float_lanes;
      const int offset = before == 0 ? 0 : std::popcount(bits & ((1ull << before) - 1));
      out[i] = expand(load_values(values + offset), bits >> before);
    }
  }
};

#if HWY_TARGET == HWY_AVX3_DL

// Ice Lake expands 16- and 8-bit lanes, 32 or 64 columns at once, before they become floats.

HWY_INLINE __m512i expand_bytes(const void* values, std::uint64_t bits) {
  return _mm512_mask_expand_epi8(fresh_zeros(), bits, _mm512_loadu_si512(values));
}

HWY_INLINE __m512i expand_words(const void* values, std::uint64_t bits) {
  return _mm512_mask_expand_epi16(fresh_zeros(), static_cast<__mmask32>(bits),
                                  _mm512_loadu_si512(values));
}

/// The two bfloat16 of each 32 bits as floats.
HWY_INLINE void widen_words(__m512i words, FloatVec* HWY_RESTRICT out) {
  out[0] = FloatVec{_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))};
  out[1] = FloatVec{_mm512_castsi512_ps(
      _mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}

template <>
struct BlockExpansion<bfloat16> {
  /// Even columns, then odd ones, of each 32.
  static constexpr int lane_column(int lane) {
    return lane / 32 * 32 + lane % 16 * 2 + lane / 16 % 2;
  }

  static HWY_INLINE void expand_block(const bfloat16* HWY_RESTRICT values, std::uint64_t bits,
                                      FloatVec* HWY_RESTRICT out) {
    widen_words(expand_words(values, bits), out);
    const int offset = std::popcount(static_cast<std::uint32_t>(bits));
    widen_words(expand_words(values + offset, bits >> 32), out + 2);
  }
};

template <>
struct BlockExpansion<float16> {
  static constexpr int lane_column(int lane) { return lane; }

  static HWY_INLINE void expand_block(const float16* HWY_RESTRICT values, std::uint64_t bits,
                                      FloatVec* HWY_RESTRICT out) {
    const int offset = std::popcount(static_cast<std::uint32_t>(bits));
    for (int half = 0; half < 2; ++half) {
      const __m512i words =
          half == 0 ? expand_words(values, bits) : expand_words(values + offset, bits >> 32);
      out[2 * half] = FloatVec{_mm512_cvtph_ps(_mm512_castsi512_si256(words))};
      out[2 * half + 1] = FloatVec{_mm512_cvtph_ps(_mm512_extracti64x4_epi64(words, 1))};
    }
  }
};

template <>
struct BlockExpansion<std::int8_t> {
  static constexpr int lane_column(int lane) { return lane; }

  static HWY_INLINE void expand_block(const std::int8_t* HWY_RESTRICT values, std::uint64_t bits,
                                      FloatVec* HWY_RESTRICT out) {
    const __m512i bytes = expand_bytes(values, bits);
    unroll<4>([&](auto quarter) HWY_ATTR {
      const __m128i part = _mm512_extracti32x4_epi32(bytes, quarter);
      out[quarter] = FloatVec{_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(part))};
    });
  }
};

/// Upper and lower bytes of the bfloat16 that equals a float8 without its sign.
struct Float8Tables {
  alignas(64) std::uint8_t upper[128], lower[128];
};
inline constexpr Float8Tables float8_tables = [] {
  Float8Tables tables{};
  for (std::uint32_t bits = 0; bits < 128; ++bits) {
    const std::uint32_t word = std::bit_cast<std::uint32_t>(widen_float8(bits)) >> 16;
    tables.upper[bits] = static_cast<std::uint8_t>(word >> 8);
    tables.lower[bits] = static_cast<std::uint8_t>(word);
  }
  return tables;
}();

template <>
struct BlockExpansion<float8_e4m3> {
  /// Bytes are interleaved to words within 16 columns, the lower 8 first; then even and odd words.
  static constexpr int lane_column(int lane) {
    const int word = lane % 16 * 2 + lane / 16 % 2;
    return word / 8 * 16 + word % 8 + lane / 32 * 8;
  }

  /// The block as bfloat16, 32 of them each, in that order.
  static HWY_INLINE void expand_block_words(const float8_e4m3* HWY_RESTRICT values,
                                            std::uint64_t bits, __m512i* HWY_RESTRICT words) {
    const auto table = [](const std::uint8_t* from) HWY_ATTR { return _mm512_load_si512(from); };
    const __m512i bytes = expand_bytes(values, bits);
    const __m512i lower = _mm512_permutex2var_epi8(table(float8_tables.lower), bytes,
                                                   table(float8_tables.lower + 64));
    const __m512i magnitude = _mm512_permutex2var_epi8(table(float8_tables.upper), bytes,
                                                       table(float8_tables.upper + 64));
    // magnitude | (bytes & sign)
    const __m512i upper = _mm512_ternarylogic_epi32(
        magnitude, bytes, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
    words[0] = _mm512_unpacklo_epi8(lower, upper);
    words[1] = _mm512_unpackhi_epi8(lower, upper);
  }

  static HWY_INLINE void expand_block(const float8_e4m3* HWY_RESTRICT values, std::uint64_t bits,
                                      FloatVec* HWY_RESTRICT out) {
    __m512i words[2];
    expand_block_words(values, bits, words);
    widen_words(words[0], out);
    widen_words(words[1], out + 2);
  }
};

#endif  // HWY_AVX3_DL

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
