// SPDX-License-Identifier: Apache-2.0
// Short rows, several at once: the products of a group of rows are sorted together, by row and
// column, and neighbours with equal columns are summed. No branch depends on how long a row is.
// Included once for each SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_ROW_GROUP_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_ROW_GROUP_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_ROW_GROUP_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_ROW_GROUP_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "ops/spgemm/operands-inl.hpp"
#include "ops/spgemm/repeats-inl.hpp"
#include "ops/spgemm/sorting_network-inl.hpp"
#include "ops/spgemm/window-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Products, entries of A and rows of a group at most; several rows together have fewer products,
/// which sort faster.
constexpr std::int64_t group_products = network_keys;
constexpr std::int64_t joint_products = 64;
constexpr std::int64_t group_entries = 256;
constexpr std::int64_t group_rows = 256;

/// Elements that a group may write beyond its last.
constexpr std::int64_t group_padding = network_padding;

/// How a key holds a product's row within the group, its column, and its position among the group's
/// products: keys sort by row and column, equal ones in the order of A's row.
struct KeyLayout {
  static constexpr int position_bits = 7;
  static_assert(group_products == 1 << position_bits);

  template <class Key>
  static KeyLayout of(std::int64_t columns) {
    const int column_bits = columns < 2 ? 0
                                        : 64 - static_cast<int>(hwy::Num0BitsAboveMS1Bit_Nonzero64(
                                                   static_cast<std::uint64_t>(columns - 1)));
    // The highest bit stays free, so that no key equals the padding.
    const int row_bits = 8 * static_cast<int>(sizeof(Key)) - 1 - position_bits - column_bits;
    return {column_bits,
            row_bits < 0 ? 0 : std::min(group_rows, std::int64_t{1} << std::min(row_bits, 62))};
  }

  int row_shift() const { return position_bits + column_bits; }

  int column_bits;
  std::int64_t rows;  ///< that a group may have
};

/// Consecutive rows, and their products together.
struct RowGroup {
  std::int64_t begin, end, products;
};

/// A bit for each of a group's sorted products.
using Bits = unsigned __int128;
static_assert(group_products <= 128);

/// The lowest `count` bits, one at least.
HWY_INLINE Bits low_bits(std::int64_t count) { return ~Bits{0} >> (128 - count); }

HWY_INLINE std::int64_t count_bits(Bits bits) {
  return static_cast<std::int64_t>(hwy::PopCount(static_cast<std::uint64_t>(bits)) +
                                   hwy::PopCount(static_cast<std::uint64_t>(bits >> 64)));
}

/// The products of a group in the making.
template <class Key, class S>
struct GroupProducts {
  HWY_ALIGN Key row_keys[group_entries + network_padding];
  HWY_ALIGN Key keys_and_one_before[16 + group_products + network_padding];
  HWY_ALIGN S left[group_products + network_padding];
  HWY_ALIGN S right[group_products + network_padding];
  HWY_ALIGN S products[group_products + network_padding];
  HWY_ALIGN S sums[group_products + network_padding];

  Key* keys() { return keys_and_one_before + 16; }
};

/// Writes the factors of A's entry p and its row of B, the group's products from n on.
template <class Key, class T, class I>
HWY_INLINE void expand_factors(const Typed<T, I>& op, std::int64_t p, std::int64_t begin,
                               std::int64_t length, std::int64_t n,
                               GroupProducts<Key, Sum<T>>& buffer) {
  const Sum<T> scale = widen(op.a_values[p]);
  if constexpr (std::is_same_v<T, Sum<T>> && !is_complex<T>) {
    const hn::CappedTag<T, network_padding> d;
    constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
    std::int64_t q = 0;
    do {
      const auto valid = hn::FirstN(d, static_cast<std::size_t>(length - q));
      hn::StoreU(hn::MaskedLoad(valid, d, op.b_values + begin + q), d, buffer.right + n + q);
      hn::StoreU(hn::Set(d, scale), d, buffer.left + n + q);
      q += lanes;
    } while (q < length);
  } else {
    for (std::int64_t q = 0; q < length; ++q) {
      buffer.left[n + q] = scale;
      buffer.right[n + q] = widen(op.b_values[begin + q]);
    }
  }
}

/// Writes the keys of the group's products, and their factors, in the order of A's rows.
template <class Key, class T, class I>
HWY_INLINE void expand_group(const Typed<T, I>& op, const RowGroup& group, const KeyLayout& layout,
                             GroupProducts<Key, Sum<T>>& buffer) {
  using Tags = Together<Key, I>;
  const typename Tags::template Tag<Key> dk;
  const typename Tags::template Tag<I> di;
  const typename Tags::template Tag<std::make_unsigned_t<I>> du;
  const std::int64_t first = op.a_indptr[group.begin], last = op.a_indptr[group.end];
  for (std::int64_t i = group.begin; i < group.end; ++i) {
    const auto row = hn::Set(dk, static_cast<Key>(i - group.begin) << layout.row_shift());
    const std::int64_t end = op.a_indptr[i + 1] - first;
    for (std::int64_t p = op.a_indptr[i] - first; p < end; p += Tags::lanes) {
      hn::StoreU(row, dk, buffer.row_keys + p);
    }
  }
  const auto positions = hn::Iota(dk, 0);
  std::int64_t n = 0;
  for (std::int64_t p = first; p < last; ++p) {
    if (op.prefetch) prefetch_operand_row(op, p);
    const std::int64_t k = op.a_indices[p];
    const std::int64_t begin = op.b_indptr[k], length = op.b_indptr[k + 1] - begin;
    // Highway's scalar MaskedLoad reads what is masked out, too.
    if (HWY_TARGET == HWY_SCALAR && length == 0) continue;
    const auto row = hn::Add(hn::Set(dk, buffer.row_keys[p - first]), positions);
    // At least once: few rows of B are empty, and then nothing that counts is written.
    std::int64_t q = 0;
    do {
      const auto valid = hn::FirstN(di, static_cast<std::size_t>(length - q));
      const auto columns = hn::BitCast(du, hn::MaskedLoad(valid, di, op.b_indices + begin + q));
      const auto keys = hn::ShiftLeft<KeyLayout::position_bits>(resize_lanes(dk, columns));
      const auto position = hn::Set(dk, static_cast<Key>(n + q));
      hn::StoreU(hn::Add(keys, hn::Add(row, position)), dk, buffer.keys() + n + q);
      q += Tags::lanes;
    } while (q < length);
    if constexpr (has_values<T>) expand_factors(op, p, begin, length, n, buffer);
    n += length;
  }
}

/// Bit s: the sorted product s has the row and column of the one before.
template <class Key>
HWY_INLINE Bits find_repeats(Key* HWY_RESTRICT keys, std::int64_t count) {
  const hn::CappedTag<Key, 16> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  keys[-1] = std::numeric_limits<Key>::max();
  Bits repeats = 0;
  for (std::int64_t at = 0; at < count; at += lanes) {
    const auto places = hn::ShiftRight<KeyLayout::position_bits>(hn::LoadU(d, keys + at));
    const auto before = hn::ShiftRight<KeyLayout::position_bits>(hn::LoadU(d, keys + at - 1));
    std::uint8_t mask[8] = {};
    hn::StoreMaskBits(d, hn::Eq(places, before), mask);
    std::uint64_t bits;
    std::memcpy(&bits, mask, sizeof(bits));
    repeats |= Bits{bits} << at;
  }
  return repeats & low_bits(count);
}

/// Replaces the products of each of the rows by its positions in C.
HWY_INLINE void subtract_repeats(Bits repeats, std::int64_t rows,
                                 std::int64_t* HWY_RESTRICT counts) {
  if (repeats == 0) return;
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t products = counts[i];
    if (products == 0) continue;
    counts[i] -= count_bits(repeats & low_bits(products));
    repeats = products < group_products ? repeats >> products : 0;
  }
}

/// Replaces the products of each row by its positions in C, `counts` beginning with the group's.
template <class Key, class I>
HWY_INLINE void count_group(const Typed<NoValue, I>& op, const RowGroup& group,
                            const KeyLayout& layout, std::int64_t* HWY_RESTRICT counts,
                            GroupProducts<Key, float>& buffer) {
  if (group.products < 2) return;
  expand_group(op, group, layout, buffer);
  sort_network(buffer.keys(), group.products);
  subtract_repeats(find_repeats(buffer.keys(), group.products), group.end - group.begin, counts);
}

/// Whether elements are taken from several vectors at once: elsewhere they are gathered.
template <class D>
inline constexpr bool looks_up =
    HWY_TARGET <= HWY_AVX3 && hn::MaxLanes(D()) * sizeof(hn::TFromD<D>) == 64;

/// Element index[lane] of the vectors in each lane.
template <int Vectors, class D, class V = hn::Vec<D>, class Index>
HWY_INLINE V look_up([[maybe_unused]] D d, [[maybe_unused]] const V* table,
                     [[maybe_unused]] Index index) {
#if HWY_TARGET <= HWY_AVX3
  constexpr int lanes = static_cast<int>(hn::MaxLanes(d));
  if constexpr (Vectors == 2) {
    if constexpr (sizeof(hn::TFromD<D>) == 4) {
      return V{_mm512_permutex2var_ps(table[0].raw, index.raw, table[1].raw)};
    } else {
      return V{_mm512_permutex2var_pd(table[0].raw, index.raw, table[1].raw)};
    }
  } else {
    constexpr int half = Vectors / 2;
    using Word = hn::TFromV<Index>;
    const hn::RebindToUnsigned<D> du;
    const auto upper = hn::RebindMask(d, hn::TestBit(index, hn::Set(du, Word{half * lanes})));
    return hn::IfThenElse(upper, look_up<half>(d, table + half, index),
                          look_up<half>(d, table, index));
  }
#endif
}

/// Sums the sorted products that repeat a place onto those before: the last of a place has its sum.
template <class Key, class S>
HWY_INLINE void sum_group(const Key* HWY_RESTRICT keys, std::int64_t count, Bits repeats,
                          GroupProducts<Key, S>& buffer) {
  constexpr Key position_mask = (1 << KeyLayout::position_bits) - 1;
  if constexpr (is_complex<S>) {
    for (std::int64_t s = 0; s < count; ++s) {
      const Key position = keys[s] & position_mask;
      const S sum = repeats >> s & 1 ? buffer.sums[s - 1] : untouched<S>;
      buffer.sums[s] = add_product<S>(buffer.left[position], buffer.right[position], sum);
    }
  } else {
    using Tags = Together<Key, S>;
    const typename Tags::template Tag<Key> dk;
    const typename Tags::template Tag<S> ds;
    const typename Tags::template Tag<hwy::UnsignedFromSize<sizeof(S)>> du;
    const typename Tags::template Tag<hwy::SignedFromSize<sizeof(S)>> di;
    const auto multiply = [&](std::int64_t at) HWY_ATTR {
      return hn::Mul(hn::Load(ds, buffer.left + at), hn::Load(ds, buffer.right + at));
    };
    const auto position_of = [&](std::int64_t at) HWY_ATTR {
      return resize_lanes(du, hn::And(hn::LoadU(dk, keys + at), hn::Set(dk, position_mask)));
    };
    if constexpr (looks_up<decltype(ds)>) {
      const auto look_up_all = [&](auto size) HWY_ATTR {
        constexpr int vectors = size / Tags::lanes;
        hn::Vec<decltype(ds)> products[vectors];
        for (int v = 0; v < vectors; ++v) products[v] = multiply(v * Tags::lanes);
        for (std::int64_t at = 0; at < count; at += Tags::lanes) {
          hn::StoreU(look_up<vectors>(ds, products, position_of(at)), ds, buffer.sums + at);
        }
      };
      if (count <= 32)
        look_up_all(std::integral_constant<int, 32>{});
      else if (count <= 64)
        look_up_all(std::integral_constant<int, 64>{});
      else
        look_up_all(std::integral_constant<int, 128>{});
    } else {
      for (std::int64_t at = 0; at < count; at += Tags::lanes) {
        hn::StoreU(multiply(at), ds, buffer.products + at);
      }
      for (std::int64_t at = 0; at < count; at += Tags::lanes) {
        const auto index = hn::BitCast(di, position_of(at));
        hn::StoreU(hn::GatherIndex(ds, buffer.products, index), ds, buffer.sums + at);
      }
    }
    for (const std::int64_t half : {0, 64}) {
      std::uint64_t bits = static_cast<std::uint64_t>(repeats >> half);
      for (; bits != 0; bits &= bits - 1) {
        const auto s = half + static_cast<std::int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(bits));
        const Key position = keys[s] & position_mask;
        buffer.sums[s] =
            add_product<S>(buffer.left[position], buffer.right[position], buffer.sums[s - 1]);
      }
    }
  }
}

/// Writes those of `count` elements one after the other whose bit is set; read(d, at) gives
/// those from `at` on.
template <class Key, class Element, class Read>
HWY_INLINE void take_lanes(std::int64_t count, Bits chosen, Element* HWY_RESTRICT to, Read&& read) {
  using Tags = Together<Key, Element>;
  const typename Tags::template Tag<Element> d;
  for (std::int64_t at = 0; at < count; at += Tags::lanes) {
    const std::uint64_t bits = static_cast<std::uint64_t>(chosen >> at & low_bits(Tags::lanes));
    std::uint8_t mask[8];
    std::memcpy(mask, &bits, sizeof(bits));
    hn::StoreU(compress(read(d, at), hn::LoadMaskBits(d, mask)), d, to);
    to += hwy::PopCount(bits);
  }
}

/// The sorted columns and sums of a group's rows; their `counts` become those of positions, unless
/// null.
template <class Key, class T, class I>
HWY_INLINE void fill_group(const Typed<T, I>& op, const RowGroup& group, const KeyLayout& layout,
                           I* HWY_RESTRICT columns, Sum<T>* HWY_RESTRICT values,
                           std::int64_t* HWY_RESTRICT counts, GroupProducts<Key, Sum<T>>& buffer) {
  const std::int64_t count = group.products;
  expand_group(op, group, layout, buffer);
  Key* const keys = buffer.keys();
  sort_network(keys, count);
  const Bits repeats = find_repeats(keys, count);
  if (counts != nullptr) subtract_repeats(repeats, group.end - group.begin, counts);
  const Bits last = ~(repeats >> 1) & low_bits(count);
  const Key column_mask = (Key{1} << layout.column_bits) - 1;
  take_lanes<Key>(count, last, columns, [&](auto d, std::int64_t at) HWY_ATTR {
    const hn::Rebind<Key, decltype(d)> dk;
    const hn::Rebind<std::make_unsigned_t<I>, decltype(d)> du;
    const auto places = hn::ShiftRight<KeyLayout::position_bits>(hn::LoadU(dk, keys + at));
    return hn::BitCast(d, resize_lanes(du, hn::And(places, hn::Set(dk, column_mask))));
  });
  if constexpr (has_values<T>) {
    sum_group(keys, count, repeats, buffer);
    if constexpr (is_complex<Sum<T>>) {
      for (std::int64_t s = 0; s < count; ++s) {
        *values = buffer.sums[s];
        values += last >> s & 1;
      }
    } else {
      take_lanes<Key>(count, last, values, [&](auto d, std::int64_t at) HWY_ATTR {
        return hn::LoadU(d, buffer.sums + at);
      });
    }
  }
}

/// Splits rows into groups and others, and computes the groups.
template <class T, class I>
class RowGroups {
 public:
  RowGroups(const Typed<T, I>& op, std::int64_t columns)
      : op_(op),
        narrow_(KeyLayout::of<std::uint32_t>(columns)),
        wide_(KeyLayout::of<std::uint64_t>(columns)),
        is_narrow_(narrow_.rows >= narrow_rows),
        repeats_(op_) {}

  /// Calls on_group(RowGroup), on_repeat(i, Repeat) and on_row(i) for all of the rows begin..end
  /// that have products, in order; on_repeat returns whether it pays to go on like that.
  template <class OnGroup, class OnRepeat, class OnRow>
  HWY_INLINE void split(std::int64_t begin, std::int64_t end, const std::int64_t* products,
                        OnGroup&& on_group, OnRepeat&& on_repeat, OnRow&& on_row) {
    const std::int64_t most_rows = is_narrow_ ? narrow_.rows : wide_.rows;
    RowGroup group{begin, begin, 0};
    const auto next_group = [&](std::int64_t first) HWY_ATTR {
      if (group.products > 0) on_group(group);
      group = {first, first, 0};
    };
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t count = products[i - begin];
      const std::int64_t entries = op_.a_indptr[i + 1] - op_.a_indptr[i];
      const Repeat repeat = repeats_.find(i, count);
      if (repeat.row >= 0) {
        next_group(i + 1);
        if (!on_repeat(i, repeat)) repeats_.skip();
        continue;
      }
      if (count > group_products || entries > group_entries || most_rows == 0 ||
          (count > tuning::spgemm_short_row && !is_scattered(i, entries))) {
        next_group(i + 1);
        if (count > 0) on_row(i);
        continue;
      }
      if (group.products + count > joint_products || i - group.begin >= most_rows ||
          op_.a_indptr[i + 1] - op_.a_indptr[group.begin] > group_entries) {
        next_group(i);
      }
      group.end = i + 1;
      group.products += count;
    }
    next_group(end);
  }

  /// Whether the repeat is the first of its shape.
  bool first_time(const Repeat& repeat) { return repeats_.first_time(repeat); }

  /// Replaces the products of the group's rows by their positions in C.
  HWY_INLINE void count(const RowGroup& group, std::int64_t* counts) {
    is_narrow_ ? count_group(op_, group, narrow_, counts, narrow_products_)
               : count_group(op_, group, wide_, counts, wide_products_);
  }

  /// Writes the columns and, if there are any, the values of the group's rows, with padding.
  /// Replaces the products of its rows by their positions in C, unless `counts` is null.
  HWY_INLINE void fill(const RowGroup& group, I* columns, Sum<T>* values, std::int64_t* counts) {
    is_narrow_ ? fill_group(op_, group, narrow_, columns, values, counts, narrow_products_)
               : fill_group(op_, group, wide_, columns, values, counts, wide_products_);
  }

 private:
  /// Whether the products of a row that is not very short are so far apart that a window would not
  /// serve. Looked up for few rows: most are like those before.
  HWY_INLINE bool is_scattered(std::int64_t i, std::int64_t entries) {
    if (op_.canonical && entries == 1) return false;
    if (rows_to_skip_-- == 0) {
      rows_to_skip_ = tuning::spgemm_rows_alike;
      const RowWork work = survey(op_, i);
      scattered_ = work.width() / tuning::spgemm_scattered_columns_per_product >= work.products;
    }
    return scattered_;
  }

  static constexpr std::int64_t narrow_rows = 16;  // below, wide keys sort faster in larger groups

  const Typed<T, I>& op_;
  KeyLayout narrow_, wide_;
  bool is_narrow_, scattered_ = false;
  std::int64_t rows_to_skip_ = 0;
  RowRepeats<T, I> repeats_;
  GroupProducts<std::uint32_t, Sum<T>> narrow_products_;
  GroupProducts<std::uint64_t, Sum<T>> wide_products_;
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
