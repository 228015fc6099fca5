// SPDX-License-Identifier: Apache-2.0
// Row by row (Gustavson): row i of C is the sum of B's rows k, each scaled by A[i, k].
//
// Three ways to sum and order a row, by its number of products and the span of its columns:
// - copy:   one row of B, scaled;
// - window: sums and one mark a column over the span, marks walked in order;
// - sort:   products sorted by column, equal columns summed.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/spgemm/spgemm_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "ops/spgemm/scratch.hpp"
#include "ops/spgemm/spgemm.hpp"
#include "ops/spgemm/spgemm_tuning.hpp"

#ifndef GOSSAMER_SPGEMM_OPERANDS
#define GOSSAMER_SPGEMM_OPERANDS
namespace gossamer {

/// Operands with B's rows known to be strictly increasing (`canonical`) or not.
struct SpgemmOperands {
  CsrView a, b;
  bool canonical;
};

}  // namespace gossamer
#endif

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// The value type of a product of patterns.
struct NoValue {};
template <class T>
inline constexpr bool has_values = !std::is_same_v<T, NoValue>;

template <class T>
struct SumOf {
  using type = Accumulator<T>;
};
template <>
struct SumOf<NoValue> {
  using type = float;
};
template <class T>
using Sum = typename SumOf<T>::type;

/// The operands with their types.
template <class T, class I>
struct Typed {
  /// Of values, the pattern.
  template <class U>
  explicit Typed(const Typed<U, I>& other)
      : a_indptr(other.a_indptr),
        a_indices(other.a_indices),
        a_values(nullptr),
        b_indptr(other.b_indptr),
        b_indices(other.b_indices),
        b_values(nullptr),
        canonical(other.canonical) {}

  explicit Typed(const SpgemmOperands& op)
      : a_indptr(static_cast<const I*>(op.a.pattern.indptr)),
        a_indices(static_cast<const I*>(op.a.pattern.indices)),
        a_values(static_cast<const T*>(op.a.values)),
        b_indptr(static_cast<const I*>(op.b.pattern.indptr)),
        b_indices(static_cast<const I*>(op.b.pattern.indices)),
        b_values(static_cast<const T*>(op.b.values)),
        canonical(op.canonical) {}

  const I* HWY_RESTRICT a_indptr;
  const I* HWY_RESTRICT a_indices;
  const T* HWY_RESTRICT a_values;
  const I* HWY_RESTRICT b_indptr;
  const I* HWY_RESTRICT b_indices;
  const T* HWY_RESTRICT b_values;
  bool canonical;
};

// ---- Choice -------------------------------------------------------------------------------------

/// What the choice rests on: a row's products, their span of columns, and how many rows of B they
/// fill.
struct RowWork {
  std::int64_t products = 0;
  std::int64_t low = INT64_MAX, high = -1;
  std::int64_t operand_rows = 0;
  std::int64_t last_entry = -1;  ///< position in A of the last of these rows

  std::int64_t width() const { return high - low + 1; }
};

template <class T, class I>
HWY_INLINE RowWork survey(const Typed<T, I>& op, std::int64_t i) {
  RowWork work;
  for (std::int64_t p = op.a_indptr[i]; p < static_cast<std::int64_t>(op.a_indptr[i + 1]); ++p) {
    const std::int64_t k = op.a_indices[p];
    const std::int64_t begin = op.b_indptr[k], end = op.b_indptr[k + 1];
    if (begin == end) continue;
    work.products += end - begin;
    work.last_entry = p;
    ++work.operand_rows;
    if (op.canonical) {
      work.low = std::min<std::int64_t>(work.low, op.b_indices[begin]);
      work.high = std::max<std::int64_t>(work.high, op.b_indices[end - 1]);
    } else {
      for (std::int64_t q = begin; q < end; ++q) {
        work.low = std::min<std::int64_t>(work.low, op.b_indices[q]);
        work.high = std::max<std::int64_t>(work.high, op.b_indices[q]);
      }
    }
  }
  return work;
}

enum class Method { copy, window, sort };

HWY_INLINE Method choose(const RowWork& work, bool canonical) {
  if (canonical && work.operand_rows == 1) return Method::copy;
  const bool narrow = work.width() <= tuning::spgemm_window_columns ||
                      work.width() / tuning::spgemm_window_columns_per_product <= work.products;
  return narrow && work.products > tuning::spgemm_short_row ? Method::window : Method::sort;
}

// ---- Window -------------------------------------------------------------------------------------

/// How the columns of a window that a row reaches are remembered.
enum class Marks {
  none,    ///< all are reached
  blocks,  ///< a byte for each 8 columns, beside the sums
  bytes,   ///< a byte a column: marking only stores
  bits,    ///< a bit a column: less to walk in a wide window
};

constexpr std::int64_t columns_per_byte(Marks kind) { return kind == Marks::bytes ? 1 : 8; }

/// Bytes of marks, walked 64 at a time.
constexpr std::int64_t mark_bytes(Marks kind, std::int64_t width) {
  return (width / (64 * columns_per_byte(kind)) + 1) * 64;
}

/// What a sum is before the first product: adding to it changes nothing. Only products that are all
/// -0 sum to it.
template <class S>
constexpr S untouched = S(-0.0);
template <class R>
constexpr std::complex<R> untouched<std::complex<R>> = std::complex<R>(R(-0.0), R(-0.0));

template <class S>
HWY_INLINE bool is_untouched(const S& sum) {
  return std::memcmp(&sum, &untouched<S>, sizeof(S)) == 0;
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
  } else if constexpr (Kind != Marks::none) {
    constexpr std::uint64_t columns = columns_per_byte(Kind);
    for (std::uint64_t byte = first / columns; byte <= last / columns; ++byte) marks[byte] = 1;
  }
}

template <Marks Kind>
HWY_INLINE void mark(std::uint8_t* HWY_RESTRICT marks, std::uint64_t column) {
  if constexpr (Kind == Marks::bits) {
    marks[column / 8] |= static_cast<std::uint8_t>(1u << (column % 8));
  } else if constexpr (Kind != Marks::none) {
    marks[column / static_cast<std::uint64_t>(columns_per_byte(Kind))] = 1;
  }
}

/// Adds row i to the window. Without values a sum is 1 where a product falls; without sums only
/// marks are set.
template <Marks Kind, bool Sums, class T, class I>
HWY_INLINE void add_to_window(const Typed<T, I>& op, std::int64_t i, std::int64_t low,
                              Sum<T>* HWY_RESTRICT sums, std::uint8_t* HWY_RESTRICT marks) {
  for (std::int64_t p = op.a_indptr[i]; p < static_cast<std::int64_t>(op.a_indptr[i + 1]); ++p) {
    const std::int64_t k = op.a_indices[p];
    const std::int64_t begin = op.b_indptr[k];
    const std::int64_t length = op.b_indptr[k + 1] - begin;
    if (length == 0) continue;
    const I* HWY_RESTRICT columns = op.b_indices + begin;
    const T* HWY_RESTRICT values = op.b_values + (has_values<T> ? begin : 0);
    Sum<T> scale{1};
    if constexpr (has_values<T>) scale = widen(op.a_values[p]);
    const auto add = [&](Sum<T>& sum, std::int64_t q) HWY_ATTR {
      if constexpr (has_values<T>) {
        sum = multiply_add<Sum<T>>(scale, widen(values[q]), sum);
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
      continue;
    }
    for (std::int64_t q = 0; q < length; ++q) {
      const auto column = static_cast<std::uint64_t>(columns[q] - low);
      mark<Kind>(marks, column);
      if constexpr (Sums) add(sums[column], q);
    }
  }
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

#if HWY_TARGET <= HWY_AVX3
template <class S>
inline constexpr bool compresses = sizeof(S) <= 8;

/// Highway's Compress of 64-bit lanes copies a table at every call (1.0.3, GCC 12).
template <class V, class M>
HWY_INLINE V compress(V v, M mask) {
  if constexpr (sizeof(hn::TFromV<V>) == 8) {
    return V{_mm512_maskz_compress_epi64(mask.raw, v.raw)};
  } else {
    return hn::Compress(v, mask);
  }
}
#else
template <class S>
inline constexpr bool compresses = false;
#endif

/// Appends the columns and sums of a block of 8 that were touched, and restores it. Returns how
/// many. May write up to 8 elements beyond them.
template <class S, class I>
HWY_INLINE std::int64_t take_block(S* HWY_RESTRICT sums, I first, I* HWY_RESTRICT columns,
                                   S* HWY_RESTRICT values) {
  if constexpr (compresses<S>) {
    using Word = hwy::UnsignedFromSize<sizeof(S)>;
    const hn::CappedTag<Word, 8> dw;
    const hn::CappedTag<I, 8> di;
    Word* const words = reinterpret_cast<Word*>(sums);
    Word pattern;
    std::memcpy(&pattern, &untouched<S>, sizeof(S));
    const auto none = hn::Set(dw, pattern);
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

/// Appends all columns and sums of the window that were touched, in order, and restores it. Returns
/// how many.
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

// ---- Sort ---------------------------------------------------------------------------------------

/// A product's column and position among the products of its row; the order of keys is that of
/// columns, then positions.
struct WideKey {
  std::int64_t column, position;
  bool operator<(const WideKey& other) const {
    return column < other.column || (column == other.column && position < other.position);
  }
};
HWY_INLINE std::int64_t column_of(const WideKey& key) { return key.column; }
HWY_INLINE std::int64_t position_of(const WideKey& key) { return key.position; }
HWY_INLINE WideKey make_key(WideKey, std::int64_t column, std::int64_t position) {
  return {column, position};
}

/// The same in one word, the position in its lower bits.
template <class Word, int PositionBits>
struct PackedKey {
  static constexpr int position_bits = PositionBits;
  static bool fits(const RowWork& work) {
    return work.products <= std::int64_t{1} << PositionBits &&
           work.width() <= std::int64_t{1} << (8 * sizeof(Word) - 1 - PositionBits);
  }
  Word word;
};
using ShortKey = PackedKey<std::int32_t, 6>;
using LongKey = PackedKey<std::int64_t, 32>;

template <class Word, int Bits>
HWY_INLINE std::int64_t column_of(PackedKey<Word, Bits> key) {
  return key.word >> Bits;
}
template <class Word, int Bits>
HWY_INLINE std::int64_t position_of(PackedKey<Word, Bits> key) {
  return key.word & ((Word{1} << Bits) - 1);
}
template <class Word, int Bits>
HWY_INLINE PackedKey<Word, Bits> make_key(PackedKey<Word, Bits>, std::int64_t column,
                                          std::int64_t position) {
  return {static_cast<Word>(column << Bits | position)};
}

/// The keys of row i in order of position, and its products.
template <class K, class T, class I>
HWY_INLINE void expand(const Typed<T, I>& op, std::int64_t i, std::int64_t low,
                       K* HWY_RESTRICT keys, Sum<T>* HWY_RESTRICT products) {
  std::int64_t n = 0;
  for (std::int64_t p = op.a_indptr[i]; p < static_cast<std::int64_t>(op.a_indptr[i + 1]); ++p) {
    const std::int64_t k = op.a_indices[p];
    const std::int64_t end = op.b_indptr[k + 1];
    for (std::int64_t q = op.b_indptr[k]; q < end; ++q, ++n) {
      keys[n] = make_key(K{}, op.b_indices[q] - low, n);
      if constexpr (has_values<T>) {
        products[n] = multiply_add<Sum<T>>(widen(op.a_values[p]), widen(op.b_values[q]), Sum<T>{});
      }
    }
  }
}

/// Puts each key where the count of smaller keys says. Reads up to a vector beyond the last key.
template <class Word>
HWY_INLINE void rank_sort(const Word* HWY_RESTRICT keys, std::int64_t n,
                          Word* HWY_RESTRICT sorted) {
  const hn::ScalableTag<Word> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  HWY_ALIGN Word ranks[lanes];
  for (std::int64_t at = 0; at < n; at += lanes) {
    const auto key = hn::LoadU(d, keys + at);
    auto rank = hn::Zero(d);
    for (std::int64_t j = 0; j < n; ++j) {
      rank = hn::Sub(rank, hn::VecFromMask(d, hn::Lt(hn::Set(d, keys[j]), key)));
    }
    hn::Store(rank, d, ranks);
    const std::int64_t count = std::min(lanes, n - at);
    for (std::int64_t lane = 0; lane < count; ++lane) sorted[ranks[lane]] = keys[at + lane];
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

HWY_INLINE ShortKey* sort_keys(ShortKey* keys, std::int64_t n, std::int64_t, ShortKey* other) {
  rank_sort(&keys->word, n, &other->word);
  return other;
}

HWY_INLINE LongKey* sort_keys(LongKey* keys, std::int64_t n, std::int64_t width, LongKey* other) {
  if (n > tuning::spgemm_rank_sort) {
    return reinterpret_cast<LongKey*>(radix_sort(&keys->word, n, width, &other->word));
  }
  rank_sort(&keys->word, n, &other->word);
  return other;
}

HWY_INLINE WideKey* sort_keys(WideKey* keys, std::int64_t n, std::int64_t, WideKey*) {
  std::sort(keys, keys + n);
  return keys;
}

/// The sorted keys of row i; its products into the scratch.
template <class K, class T, class I>
HWY_INLINE const K* sorted_products(const Typed<T, I>& op, std::int64_t i, const RowWork& work,
                                    SpgemmScratch& scratch) {
  constexpr std::int64_t vector = 16;  // rank_sort reads whole vectors
  K* const keys = scratch.keys.reserve<K>(work.products + vector);
  expand(op, i, work.low, keys, scratch.products.reserve<Sum<T>>(work.products));
  return sort_keys(keys, work.products, work.width(),
                   scratch.sorted_keys.reserve<K>(work.products));
}

/// Calls body(K{}) with the smallest kind of key that the row fits.
template <class Body>
HWY_INLINE void with_key(const RowWork& work, Body&& body) {
  if (ShortKey::fits(work)) return body(ShortKey{});
  if (LongKey::fits(work)) return body(LongKey{});
  body(WideKey{});
}

// ---- First phase --------------------------------------------------------------------------------

template <class K, class I>
HWY_INLINE std::int64_t count_sorted(const Typed<NoValue, I>& op, std::int64_t i,
                                     const RowWork& work, SpgemmScratch& scratch) {
  const K* keys = sorted_products<K>(op, i, work, scratch);
  std::int64_t count = 1;
  for (std::int64_t n = 1; n < work.products; ++n) {
    count += column_of(keys[n]) != column_of(keys[n - 1]);
  }
  return count;
}

template <Marks Kind, class I>
HWY_INLINE std::int64_t count_window(const Typed<NoValue, I>& op, std::int64_t i,
                                     const RowWork& work, SpgemmScratch& scratch) {
  const std::int64_t bytes = mark_bytes(Kind, work.width());
  std::uint8_t* const marks = scratch.marks.reserve<std::uint8_t>(bytes, 0);
  add_to_window<Kind, false>(op, i, work.low, static_cast<float*>(nullptr), marks);
  return count_marks(marks, bytes);
}

template <class I>
HWY_INLINE std::int64_t count_row(const Typed<NoValue, I>& op, std::int64_t i,
                                  SpgemmScratch& scratch) {
  const RowWork work = survey(op, i);
  if (work.products == 0) return 0;
  switch (choose(work, op.canonical)) {
    case Method::copy:
      return work.products;
    case Method::window:
      return work.width() / tuning::spgemm_byte_columns_per_product <= work.products
                 ? count_window<Marks::bytes>(op, i, work, scratch)
                 : count_window<Marks::bits>(op, i, work, scratch);
    case Method::sort:
      break;
  }
  std::int64_t count = 0;
  with_key(work,
           [&](auto key) HWY_ATTR { count = count_sorted<decltype(key)>(op, i, work, scratch); });
  return count;
}

/// counts[i] = positions in row i of C.
void CountRows(const SpgemmOperands& operands, std::int64_t begin, std::int64_t end,
               std::int64_t* counts, SpgemmScratch& scratch) {
  visit_index(operands.a.pattern.index_dtype, "A", [&](auto index) HWY_ATTR {
    const Typed<NoValue, typename decltype(index)::type> op(operands);
    for (std::int64_t i = begin; i < end; ++i) counts[i] = count_row(op, i, scratch);
  });
}

// ---- Second phase -------------------------------------------------------------------------------

template <class I>
HWY_INLINE void write_columns(const I* HWY_RESTRICT columns, std::int64_t count,
                              const SpgemmResult& c, std::int64_t at) {
  if (c.index_dtype == DType::int32) {
    std::copy_n(columns, count, static_cast<std::int32_t*>(c.indices) + at);
  } else {
    std::copy_n(columns, count, static_cast<std::int64_t*>(c.indices) + at);
  }
}

template <class T, class I>
HWY_INLINE void fill_copy(const Typed<T, I>& op, std::int64_t p, const SpgemmResult& c,
                          std::int64_t at) {
  const std::int64_t k = op.a_indices[p];
  const std::int64_t begin = op.b_indptr[k], count = op.b_indptr[k + 1] - begin;
  write_columns(op.b_indices + begin, count, c, at);
  if constexpr (has_values<T>) {
    T* HWY_RESTRICT values = static_cast<T*>(c.values) + at;
    const Sum<T> scale = widen(op.a_values[p]);
    for (std::int64_t q = 0; q < count; ++q) {
      values[q] = narrow<T>(multiply_add<Sum<T>>(scale, widen(op.b_values[begin + q]), Sum<T>{}));
    }
  }
}

template <class T>
HWY_INLINE void write_values(const Sum<T>* HWY_RESTRICT sums, std::int64_t count,
                             const SpgemmResult& c, std::int64_t at) {
  if constexpr (has_values<T>) {
    T* HWY_RESTRICT values = static_cast<T*>(c.values) + at;
    for (std::int64_t n = 0; n < count; ++n) values[n] = narrow<T>(sums[n]);
  }
}

/// The columns of row i found by ones in place of its products.
template <class T, class I>
void find_columns(const Typed<T, I>& op, std::int64_t i, const RowWork& work, I* columns,
                  SpgemmScratch& scratch) {
  Typed<NoValue, I> pattern(op);
  constexpr std::int64_t vector = 8;  // take_block works on whole vectors
  float* const ones = scratch.ones.reserve<float>(work.width() + vector, untouched<float>);
  std::uint8_t* const marks = scratch.marks.reserve<std::uint8_t>(0, 0);
  std::vector<float> values(static_cast<std::size_t>(work.width() + 2 * vector));
  add_to_window<Marks::blocks, true>(pattern, i, work.low, ones, marks);
  take_window(work.width(), work.low, ones, marks, columns, values.data());
}

template <class T, class I>
HWY_INLINE void fill_window(const Typed<T, I>& op, std::int64_t i, const RowWork& work,
                            std::int64_t count, const SpgemmResult& c, std::int64_t at,
                            SpgemmScratch& scratch) {
  constexpr std::int64_t vector = 8;  // take_block works on whole vectors
  const std::int64_t width = work.width(), low = work.low;
  ScratchMemory& window = has_values<T> ? scratch.sums : scratch.ones;
  Sum<T>* const sums = window.reserve<Sum<T>>(width + vector, untouched<Sum<T>>);
  std::uint8_t* const marks =
      scratch.marks.reserve<std::uint8_t>(mark_bytes(Marks::blocks, width), 0);
  I* const columns = scratch.columns.reserve<I>(count + 2 * vector);
  if (count == width) {
    add_to_window<Marks::none, true>(op, i, low, sums, marks);
    for (std::int64_t n = 0; n < count; ++n) columns[n] = static_cast<I>(low + n);
    write_values<T>(sums, count, c, at);
    std::fill_n(sums, count, untouched<Sum<T>>);
  } else {
    Sum<T>* const values = scratch.values.reserve<Sum<T>>(count + 2 * vector);
    add_to_window<Marks::blocks, true>(op, i, low, sums, marks);
    if (take_window(width, low, sums, marks, columns, values) != count) {
      // An element that sums to -0 looks untouched.
      find_columns(op, i, work, columns, scratch);
      add_to_window<Marks::none, true>(op, i, low, sums, marks);
      for (std::int64_t n = 0; n < count; ++n) {
        values[n] = std::exchange(sums[columns[n] - low], untouched<Sum<T>>);
      }
    }
    write_values<T>(values, count, c, at);
  }
  write_columns(columns, count, c, at);
}

template <class K, class T, class I>
HWY_INLINE void fill_sorted(const Typed<T, I>& op, std::int64_t i, const RowWork& work,
                            std::int64_t count, const SpgemmResult& c, std::int64_t at,
                            SpgemmScratch& scratch) {
  const K* HWY_RESTRICT keys = sorted_products<K>(op, i, work, scratch);
  const Sum<T>* HWY_RESTRICT products = scratch.products.reserve<Sum<T>>(work.products);
  I* HWY_RESTRICT columns = scratch.columns.reserve<I>(count);
  std::int64_t last = 0;
  Sum<T> sum{};
  for (std::int64_t n = 0; n < work.products; ++n) {
    const bool same = n > 0 && column_of(keys[n]) == column_of(keys[n - 1]);
    if (n > 0 && !same) ++last;
    columns[last] = static_cast<I>(work.low + column_of(keys[n]));
    if constexpr (has_values<T>) {
      sum = (same ? sum : Sum<T>{}) + products[position_of(keys[n])];
      static_cast<T*>(c.values)[at + last] = narrow<T>(sum);
    }
  }
  write_columns(columns, count, c, at);
}

template <class T, class I>
void fill_rows(const SpgemmOperands& operands, std::int64_t begin, std::int64_t end,
               const SpgemmResult& c, SpgemmScratch& scratch) {
  const Typed<T, I> op(operands);
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t at = c.indptr[i], count = c.indptr[i + 1] - at;
    if (count == 0) continue;
    const RowWork work = survey(op, i);
    switch (choose(work, op.canonical)) {
      case Method::copy:
        fill_copy(op, work.last_entry, c, at);
        break;
      case Method::window:
        fill_window(op, i, work, count, c, at, scratch);
        break;
      case Method::sort:
        with_key(work, [&](auto key) HWY_ATTR {
          fill_sorted<decltype(key)>(op, i, work, count, c, at, scratch);
        });
        break;
    }
  }
}

void FillRows(const SpgemmOperands& op, std::int64_t begin, std::int64_t end, const SpgemmResult& c,
              SpgemmScratch& scratch) {
  visit_index(op.a.pattern.index_dtype, "A", [&](auto index) {
    using I = typename decltype(index)::type;
    if (c.values == nullptr) return fill_rows<NoValue, I>(op, begin, end, c, scratch);
    visit_value(op.a.dtype, "A", [&](auto value) {
      fill_rows<typename decltype(value)::type, I>(op, begin, end, c, scratch);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {
namespace {

/// Whether each row's columns increase strictly.
template <class I>
bool is_canonical(const CsrPattern& pattern) {
  const I* indptr = static_cast<const I*>(pattern.indptr);
  const I* indices = static_cast<const I*>(pattern.indices);
  std::atomic<bool> canonical{true};
  parallel_for(num_threads(), [&](std::int64_t piece) {
    const std::int64_t begin = balanced_row(indptr, pattern.rows, piece, num_threads());
    const std::int64_t end = balanced_row(indptr, pattern.rows, piece + 1, num_threads());
    // Descents anywhere against descents from one row to the next: the long loop has no branch.
    std::int64_t descents = 0, between_rows = 0;
    for (std::int64_t p = indptr[begin]; p + 1 < indptr[end]; ++p) {
      descents += indices[p] >= indices[p + 1];
    }
    for (std::int64_t i = begin + 1; i < end; ++i) {
      const std::int64_t p = indptr[i];
      if (p > indptr[i - 1] && p < indptr[end]) between_rows += indices[p - 1] >= indices[p];
    }
    if (descents != between_rows) canonical = false;
  });
  return canonical;
}

/// Runs body(piece, scratch) for all pieces; a thread keeps its scratch from piece to piece.
template <class Body>
void for_each_piece(std::int64_t pieces, Body&& body) {
  std::atomic<std::int64_t> next{0};
  parallel_for(std::min<std::int64_t>(num_threads(), pieces), [&](std::int64_t) {
    SpgemmScratch scratch;
    for (std::int64_t piece; (piece = next.fetch_add(1)) < pieces;) body(piece, scratch);
  });
}

std::int64_t pieces_of(std::int64_t work, std::int64_t rows) {
  if (num_threads() == 1 || work < tuning::spgemm_serial_work) return 1;
  return std::min(rows, num_threads() * tuning::spgemm_pieces_per_thread);
}

/// indptr[i + 1] becomes the sum of the elements up to it.
void prefix_sum(std::int64_t* indptr, std::int64_t rows) {
  indptr[0] = 0;
  for (std::int64_t i = 0; i < rows; ++i) indptr[i + 1] += indptr[i];
}

/// indptr[i + 1] = products of row i.
template <class I>
void count_products(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr) {
  const I* a_indptr = static_cast<const I*>(a.indptr);
  const I* a_indices = static_cast<const I*>(a.indices);
  const I* b_indptr = static_cast<const I*>(b.indptr);
  const std::int64_t pieces = pieces_of(a.nnz + a.rows, a.rows);
  parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t end = balanced_row(a_indptr, a.rows, piece + 1, pieces);
    for (std::int64_t i = balanced_row(a_indptr, a.rows, piece, pieces); i < end; ++i) {
      std::int64_t products = 0;
      for (std::int64_t p = a_indptr[i]; p < static_cast<std::int64_t>(a_indptr[i + 1]); ++p) {
        const I k = a_indices[p];
        products += b_indptr[k + 1] - b_indptr[k];
      }
      indptr[i + 1] = products;
    }
  });
}

/// Operands, and whether B is canonical if finding out is cheap beside the product.
SpgemmOperands operands_of(const CsrView& a, const CsrView& b, std::int64_t work) {
  const bool canonical =
      b.pattern.nnz <= work && visit_index(b.pattern.index_dtype, "B", [&](auto index) {
        return is_canonical<typename decltype(index)::type>(b.pattern);
      });
  return {a, b, canonical};
}

}  // namespace

std::int64_t spgemm_count_cpu(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr) {
  visit_index(a.index_dtype, "A",
              [&](auto index) { count_products<typename decltype(index)::type>(a, b, indptr); });
  prefix_sum(indptr, a.rows);
  const std::int64_t products = indptr[a.rows];
  if (products == 0) return 0;
  CsrView a_view, b_view;
  a_view.pattern = a;
  b_view.pattern = b;
  const SpgemmOperands op = operands_of(a_view, b_view, products);
  const std::int64_t pieces = pieces_of(products, a.rows);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(pieces) + 1);
  for (std::int64_t piece = 0; piece <= pieces; ++piece) {
    rows[static_cast<std::size_t>(piece)] = balanced_row(indptr, a.rows, piece, pieces);
  }
  const auto count_rows = GOSSAMER_SIMD_FUNCTION(CountRows);
  for_each_piece(pieces, [&](std::int64_t piece, SpgemmScratch& scratch) {
    count_rows(op, rows[static_cast<std::size_t>(piece)], rows[static_cast<std::size_t>(piece) + 1],
               indptr + 1, scratch);
  });
  prefix_sum(indptr, a.rows);
  return indptr[a.rows];
}

void spgemm_fill_cpu(const CsrView& a, const CsrView& b, const SpgemmResult& c) {
  const std::int64_t rows = a.pattern.rows;
  const std::int64_t nnz = c.indptr[rows];
  if (nnz == 0) return;
  const SpgemmOperands op = operands_of(a, b, nnz);
  const std::int64_t pieces = pieces_of(nnz, rows);
  const auto fill_rows = GOSSAMER_SIMD_FUNCTION(FillRows);
  for_each_piece(pieces, [&](std::int64_t piece, SpgemmScratch& scratch) {
    fill_rows(op, balanced_row(c.indptr, rows, piece, pieces),
              balanced_row(c.indptr, rows, piece + 1, pieces), c, scratch);
  });
}

}  // namespace gossamer
#endif  // HWY_ONCE
