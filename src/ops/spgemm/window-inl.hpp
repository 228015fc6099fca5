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

#include <algorithm>
#include <complex>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "ops/spgemm/operands-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// How the columns that a row reaches are remembered.
enum class Marks {
  none,   ///< not at all: every column of the span is reached
  bytes,  ///< a byte a column: marking only stores
  bits,   ///< a bit a column: less to walk in a wide window
};

constexpr std::int64_t columns_per_mark(Marks kind) { return kind == Marks::bytes ? 1 : 8; }

/// Bytes of marks, which are walked 64 at a time.
constexpr std::int64_t mark_bytes(Marks kind, std::int64_t width) {
  return (width / (64 * columns_per_mark(kind)) + 1) * 64;
}

/// Calls body(std::integral_constant<Marks, kind>{}) with the kind that a row is marked by.
template <class Body>
HWY_INLINE auto with_marks(const RowWork& work, Body&& body) {
  if (work.contiguous) return body(std::integral_constant<Marks, Marks::none>{});
  if (work.width() / tuning::spgemm_byte_columns_per_product <= work.products) {
    return body(std::integral_constant<Marks, Marks::bytes>{});
  }
  return body(std::integral_constant<Marks, Marks::bits>{});
}

/// Elements that take_window works on, and may write, beyond the last.
constexpr std::int64_t window_padding = 16;

/// A sum before its first product: adding to it changes nothing, and only products that are all -0
/// leave it so.
template <class S>
constexpr S untouched = S(-0.0);
template <class R>
constexpr std::complex<R> untouched<std::complex<R>> = std::complex<R>(R(-0.0), R(-0.0));

template <Marks Kind>
HWY_INLINE void mark(std::uint8_t* HWY_RESTRICT marks, std::uint64_t column) {
  if constexpr (Kind == Marks::bits) {
    marks[column / 8] |= static_cast<std::uint8_t>(1u << (column % 8));
  } else if constexpr (Kind == Marks::bytes) {
    marks[column] = 1;
  }
}

/// Marks the columns first..last.
template <Marks Kind>
HWY_INLINE void mark_run(std::uint8_t* HWY_RESTRICT marks, std::uint64_t first,
                         std::uint64_t last) {
  if constexpr (Kind == Marks::bits) {
    for (std::uint64_t byte = first / 8; byte <= last / 8; ++byte) {
      std::uint32_t bits = 0xff;
      if (byte == first / 8) bits &= 0xffu << (first % 8);
      if (byte == last / 8) bits &= 0xffu >> (7 - last % 8);
      marks[byte] |= static_cast<std::uint8_t>(bits);
    }
  } else if constexpr (Kind == Marks::bytes) {
    // Words that may overlap: such runs are short, and a call costs more.
    constexpr std::uint64_t word = 0x0101010101010101;
    std::uint64_t column = first;
    for (; column + 8 <= last + 1; column += 8) std::memcpy(marks + column, &word, 8);
    if (last - first >= 7) {
      std::memcpy(marks + last - 7, &word, 8);
    } else {
      for (; column <= last; ++column) mark<Kind>(marks, column);
    }
  }
}

/// Marks the columns of row i, and adds its products to the sums if there are values.
template <Marks Kind, class T, class I>
HWY_INLINE void add_to_window(const Typed<T, I>& op, std::int64_t i, std::int64_t low,
                              [[maybe_unused]] Sum<T>* HWY_RESTRICT sums,
                              std::uint8_t* HWY_RESTRICT marks) {
  if constexpr (Kind == Marks::none && !has_values<T>) return;
  for_each_operand_row(op, i, [&](std::int64_t p, std::int64_t begin, std::int64_t end) HWY_ATTR {
    const I* HWY_RESTRICT columns = op.b_indices + begin;
    const std::int64_t length = end - begin;
    [[maybe_unused]] const T* HWY_RESTRICT values = op.b_values;
    [[maybe_unused]] Sum<T> scale{1};
    if constexpr (has_values<T>) {
      values += begin;
      scale = widen(op.a_values[p]);
    }
    const auto add = [&]([[maybe_unused]] std::uint64_t column,
                         [[maybe_unused]] std::int64_t q) HWY_ATTR {
      if constexpr (has_values<T>) {
        sums[column] = add_product<Sum<T>>(scale, widen(values[q]), sums[column]);
      }
    };
    if (op.canonical && columns[length - 1] - columns[0] == length - 1) {
      const auto first = static_cast<std::uint64_t>(columns[0] - low);
      mark_run<Kind>(marks, first, first + static_cast<std::uint64_t>(length) - 1);
      for (std::int64_t q = 0; q < length; ++q) add(first + static_cast<std::uint64_t>(q), q);
      return;
    }
    for (std::int64_t q = 0; q < length; ++q) {
      const auto column = static_cast<std::uint64_t>(columns[q] - low);
      mark<Kind>(marks, column);
      add(column, q);
    }
  });
}

/// Counts the columns that are marked.
HWY_INLINE std::int64_t count_marks(const std::uint8_t* marks, std::int64_t bytes) {
  const hn::CappedTag<std::uint64_t, 8> d;
  auto count = hn::Zero(d);
  const std::uint64_t* const words = reinterpret_cast<const std::uint64_t*>(marks);
  for (std::int64_t at = 0; at < bytes / 8; at += static_cast<std::int64_t>(hn::Lanes(d))) {
    count = hn::Add(count, hn::PopulationCount(hn::Load(d, words + at)));
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

/// A bit for each column that is taken at once: 8, or 16 that a vector holds and the row fills
/// well.
template <Marks Kind, class S, class I>
using Block =
    std::conditional_t<Kind == Marks::bytes && compresses<S> && sizeof(S) == 4 && sizeof(I) == 4,
                       std::uint16_t, std::uint8_t>;

/// Appends those of a block's sums whose bit is set and their columns, and restores all of them.
template <class T, class Word, class I>
HWY_INLINE void take_block([[maybe_unused]] Sum<T>* HWY_RESTRICT sums, Word chosen, I first,
                           I* HWY_RESTRICT columns, [[maybe_unused]] Sum<T>* HWY_RESTRICT values) {
  using S = Sum<T>;
  if constexpr (compresses<S>) {
    constexpr std::size_t lanes = 8 * sizeof(chosen);
    const hn::CappedTag<I, lanes> di;
    std::uint8_t mask[8] = {};
    std::memcpy(mask, &chosen, sizeof(chosen));
    const auto numbers = hn::Add(hn::Iota(di, 0), hn::Set(di, first));
    hn::StoreU(compress(numbers, hn::LoadMaskBits(di, mask)), di, columns);
    if constexpr (has_values<T>) {
      using Sums = hwy::UnsignedFromSize<sizeof(S)>;
      const hn::CappedTag<Sums, lanes> dw;
      Sums pattern;
      std::memcpy(&pattern, &untouched<S>, sizeof(S));
      Sums* const words = reinterpret_cast<Sums*>(sums);
      const auto block = hn::Load(dw, words);
      hn::Store(hn::Set(dw, pattern), dw, words);
      hn::StoreU(compress(block, hn::LoadMaskBits(dw, mask)), dw, reinterpret_cast<Sums*>(values));
    }
  } else {
    using Unsigned = std::make_unsigned_t<I>;  // those behind the last column may overflow
    std::int64_t count = 0;
    for (I c = 0; c < 8; ++c) {
      columns[count] = static_cast<I>(static_cast<Unsigned>(first) + static_cast<Unsigned>(c));
      if constexpr (has_values<T>) values[count] = std::exchange(sums[c], untouched<S>);
      count += chosen >> c & 1;
    }
  }
}

/// Bytes of marks that find_marks looks at.
constexpr std::int64_t marks_at_once =
    std::max<std::int64_t>(8, hn::MaxLanes(hn::CappedTag<std::uint8_t, 64>()));

/// A bit for each word that is not zero.
template <class Word>
HWY_INLINE std::uint64_t find_marks(const std::uint8_t* marks) {
  const hn::CappedTag<Word, 64 / sizeof(Word)> d;
  std::uint64_t marked = 0;
  if constexpr (hn::MaxLanes(d) >= 8) {
    std::uint8_t mask[8] = {};
    const Word* const words = reinterpret_cast<const Word*>(marks);
    hn::StoreMaskBits(d, hn::Ne(hn::Load(d, words), hn::Zero(d)), mask);
    std::memcpy(&marked, mask, sizeof(marked));
  } else {
    for (int byte = 0; byte < 8; ++byte) marked |= std::uint64_t{marks[byte] != 0} << byte;
  }
  return marked;
}

/// Makes marks of a byte a column those of a bit, in place. Returns how many bytes these fill, to
/// whole steps of find_marks.
HWY_INLINE std::int64_t bytes_to_bits(std::uint8_t* marks, std::int64_t bytes) {
  for (std::int64_t at = 0; at < bytes; at += marks_at_once) {
    const std::uint64_t marked = find_marks<std::uint8_t>(marks + at);
    std::memset(marks + at, 0, marks_at_once);
    std::memcpy(marks + at / 8, &marked, marks_at_once / 8);
  }
  return (bytes / 8 + marks_at_once - 1) / marks_at_once * marks_at_once;
}

/// Writes the marked columns of the window and their sums in order, and restores it. Returns how
/// many.
template <Marks Kind, class T, class I>
HWY_INLINE std::int64_t take_window(std::int64_t width, std::int64_t low, Sum<T>* HWY_RESTRICT sums,
                                    std::uint8_t* HWY_RESTRICT marks, I* HWY_RESTRICT columns,
                                    Sum<T>* HWY_RESTRICT values) {
  using Word = Block<Kind, Sum<T>, I>;
  constexpr std::int64_t word_bits = 8 * sizeof(Word);
  std::int64_t count = 0;
  std::int64_t bytes = mark_bytes(Kind, width);
  if constexpr (Kind == Marks::bytes) bytes = bytes_to_bits(marks, bytes);
  for (std::int64_t at = 0; at < bytes; at += marks_at_once) {
    std::uint64_t marked = find_marks<Word>(marks + at);
    if (marked == 0) continue;
    for (; marked != 0; marked &= marked - 1) {
      const auto word = static_cast<std::int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(marked));
      const std::int64_t column = 8 * at + word_bits * word;
      Word chosen;
      std::memcpy(&chosen, marks + column / 8, sizeof(chosen));
      take_block<T>(has_values<T> ? sums + column : nullptr, chosen, static_cast<I>(low + column),
                    columns + count, has_values<T> ? values + count : nullptr);
      count += static_cast<std::int64_t>(hwy::PopCount(std::uint64_t{chosen}));
    }
    std::memset(marks + at, 0, marks_at_once);
  }
  return count;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
