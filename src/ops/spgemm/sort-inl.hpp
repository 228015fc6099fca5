// SPDX-License-Identifier: Apache-2.0
// Sorting the products of a row by column, for rows that are short or span too many columns for a
// window. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_SORT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_SORT_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_SORT_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_SORT_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "ops/spgemm/operands-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Which element of a row of C a product belongs to.
using Element = std::int32_t;

/// A product's column within the row's span and its position among the row's products, in one word
/// that sorts by both.
template <class W, int Bits>
struct PackedKey {
  using Word = W;
  using Position = Element;
  static constexpr int position_bits = Bits;

  static bool fits(const RowWork& work) {
    return work.products <= std::int64_t{1} << Bits &&
           work.width() <= std::int64_t{1} << (8 * sizeof(Word) - 1 - Bits);
  }
  std::int64_t column() const { return word >> Bits; }
  Position position() const { return static_cast<Position>(word & ((Word{1} << Bits) - 1)); }

  Word word;
};
template <class I>
using ShortKey = PackedKey<I, 6>;
using LongKey = PackedKey<std::int64_t, 31>;

/// The same for spans and numbers of products beyond that.
struct WideKey {
  using Position = std::int64_t;

  std::int64_t column() const { return column_; }
  Position position() const { return position_; }
  bool operator<(const WideKey& other) const {
    return column_ < other.column_ || (column_ == other.column_ && position_ < other.position_);
  }

  std::int64_t column_;
  Position position_;
};

/// Calls body(K{}) with the smallest kind of key that the row fits.
template <class I, class Body>
HWY_INLINE void with_key(const RowWork& work, Body&& body) {
  if (ShortKey<I>::fits(work)) return body(ShortKey<I>{});
  if (LongKey::fits(work)) return body(LongKey{});
  body(WideKey{});
}

/// Keys are ranked in groups of this many; up to as many elements are written beyond the last.
constexpr std::int64_t key_group = 16;

/// The first `count` columns as lanes of a key's word.
template <class D, class I>
HWY_INLINE hn::Vec<D> load_columns(D d, const I* from, std::size_t count) {
  if constexpr (sizeof(I) == sizeof(hn::TFromD<D>)) {
    return hn::MaskedLoad(hn::FirstN(d, count), d, from);
  } else {
    const hn::Rebind<I, D> narrow_d;
    return hn::PromoteTo(d, hn::MaskedLoad(hn::FirstN(narrow_d, count), narrow_d, from));
  }
}

/// The keys of row i, in order of position.
template <class K, class T, class I>
HWY_INLINE void expand_keys(const Typed<T, I>& op, std::int64_t i, std::int64_t low,
                            K* HWY_RESTRICT keys) {
  std::int64_t n = 0;
  for_each_operand_row(op, i, [&](std::int64_t, std::int64_t begin, std::int64_t end) HWY_ATTR {
    if constexpr (std::is_same_v<K, WideKey>) {
      for (std::int64_t q = begin; q < end; ++q, ++n) {
        keys[n].column_ = op.b_indices[q] - low;
        keys[n].position_ = n;
      }
    } else {
      using Word = typename K::Word;
      const hn::ScalableTag<Word> d;
      constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
      for (std::int64_t q = begin; q < end; q += lanes) {
        const std::int64_t count = std::min(lanes, end - q);
        const auto columns = load_columns(d, op.b_indices + q, static_cast<std::size_t>(count));
        const auto positions = hn::Add(hn::Iota(d, 0), hn::Set(d, static_cast<Word>(n)));
        const auto spans = hn::Sub(columns, hn::Set(d, static_cast<Word>(low)));
        hn::StoreU(hn::Or(hn::ShiftLeft<K::position_bits>(spans), positions), d, &keys[n].word);
        n += count;
      }
    }
  });
}

/// ranks[p] = number of keys smaller than keys[p].
///
/// Works in whole groups, the last one filled up with the largest key: loops of few lengths are
/// well predicted.
template <class Word>
HWY_INLINE void rank_keys(Word* HWY_RESTRICT keys, std::int64_t n, Element* HWY_RESTRICT ranks) {
  const hn::CappedTag<Word, key_group> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  for (std::int64_t lane = 0; lane < key_group; lane += lanes) {
    hn::StoreU(hn::Set(d, std::numeric_limits<Word>::max()), d, keys + n + lane);
  }
  const std::int64_t end = (n + key_group - 1) / key_group * key_group;
  for (std::int64_t at = 0; at < end; at += lanes) {
    const auto key = hn::LoadU(d, keys + at);
    auto rank = hn::Zero(d);
    for (std::int64_t group = 0; group < end; group += key_group) {
      for (std::int64_t j = group; j < group + key_group; ++j) {
        rank = hn::Sub(rank, hn::VecFromMask(d, hn::Lt(hn::Set(d, keys[j]), key)));
      }
    }
    if constexpr (sizeof(Word) == sizeof(Element)) {
      hn::StoreU(rank, d, ranks + at);
    } else {
      HWY_ALIGN Word wide[lanes];
      hn::Store(rank, d, wide);
      for (std::int64_t p = 0; p < lanes; ++p) ranks[at + p] = static_cast<Element>(wide[p]);
    }
  }
}

/// Stable radix sort by column; returns the one of the two arrays that holds the result.
HWY_INLINE std::int64_t* radix_sort(std::int64_t* keys, std::int64_t n, std::int64_t width,
                                    std::int64_t* other) {
  const int bits =
      64 - static_cast<int>(hwy::Num0BitsAboveMS1Bit_Nonzero64(static_cast<std::uint64_t>(width)));
  const int widest = n < 2048 ? 8 : 11;
  const int passes = (bits + widest - 1) / widest;
  const int digit = (bits + passes - 1) / passes;
  const std::int64_t last = (std::int64_t{1} << digit) - 1;
  std::uint32_t starts[1 << 11];
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = LongKey::position_bits + pass * digit;
    std::fill(starts, starts + last + 1, 0u);
    for (std::int64_t p = 0; p < n; ++p) ++starts[(keys[p] >> shift) & last];
    std::uint32_t start = 0;
    for (std::int64_t bucket = 0; bucket <= last; ++bucket) {
      start += std::exchange(starts[bucket], start);
    }
    for (std::int64_t p = 0; p < n; ++p) other[starts[(keys[p] >> shift) & last]++] = keys[p];
    std::swap(keys, other);
  }
  return keys;
}

template <class I>
HWY_INLINE ShortKey<I>* sort_keys(ShortKey<I>* keys, std::int64_t n, std::int64_t,
                                  SpgemmScratch& scratch) {
  ShortKey<I>* const sorted = scratch.sorted_keys.reserve<ShortKey<I>>(n);
  Element* const ranks = scratch.elements.reserve<Element>(n + key_group);
  rank_keys(&keys->word, n, ranks);
  for (std::int64_t p = 0; p < n; ++p) sorted[ranks[p]] = keys[p];
  return sorted;
}

HWY_INLINE LongKey* sort_keys(LongKey* keys, std::int64_t n, std::int64_t width,
                              SpgemmScratch& scratch) {
  LongKey* const other = scratch.sorted_keys.reserve<LongKey>(n);
  return reinterpret_cast<LongKey*>(radix_sort(&keys->word, n, width, &other->word));
}

HWY_INLINE WideKey* sort_keys(WideKey* keys, std::int64_t n, std::int64_t, SpgemmScratch&) {
  std::sort(keys, keys + n);
  return keys;
}

/// The number of distinct columns of row i.
template <class K, class I>
HWY_INLINE std::int64_t count_columns(const Typed<NoValue, I>& op, std::int64_t i,
                                      const RowWork& work, SpgemmScratch& scratch) {
  const std::int64_t n = work.products;
  K* const keys = scratch.keys.reserve<K>(n + key_group);
  expand_keys(op, i, work.low, keys);
  const K* const sorted = sort_keys(keys, n, work.width(), scratch);
  std::int64_t count = 1;
  for (std::int64_t p = 1; p < n; ++p) count += sorted[p].column() != sorted[p - 1].column();
  return count;
}

/// The `count` distinct columns of row i in order. Returns for each product which of them is its
/// own.
template <class K, class T, class I>
HWY_INLINE typename K::Position* order_columns(const Typed<T, I>& op, std::int64_t i,
                                               const RowWork& work, std::int64_t count,
                                               I* HWY_RESTRICT columns, SpgemmScratch& scratch) {
  using Position = typename K::Position;
  const std::int64_t n = work.products, low = work.low;
  K* const keys = scratch.keys.reserve<K>(n + key_group);
  Position* const elements = scratch.elements.reserve<Position>(n + key_group);
  expand_keys(op, i, low, keys);
  if constexpr (std::is_same_v<K, ShortKey<I>>) {
    if (count == n) {
      rank_keys(&keys->word, n, elements);
      for (std::int64_t p = 0; p < n; ++p) {
        columns[elements[p]] = static_cast<I>(low + keys[p].column());
      }
      return elements;
    }
  }
  const K* const sorted = sort_keys(keys, n, work.width(), scratch);
  std::int64_t last = -1, column = -1;
  for (std::int64_t p = 0; p < n; ++p) {
    last += sorted[p].column() != column;
    column = sorted[p].column();
    columns[last] = static_cast<I>(low + column);
    elements[sorted[p].position()] = static_cast<Position>(last);
  }
  return elements;
}

/// sums[elements[p]] += product p of row i.
template <class T, class I, class Position>
HWY_INLINE void add_to_elements(const Typed<T, I>& op, std::int64_t i,
                                const Position* HWY_RESTRICT elements, Sum<T>* HWY_RESTRICT sums) {
  for_each_operand_row(op, i, [&](std::int64_t p, std::int64_t begin, std::int64_t end) HWY_ATTR {
    const Sum<T> scale = widen(op.a_values[p]);
    for (std::int64_t q = begin; q < end; ++q, ++elements) {
      sums[*elements] = add_product<Sum<T>>(scale, widen(op.b_values[q]), sums[*elements]);
    }
  });
}

/// values[elements[p]] = product p of row i, of which no two share an element.
template <class T, class I, class Position>
HWY_INLINE void scatter_products(const Typed<T, I>& op, std::int64_t i,
                                 const Position* HWY_RESTRICT elements, std::int64_t count,
                                 Sum<T>* HWY_RESTRICT values, SpgemmScratch& scratch) {
  if constexpr (std::is_same_v<T, Sum<T>> && !is_complex<T>) {
    // Rows of B are mostly shorter than a vector: no loop over them to predict.
    const hn::ScalableTag<T> d;
    constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
    T* HWY_RESTRICT products = scratch.products.reserve<T>(count + lanes);
    std::int64_t n = 0;
    for_each_operand_row(op, i, [&](std::int64_t p, std::int64_t begin, std::int64_t end) HWY_ATTR {
      const auto scale = hn::Set(d, op.a_values[p]);
      for (std::int64_t q = begin; q < end; q += lanes) {
        const std::int64_t length = std::min(lanes, end - q);
        const auto valid = hn::FirstN(d, static_cast<std::size_t>(length));
        hn::StoreU(hn::Mul(scale, hn::MaskedLoad(valid, d, op.b_values + q)), d, products + n);
        n += length;
      }
    });
    for (std::int64_t p = 0; p < count; ++p) values[elements[p]] = products[p];
  } else {
    std::fill_n(values, count, Sum<T>{});
    add_to_elements(op, i, elements, values);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
