// SPDX-License-Identifier: Apache-2.0
// Gap rows times a vector: running positions, and x by a gather where the processor has a fast one.
// Times a few columns: the same positions, and each slot's value times a row of X.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_gap_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "formats/gap.hpp"
#include "formats/packed.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "simd/expand-inl.hpp"
#include "simd/gap_scan-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// The processor foresees reads within a page of memory, not those of the next page.
HWY_INLINE void prefetch_ahead(const void* position) {
  hwy::Prefetch(static_cast<const std::uint8_t*>(position) + tuning::packed_prefetch_bytes);
}

/// Slots [first, last) one at a time, `next` being the first column after the slot before.
template <int Bits, class V>
HWY_INLINE float walk_slots(const std::uint8_t* HWY_RESTRICT gaps, const V* HWY_RESTRICT values,
                            std::int64_t first, std::int64_t last, const float* HWY_RESTRICT next) {
  float partial[4] = {};
  std::int64_t slot = first;
  const auto add = [&](int chain) HWY_ATTR {
    next += gap::gap_at<Bits>(gaps, slot);
    partial[chain] += widen(values[slot++]) * *next++;
  };
  while (slot + 4 <= last) {
    prefetch_ahead(values + slot);
    prefetch_ahead(gaps + slot * Bits / 8);
    add(0);
    add(1);
    add(2);
    add(3);
  }
  while (slot < last) add(0);
  return (partial[0] + partial[1]) + (partial[2] + partial[3]);
}

#if HWY_TARGET != HWY_SCALAR

// ---- Eight elements of a table ------------------------------------------------------------------

/// Elements at address(0) ... address(7).
template <class Address>
HWY_INLINE __m256 load_eight(const Address& address) {
  return _mm256_setr_ps(*address(0), *address(1), *address(2), *address(3), *address(4),
                        *address(5), *address(6), *address(7));
}

/// Elements of x at the next 8 slots, by the processor's gather or one by one.
template <int Bits, bool Gather>
HWY_INLINE __m256 load_8_of_x(const float* HWY_RESTRICT x, const std::uint8_t* gaps,
                              std::int64_t slot, std::int64_t& advance) {
  if constexpr (Gather) {
    return _mm256_i32gather_ps(x, widen_columns(scan_8<Bits>(gaps, slot, advance)), 4);
  } else {
    const auto zeros = scan_8_slots<Bits>(gaps, slot, advance);
    return load_eight([&](int i) HWY_ATTR { return x + i + zeros[i]; });
  }
}

// ---- Rows ---------------------------------------------------------------------------------------

template <bool Gather, class V>
HWY_INLINE __m256 load_8_values(const V* from) {
  if constexpr (std::is_same_v<V, float>) {
    return _mm256_loadu_ps(from);
  } else if constexpr (std::is_same_v<V, float16>) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  } else if constexpr (std::is_same_v<V, bfloat16>) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
  } else if constexpr (std::is_same_v<V, std::int8_t>) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  } else {
    std::uint64_t bytes;
    std::memcpy(&bytes, from, 8);
    const float* table = float8_values.data();
    if constexpr (Gather) {
      return _mm256_i32gather_ps(table, widen_columns(Columns8Bit{bytes}), 4);
    } else {
      return load_eight([&](int i) HWY_ATTR { return table + (bytes >> 8 * i & 0xff); });
    }
  }
}

template <int Bits, bool Gather, class V>
HWY_INLINE float dot_row(const std::uint8_t* HWY_RESTRICT gaps, const V* HWY_RESTRICT values,
                         std::int64_t first, std::int64_t last, std::int64_t end,
                         const float* HWY_RESTRICT x) {
  std::int64_t slot = first;
  const auto add_eight = [&](__m256 sum) HWY_ATTR {
    std::int64_t advance;
    const __m256 of_x = load_8_of_x<Bits, Gather>(x, gaps, slot, advance);
    sum = _mm256_fmadd_ps(load_8_values<Gather>(values + slot), of_x, sum);
    x += advance;
    slot += 8;
    return sum;
  };
  // In turns, so that a sum does not wait for the one before.
  __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0;
  const std::int64_t safe = std::min(last, end - scan_reach<Bits> + 8);
  while (slot + 16 <= safe) {
    prefetch_ahead(values + slot);
    prefetch_ahead(gaps + slot * Bits / 8);
    sum0 = add_eight(sum0);
    sum1 = add_eight(sum1);
  }
  if (slot + 8 <= safe) sum0 = add_eight(sum0);
  const __m256 sum = _mm256_add_ps(sum0, sum1);
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
  const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair))) +
         walk_slots<Bits>(gaps, values, slot, last, x);
}

#else

template <int Bits, bool Gather, class V>
HWY_INLINE float dot_row(const std::uint8_t* gaps, const V* values, std::int64_t first,
                         std::int64_t last, std::int64_t, const float* x) {
  return walk_slots<Bits>(gaps, values, first, last, x);
}

#endif

// ---- Rows times a few columns -------------------------------------------------------------------

/// Sums of `Width` columns: some vectors each in some chains, so that one multiply-add does not
/// wait for the one before.
template <int Width>
struct ColumnSums {
  using Tag = hn::CappedTag<float, Width>;
  static constexpr int lanes = static_cast<int>(hn::MaxLanes(Tag()));
  static constexpr int vectors = Width / lanes;
  static constexpr int chains = vectors == 1 ? 4 : vectors == 2 ? 2 : 1;

  hn::Vec<Tag> sums[chains][vectors];

  HWY_INLINE ColumnSums() {
    unroll<chains>([&](auto chain) HWY_ATTR {
      unroll<vectors>([&](auto v) HWY_ATTR { sums[chain][v] = hn::Zero(Tag()); });
    });
  }

  /// Adds a value times a row of X to a chain.
  HWY_INLINE void add(int chain, float value, const float* HWY_RESTRICT x) {
    const auto factor = hn::Set(Tag(), value);
    unroll<vectors>([&](auto v) HWY_ATTR {
      sums[chain][v] = hn::MulAdd(factor, hn::Load(Tag(), x + v * lanes), sums[chain][v]);
    });
  }

  HWY_INLINE void store(float scale, float* HWY_RESTRICT to) {
    unroll<vectors>([&](auto v) HWY_ATTR {
      unroll<chains - 1>([&](auto chain)
                             HWY_ATTR { sums[0][v] = hn::Add(sums[0][v], sums[chain + 1][v]); });
      hn::Store(hn::Mul(sums[0][v], hn::Set(Tag(), scale)), Tag(), to + v * lanes);
    });
  }
};

template <int Bits, bool Gather, int Width, class V>
HWY_INLINE ColumnSums<Width> columns_row(const std::uint8_t* HWY_RESTRICT gaps,
                                         const V* HWY_RESTRICT values, std::int64_t first,
                                         std::int64_t last, [[maybe_unused]] std::int64_t end,
                                         const float* HWY_RESTRICT x) {
  ColumnSums<Width> sums;
  std::int64_t slot = first;
#if HWY_TARGET != HWY_SCALAR
  constexpr int shift = std::countr_zero(static_cast<unsigned>(Width));
  for (const std::int64_t safe = std::min(last, end - scan_reach<Bits> + 8); slot + 8 <= safe;
       slot += 8) {
    prefetch_ahead(values + slot);
    prefetch_ahead(gaps + slot * Bits / 8);
    std::int64_t advance;
    alignas(32) std::int32_t offsets[8];
    alignas(32) float eight[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(offsets),
                       _mm256_slli_epi32(widen_columns(scan_8<Bits>(gaps, slot, advance)), shift));
    _mm256_store_ps(eight, load_8_values<Gather>(values + slot));
    unroll<8>([&](auto i) HWY_ATTR { sums.add(i % sums.chains, eight[i], x + offsets[i]); });
    x += advance * Width;
  }
#endif
  for (; slot < last; ++slot) {
    x += gap::gap_at<Bits>(gaps, slot) * Width;
    sums.add(0, widen(values[slot]), x);
    x += Width;
  }
  return sums;
}

// ---- Kernels ------------------------------------------------------------------------------------

/// Calls body.operator()<Bits, Gather>(values) for the format, the processor and the stored values.
template <class Body>
void choose_walk(const PackedView& packed, Body&& body) {
  visit_packed(packed.dtype, [&](auto tag) {
    const auto* values = static_cast<const typename decltype(tag)::type*>(packed.values);
    const auto choose = [&]<bool Gather>() HWY_ATTR {
      if (packed.format == PackedFormat::gap4) {
        body.template operator()<4, Gather>(values);
      } else {
        body.template operator()<8, Gather>(values);
      }
    };
    if (HWY_TARGET <= HWY_AVX3 && simd::has_fast_gather()) {
      choose.template operator()<true>();
    } else {
      choose.template operator()<false>();
    }
  });
}

void GapRows(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  choose_walk(packed, [&]<int Bits, bool Gather>(const auto* values) HWY_ATTR {
    for (std::int64_t i = begin; i < end; ++i) {
      sums[i - begin] = dot_row<Bits, Gather>(packed.positions, values, row_offset(packed, i),
                                              row_offset(packed, i + 1), packed.slots, x.data) *
                        row_scale(packed, i);
    }
  });
}

template <int Width>
void gap_columns_of(const PackedView& packed, const RowsOfX& x, std::int64_t begin,
                    std::int64_t end, float* sums) {
  choose_walk(packed, [&]<int Bits, bool Gather>(const auto* values) HWY_ATTR {
    for (std::int64_t i = begin; i < end; ++i) {
      columns_row<Bits, Gather, Width>(packed.positions, values, row_offset(packed, i),
                                       row_offset(packed, i + 1), packed.slots, x.data)
          .store(row_scale(packed, i), sums + (i - begin) * Width);
    }
  });
}

void GapColumns(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                float* sums) {
  const auto kernel = x.width == 4    ? gap_columns_of<4>
                      : x.width == 8  ? gap_columns_of<8>
                      : x.width == 16 ? gap_columns_of<16>
                                      : gap_columns_of<32>;
  kernel(packed, x, begin, end, sums);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void gap_rows(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
              float* sums) {
  GOSSAMER_SIMD_FUNCTION(GapRows)(packed, x, begin, end, sums);
}

void gap_columns(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                 float* sums) {
  GOSSAMER_SIMD_FUNCTION(GapColumns)(packed, x, begin, end, sums);
}

}  // namespace gossamer
#endif  // HWY_ONCE
