// SPDX-License-Identifier: Apache-2.0
// Sorting the products of a row by column, for rows that span too many columns for a window.
// Included once for each SIMD target.
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
struct PackedKey {
  using Word = std::int64_t;
  using Position = Element;
  static constexpr int position_bits = 31;

  static bool fits(const RowWork& work) {
    return work.products <= Word{1} << position_bits && work.width() <= Word{1}
                                                                            << (63 - position_bits);
  }
  std::int64_t column() const { return word >> position_bits; }
  Position position() const {
    return static_cast<Position>(word & ((Word{1} << position_bits) - 1));
  }

  Word word;
};

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
template <class Body>
HWY_INLINE auto with_key(const RowWork& work, Body&& body) {
  if (PackedKey::fits(work)) return body(PackedKey{});
  return body(WideKey{});
}

/// Keys that expand_keys may write beyond the last.
constexpr std::int64_t key_padding = 16;

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
    const int shift = PackedKey::position_bits + pass * digit;
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

HWY_INLINE PackedKey* sort_keys(PackedKey* keys, std::int64_t n, std::int64_t width,
                                SpgemmScratch& scratch) {
  PackedKey* const other = scratch.sorted_keys.reserve<PackedKey>(n);
  return reinterpret_cast<PackedKey*>(radix_sort(&keys->word, n, width, &other->word));
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
  K* const keys = scratch.keys.reserve<K>(n + key_padding);
  expand_keys(op, i, work.low, keys);
  const K* const sorted = sort_keys(keys, n, work.width(), scratch);
  std::int64_t count = 1;
  for (std::int64_t p = 1; p < n; ++p) count += sorted[p].column() != sorted[p - 1].column();
  return count;
}

/// The distinct columns of row i in order, and for each product which of them is its own. Returns
/// how many columns there are.
template <class K, class T, class I>
HWY_INLINE std::int64_t order_columns(const Typed<T, I>& op, std::int64_t i, const RowWork& work,
                                      I* HWY_RESTRICT columns,
                                      typename K::Position* HWY_RESTRICT elements,
                                      SpgemmScratch& scratch) {
  using Position = typename K::Position;
  const std::int64_t n = work.products, low = work.low;
  K* const keys = scratch.keys.reserve<K>(n + key_padding);
  expand_keys(op, i, low, keys);
  const K* const sorted = sort_keys(keys, n, work.width(), scratch);
  std::int64_t last = -1, column = -1;
  for (std::int64_t p = 0; p < n; ++p) {
    last += sorted[p].column() != column;
    column = sorted[p].column();
    columns[last] = static_cast<I>(low + column);
    elements[sorted[p].position()] = static_cast<Position>(last);
  }
  return last + 1;
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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
