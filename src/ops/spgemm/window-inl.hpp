// SPDX-License-Identifier: Apache-2.0
// A window over the columns that a row spans: sums at their places, and marks of what was reached.
// Walking it gives the row sorted. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_WINDOW_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_WINDOW_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_WINDOW_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_WINDOW_INL_HPP
#endif

#include <hwy/highway.h>

#include <complex>
#include <cstdint>
#include <cstring>

#include "ops/spgemm/operands-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// How the columns that a row reaches are remembered.
enum class Marks {
  none,    ///< not at all: every column of the span is reached
  blocks,  ///< a byte for each 8 columns, beside the sums
  bytes,   ///< a byte a column: marking only stores
  bits,    ///< a bit a column: less to walk in a wide window
};

constexpr std::uint64_t columns_per_mark(Marks kind) { return kind == Marks::bytes ? 1 : 8; }

/// Bytes of marks, which are walked 64 at a time.
constexpr std::int64_t mark_bytes(Marks kind, std::int64_t width) {
  return (width / (64 * static_cast<std::int64_t>(columns_per_mark(kind))) + 1) * 64;
}

/// Elements that take_window works on, and may write, beyond the last.
constexpr std::int64_t window_padding = 8;

/// A sum before its first product: adding to it changes nothing, and only products that are all -0
/// leave it so.
template <class S>
constexpr S untouched = S(-0.0);
template <class R>
constexpr std::complex<R> untouched<std::complex<R>> = std::complex<R>(R(-0.0), R(-0.0));

template <class S>
HWY_INLINE bool is_untouched(const S& sum) {
  return std::memcmp(&sum, &untouched<S>, sizeof(S)) == 0;
}

template <Marks Kind>
HWY_INLINE void mark(std::uint8_t* HWY_RESTRICT marks, std::uint64_t column) {
  if constexpr (Kind == Marks::bits) {
    marks[column / 8] |= static_cast<std::uint8_t>(1u << (column % 8));
  } else if constexpr (Kind != Marks::none) {
    marks[column / columns_per_mark(Kind)] = 1;
  }
}

/// Marks the columns first..last.
template <Marks Kind>
HWY_INLINE void mark_run(std::uint8_t* HWY_RESTRICT marks, std::uint64_t first,
                         std::uint64_t last) {
  if constexpr (Kind == Marks::none) return;
  constexpr std::uint64_t columns = columns_per_mark(Kind);
  for (std::uint64_t byte = first / columns; byte <= last / columns; ++byte) {
    if constexpr (Kind == Marks::bits) {
      std::uint32_t bits = 0xff;
      if (byte == first / 8) bits &= 0xffu << (first % 8);
      if (byte == last / 8) bits &= 0xffu >> (7 - last % 8);
      marks[byte] |= static_cast<std::uint8_t>(bits);
    } else {
      marks[byte] = 1;
    }
  }
}

/// Adds row i to the window. Without values a reached sum becomes 1; without Sums columns are only
/// marked.
template <Marks Kind, bool Sums, class T, class I>
HWY_INLINE void add_to_window(const Typed<T, I>& op, std::int64_t i, std::int64_t low,
                              Sum<T>* HWY_RESTRICT sums, std::uint8_t* HWY_RESTRICT marks) {
  for_each_operand_row(op, i, [&](std::int64_t p, std::int64_t begin, std::int64_t end) HWY_ATTR {
    const I* HWY_RESTRICT columns = op.b_indices + begin;
    const std::int64_t length = end - begin;
    [[maybe_unused]] const T* HWY_RESTRICT values = op.b_values;
    [[maybe_unused]] Sum<T> scale{1};
    if constexpr (has_values<T>) {
      values += begin;
      scale = widen(op.a_values[p]);
    }
    const auto add = [&](Sum<T>& sum, [[maybe_unused]] std::int64_t q) HWY_ATTR {
      if constexpr (has_values<T>) {
        sum = add_product<Sum<T>>(scale, widen(values[q]), sum);
      } else {
        sum = 1;
      }
    };
    if (op.canonical && columns[length - 1] - columns[0] == length - 1) {
      const auto first = static_cast<std::uint64_t>(columns[0] - low);
      mark_run<Kind>(marks, first, first + static_cast<std::uint64_t>(length) - 1);
      if constexpr (Sums) {
        Sum<T>* HWY_RESTRICT run = sums + first;
        for (std::int64_t q = 0; q < length; ++q) add(run[q], q);
      }
      return;
    }
    for (std::int64_t q = 0; q < length; ++q) {
      const auto column = static_cast<std::uint64_t>(columns[q] - low);
      mark<Kind>(marks, column);
      if constexpr (Sums) add(sums[column], q);
    }
  });
}

/// Counts marks that are bytes or bits, and clears them.
HWY_INLINE std::int64_t count_marks(std::uint8_t* marks, std::int64_t bytes) {
  const hn::CappedTag<std::uint64_t, 8> d;
  auto count = hn::Zero(d);
  std::uint64_t* const words = reinterpret_cast<std::uint64_t*>(marks);
  for (std::int64_t at = 0; at < bytes / 8; at += static_cast<std::int64_t>(hn::Lanes(d))) {
    count = hn::Add(count, hn::PopulationCount(hn::Load(d, words + at)));
    hn::Store(hn::Zero(d), d, words + at);
  }
  return static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(d, count)));
}

/// The lanes whose mask is set, moved to the front.
template <class V, class M>
HWY_INLINE V compress(V v, M mask) {
#if HWY_TARGET <= HWY_AVX3
  // Highway 1.0's Compress of 64-bit lanes copies a table to the stack at every call.
  if constexpr (sizeof(hn::TFromV<V>) == 8) {
    const hn::DFromV<V> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    using Words = hn::Vec<decltype(du)>;
    return hn::BitCast(d, Words{_mm512_maskz_compress_epi64(mask.raw, hn::BitCast(du, v).raw)});
  }
#endif
  return hn::Compress(v, mask);
}

/// Whether a window's sums are compressed: elsewhere a loop over them is as fast.
template <class S>
inline constexpr bool compresses = HWY_TARGET <= HWY_AVX3 && sizeof(S) <= 8;

/// Appends the touched ones of 8 sums and their columns, and restores the sums. Returns how many.
template <class S, class I>
HWY_INLINE std::int64_t take_block(S* HWY_RESTRICT sums, I first, I* HWY_RESTRICT columns,
                                   S* HWY_RESTRICT values) {
  if constexpr (compresses<S>) {
    using Word = hwy::UnsignedFromSize<sizeof(S)>;
    const hn::CappedTag<Word, 8> dw;
    const hn::CappedTag<I, 8> di;
    Word pattern;
    std::memcpy(&pattern, &untouched<S>, sizeof(S));
    const auto none = hn::Set(dw, pattern);
    Word* const words = reinterpret_cast<Word*>(sums);
    const auto block = hn::Load(dw, words);
    const auto touched = hn::Ne(block, none);
    hn::Store(none, dw, words);
    hn::StoreU(compress(block, touched), dw, reinterpret_cast<Word*>(values));
    std::uint8_t mask[8] = {};
    hn::StoreMaskBits(dw, touched, mask);
    const auto numbers = hn::Add(hn::Iota(di, 0), hn::Set(di, first));
    hn::StoreU(compress(numbers, hn::LoadMaskBits(di, mask)), di, columns);
    return static_cast<std::int64_t>(hwy::PopCount(mask[0]));
  } else {
    std::int64_t count = 0;
    for (I c = 0; c < 8; ++c) {
      columns[count] = static_cast<I>(first + c);
      values[count] = sums[c];
      count += !is_untouched(sums[c]);
      sums[c] = untouched<S>;
    }
    return count;
  }
}

/// Writes the touched sums of the window and their columns in order, and restores it. Returns how
/// many.
template <class S, class I>
HWY_INLINE std::int64_t take_window(std::int64_t width, std::int64_t low, S* HWY_RESTRICT sums,
                                    std::uint8_t* HWY_RESTRICT marks, I* HWY_RESTRICT columns,
                                    S* HWY_RESTRICT values) {
  const hn::CappedTag<std::uint8_t, 64> d;
  std::int64_t count = 0;
  for (std::int64_t at = 0; at < mark_bytes(Marks::blocks, width);
       at += static_cast<std::int64_t>(hn::Lanes(d))) {
    std::uint8_t mask[8] = {};
    hn::StoreMaskBits(d, hn::Ne(hn::Load(d, marks + at), hn::Zero(d)), mask);
    hn::Store(hn::Zero(d), d, marks + at);
    std::uint64_t marked;
    std::memcpy(&marked, mask, sizeof(marked));
    for (; marked != 0; marked &= marked - 1) {
      const std::int64_t column =
          8 * (at + static_cast<std::int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(marked)));
      count +=
          take_block(sums + column, static_cast<I>(low + column), columns + count, values + count);
    }
  }
  return count;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
