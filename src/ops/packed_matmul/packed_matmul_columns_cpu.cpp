// SPDX-License-Identifier: Apache-2.0
// Rows of any packed format times many columns, and its transpose. The rows meet X (or Y) one block
// of columns of P after the other, so that the block's part of X stays in cache; of each row the
// block's slots are decoded to a short list, which is walked slot by slot over vectors of columns
// of X.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_columns_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "formats/bitmap.hpp"
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

/// A cursor on each of some rows, which decodes them piece by piece.
template <class V>
class RowCursors {
 public:
  /// Cursors on rows [begin, end), which take at most `columns` columns at once.
  RowCursors(const PackedView& packed, std::int64_t begin, std::int64_t end, std::int64_t columns)
      : packed_(packed),
        begin_(begin),
        columns_(static_cast<std::size_t>(columns) + 64),
        values_(columns_.size()) {
    for (std::int64_t i = begin; i < end; ++i) cursors_.push_back({row_offset(packed, i), 0});
  }

  /// Slots that were taken, valid until the next are.
  struct Slots {
    std::int64_t count;
    const std::int32_t* columns;
    const float* values;
  };

  /// The slots of the r-th row from where it was left up to column `limit`.
  HWY_INLINE Slots take(std::int64_t r, std::int64_t limit) {
    Cursor& cursor = cursors_[static_cast<std::size_t>(r)];
    std::int64_t count;
    switch (packed_.format) {
      case PackedFormat::bitmap:
        count = take_bits(cursor, begin_ + r, limit);
        break;
      case PackedFormat::gap4:
        count = take_gaps<4>(cursor, row_offset(packed_, begin_ + r + 1), limit);
        break;
      default:
        count = take_gaps<8>(cursor, row_offset(packed_, begin_ + r + 1), limit);
    }
    const V* from = static_cast<const V*>(packed_.values) + cursor.slot;
    cursor.slot += count;
    // Where this row goes on is read after all other rows: no hardware foresees it.
    hwy::Prefetch(from + count);
    hwy::Prefetch(from + count + 64 / sizeof(V));
    if constexpr (std::is_same_v<V, float>) {
      return {count, columns_.data(), from};
    } else {
      std::int64_t k = 0;
      const bool inside = cursor.slot + float_lanes <= packed_.slots;
      for (; k < count && (inside || k + float_lanes <= count); k += float_lanes) {
        hn::StoreU(load_values(from + k), FloatTag(), values_.data() + k);
      }
      for (; k < count; ++k) values_[static_cast<std::size_t>(k)] = widen(from[k]);
      return {count, columns_.data(), values_.data()};
    }
  }

 private:
  struct Cursor {
    std::int64_t slot;
    std::int64_t next;  ///< the first column not taken
  };

  HWY_INLINE std::int64_t take_bits(Cursor& cursor, std::int64_t row, std::int64_t limit) {
    const std::uint8_t* bits = packed_.positions + row * bitmap::row_bytes(packed_.cols);
    std::int32_t* to = columns_.data();
#if HWY_TARGET != HWY_SCALAR
    const hn::ScalableTag<std::int32_t> d;
    auto column = hn::Add(hn::Iota(d, 0), hn::Set(d, static_cast<std::int32_t>(cursor.next)));
    for (std::int64_t j = cursor.next; j < limit; j += float_lanes) {
      const auto set = hn::LoadMaskBits(d, bits + j / 8);
      hn::StoreU(hn::Compress(column, set), d, to);
      to += hn::CountTrue(d, set);
      column = hn::Add(column, hn::Set(d, float_lanes));
    }
#else
    for (std::int64_t j = cursor.next; j < limit; ++j) {
      *to = static_cast<std::int32_t>(j);
      to += (bits[j / 8] >> (j % 8)) & 1;
    }
#endif
    hwy::Prefetch(bits + limit / 8);
    cursor.next = limit;
    return to - columns_.data();
  }

  template <int Bits>
  HWY_INLINE std::int64_t take_gaps(Cursor& cursor, std::int64_t end, std::int64_t limit) {
    const std::uint8_t* gaps = packed_.positions;
    std::int32_t* to = columns_.data();
    std::int64_t slot = cursor.slot, next = cursor.next;
#if HWY_TARGET != HWY_SCALAR
    const std::int64_t safe = std::min(end, packed_.slots - scan_reach<Bits> + 8);
    for (; slot + 8 <= safe; slot += 8, to += 8) {
      std::int64_t advance;
      const __m256i columns = _mm256_add_epi32(scan_8<Bits>(gaps, slot, advance),
                                               _mm256_set1_epi32(static_cast<int>(next)));
      // All eight or none: those before the limit are taken one by one below.
      if (next + advance > limit) break;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), columns);
      next += advance;
    }
#endif
    for (; slot < end; ++slot) {
      const std::int64_t column = next + gap::gap_at<Bits>(gaps, slot);
      if (column >= limit) break;
      *to++ = static_cast<std::int32_t>(column);
      next = column + 1;
    }
    cursor.next = next;
    hwy::Prefetch(gaps + slot * Bits / 8 + 64);
    return to - columns_.data();
  }

  const PackedView& packed_;
  std::int64_t begin_;
  std::vector<std::int32_t> columns_;
  std::vector<float> values_;
  std::vector<Cursor> cursors_;
};

/// Columns of P in a block: as many as keep the block's part of X in the L1 cache, or more where
/// that would leave too few slots of a row.
std::int64_t block_step(const PackedView& packed, std::int64_t width) {
  const double density = static_cast<double>(packed.slots + 1) /
                         (static_cast<double>(packed.rows) * static_cast<double>(packed.cols));
  const auto columns = std::max(tuning::packed_block_floats / width,
                                static_cast<std::int64_t>(tuning::packed_block_slots / density));
  return std::min(packed.cols + 31, columns) / 32 * 32;
}

/// Calls body(k) for k in [0, count), four at a time where it can.
template <class Body>
HWY_INLINE void for_each_slot(std::int64_t count, Body&& body) {
  std::int64_t k = 0;
  for (; k + 4 <= count; k += 4) {
    unroll<4>([&](auto chain) HWY_ATTR { body(k + chain, chain); });
  }
  for (; k < count; ++k) body(k, std::integral_constant<int, 0>());
}

/// sums += the slots times `Vectors` vectors of X's rows.
template <int Vectors, class Slots>
HWY_INLINE void add_slots(const Slots& slots, const float* HWY_RESTRICT x, std::int64_t width,
                          float* HWY_RESTRICT sums) {
  constexpr int chains = Vectors >= 4 ? 1 : Vectors == 2 ? 2 : 4;
  const FloatTag d;
  FloatVec partial[chains][Vectors];
  unroll<Vectors>([&](auto v) HWY_ATTR {
    partial[0][v] = hn::Load(d, sums + v * float_lanes);
    unroll<chains - 1>([&](auto chain) HWY_ATTR { partial[chain + 1][v] = hn::Zero(d); });
  });
  for_each_slot(slots.count, [&](std::int64_t k, auto chain) HWY_ATTR {
    const auto value = hn::Set(d, slots.values[k]);
    const float* HWY_RESTRICT from = x + slots.columns[k] * width;
    unroll<Vectors>([&](auto v) HWY_ATTR {
      auto& sum = partial[chain % chains][v];
      sum = hn::MulAdd(value, hn::Load(d, from + v * float_lanes), sum);
    });
  });
  unroll<Vectors>([&](auto v) HWY_ATTR {
    unroll<chains - 1>([&](auto chain) HWY_ATTR {
      partial[0][v] = hn::Add(partial[0][v], partial[chain + 1][v]);
    });
    hn::Store(partial[0][v], d, sums + v * float_lanes);
  });
}

/// y's rows += the slots times `Vectors` vectors of one row of X.
template <int Vectors, class Slots>
HWY_INLINE void scatter_slots(const Slots& slots, const float* HWY_RESTRICT x, float scale,
                              std::int64_t width, float* HWY_RESTRICT y) {
  const FloatTag d;
  FloatVec factor[Vectors];
  unroll<Vectors>([&](auto v) HWY_ATTR {
    factor[v] = hn::Mul(hn::Load(d, x + v * float_lanes), hn::Set(d, scale));
  });
  for_each_slot(slots.count, [&](std::int64_t k, auto) HWY_ATTR {
    const auto value = hn::Set(d, slots.values[k]);
    float* HWY_RESTRICT to = y + slots.columns[k] * width;
    unroll<Vectors>([&](auto v) HWY_ATTR {
      const auto sum = hn::Load(d, to + v * float_lanes);
      hn::Store(hn::MulAdd(value, factor[v], sum), d, to + v * float_lanes);
    });
  });
}

/// Calls body(std::integral_constant<int, Vectors>, first) for groups of vectors that cover `width`
/// floats.
template <class Body>
HWY_INLINE void for_vector_groups(std::int64_t width, Body&& body) {
  constexpr int widest = HWY_TARGET == HWY_SCALAR ? 16 : 8;
  std::int64_t v = 0;
  const std::int64_t vectors = width / float_lanes;
  for (; v + widest <= vectors; v += widest) {
    body(std::integral_constant<int, widest>(), v * float_lanes);
  }
  if (v + 4 <= vectors) {
    body(std::integral_constant<int, 4>(), v * float_lanes);
    v += 4;
  }
  if (v + 2 <= vectors) {
    body(std::integral_constant<int, 2>(), v * float_lanes);
    v += 2;
  }
  if (v < vectors) body(std::integral_constant<int, 1>(), v * float_lanes);
}

template <class V>
void rows_of(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
             float* sums) {
  const std::int64_t step = block_step(packed, x.width);
  RowCursors<V> cursors(packed, begin, end, step);
  std::fill(sums, sums + (end - begin) * x.width, 0.0f);
  for (std::int64_t j = 0; j < packed.cols; j += step) {
    for (std::int64_t r = 0; r < end - begin; ++r) {
      const auto slots = cursors.take(r, std::min(packed.cols, j + step));
      for_vector_groups(x.width, [&](auto vectors, std::int64_t first) HWY_ATTR {
        add_slots<vectors>(slots, x.data + first, x.width, sums + r * x.width + first);
      });
    }
  }
  for (std::int64_t r = 0; packed.scales != nullptr && r < end - begin; ++r) {
    for (std::int64_t c = 0; c < x.width; ++c) sums[r * x.width + c] *= packed.scales[begin + r];
  }
}

template <class V>
void transposed_of(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                   float* y) {
  const std::int64_t step = block_step(packed, x.width);
  RowCursors<V> cursors(packed, begin, end, step);
  for (std::int64_t j = 0; j < packed.cols; j += step) {
    for (std::int64_t r = 0; r < end - begin; ++r) {
      const auto slots = cursors.take(r, std::min(packed.cols, j + step));
      for_vector_groups(x.width, [&](auto vectors, std::int64_t first) HWY_ATTR {
        scatter_slots<vectors>(slots, x.data + (begin + r) * x.width + first,
                               row_scale(packed, begin + r), x.width, y + first);
      });
    }
  }
}

void ColumnsRows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                 float* sums) {
  visit_packed(packed.dtype, [&](auto tag) {
    rows_of<typename decltype(tag)::type>(packed, x, begin, end, sums);
  });
}

void ColumnsTransposed(const PackedView& packed, const RowsOfX& x, std::int64_t begin,
                       std::int64_t end, float* y) {
  visit_packed(packed.dtype, [&](auto tag) {
    transposed_of<typename decltype(tag)::type>(packed, x, begin, end, y);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void columns_rows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                  float* sums) {
  GOSSAMER_SIMD_FUNCTION(ColumnsRows)(packed, x, begin, end, sums);
}

void columns_transposed(const PackedView& packed, const RowsOfX& x, std::int64_t begin,
                        std::int64_t end, float* y) {
  GOSSAMER_SIMD_FUNCTION(ColumnsTransposed)(packed, x, begin, end, y);
}

}  // namespace gossamer
#endif  // HWY_ONCE
