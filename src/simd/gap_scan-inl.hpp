// SPDX-License-Identifier: Apache-2.0
// Gaps to columns: running sums over 8 slots at a time. Included once for each target, from within
// a kernel file.
#if defined(GOSSAMER_SIMD_GAP_SCAN_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_SIMD_GAP_SCAN_INL_HPP
#undef GOSSAMER_SIMD_GAP_SCAN_INL_HPP
#else
#define GOSSAMER_SIMD_GAP_SCAN_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

/// Slots that may be scanned from: scan_8 reads this many slots, of which it uses 8.
template <int Bits>
inline constexpr std::int64_t scan_reach = Bits == 4 ? 17 : 8;

/// Columns of 8 slots: bytes of a word (gap4), or 16-bit lanes (gap8).
struct Columns8Bit {
  std::uint64_t bytes;
};
struct Columns16Bit {
  __m128i lanes;
};

HWY_INLINE __m256i widen_columns(Columns8Bit columns) {
  return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(columns.bytes)));
}
HWY_INLINE __m256i widen_columns(Columns16Bit columns) {
  return _mm256_cvtepu16_epi32(columns.lanes);
}

/// Columns of 8 slots, counted from the first column after the slot before, and how far they
/// advance it.
template <int Bits>
HWY_INLINE auto scan_8(const std::uint8_t* gaps, std::int64_t slot, std::int64_t& advance) {
  if constexpr (Bits == 4) {
    std::uint64_t nibbles;
    std::memcpy(&nibbles, gaps + (slot >> 1), 8);
    nibbles >>= (slot & 1) * 4;
    // Bytes of gap + 1 summed by one multiplication: 8 of at most 16 stay within a byte.
    constexpr std::uint64_t ones = 0x0101010101010101ull;
    const std::uint64_t ends = (_pdep_u64(nibbles, 0x0f * ones) + ones) * ones;
    advance = static_cast<std::int64_t>(ends >> 56);
    return Columns8Bit{ends - ones};
  } else {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(gaps + slot));
    __m128i sums = _mm_cvtepu8_epi16(bytes);
    sums = _mm_add_epi16(sums, _mm_slli_si128(sums, 2));
    sums = _mm_add_epi16(sums, _mm_slli_si128(sums, 4));
    sums = _mm_add_epi16(sums, _mm_slli_si128(sums, 8));
    const __m128i lane = _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7);
    advance = _mm_cvtsi128_si64(_mm_sad_epu8(bytes, _mm_setzero_si128())) + 8;
    return Columns16Bit{_mm_add_epi16(sums, lane)};
  }
}

/// Zeros before each of 8 slots, counted from the first column after the slot before, so that slot
/// k is at column k + zeros[k]: lanes of 2 * Bits bits for the even slots, and for the odd ones.
template <int Bits>
struct ZerosBefore {
  std::conditional_t<Bits == 4, std::uint32_t, std::uint64_t> even, odd;

  HWY_INLINE std::uint64_t operator[](int slot) const {
    const auto lanes = slot % 2 == 0 ? even : odd;
    return lanes >> slot / 2 * 2 * Bits & ((1ull << 2 * Bits) - 1);
  }
};

/// scan_8 in a general register, for loads of one slot at a time: a lane has the gaps of two slots,
/// and one multiplication sums the lanes.
template <int Bits>
HWY_INLINE ZerosBefore<Bits> scan_8_slots(const std::uint8_t* gaps, std::int64_t slot,
                                          std::int64_t& advance) {
  using Word = decltype(ZerosBefore<Bits>::even);
  constexpr Word ones = static_cast<Word>(~Word{0} / ((1ull << 2 * Bits) - 1));
  constexpr Word lower = ones * ((1u << Bits) - 1);
  std::uint64_t word;
  std::memcpy(&word, gaps + (Bits == 4 ? slot >> 1 : slot), 8);
  if constexpr (Bits == 4) word >>= (slot & 1) * 4;
  const Word gap = static_cast<Word>(word);
  const Word odd_gaps = gap >> Bits & lower;
  const Word odd = ((gap & lower) + odd_gaps) * ones;
  advance = static_cast<std::int64_t>(odd >> 6 * Bits) + 8;
  return {odd - odd_gaps, odd};
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
