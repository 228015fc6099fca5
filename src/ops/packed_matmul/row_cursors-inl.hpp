// SPDX-License-Identifier: Apache-2.0
// Cursors on the rows of a packed matrix, which decode them piece by piece. Included once for each
// target, from within a kernel file.
#if defined(GOSSAMER_PACKED_ROW_CURSORS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_PACKED_ROW_CURSORS_INL_HPP
#undef GOSSAMER_PACKED_ROW_CURSORS_INL_HPP
#else
#define GOSSAMER_PACKED_ROW_CURSORS_INL_HPP
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "formats/bitmap.hpp"
#include "formats/gap.hpp"
#include "formats/packed.hpp"
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

  /// Passes over the r-th row, not begun before, up to a column that is a multiple of 64.
  void skip(std::int64_t r, std::int64_t column) {
    if (packed_.format != PackedFormat::bitmap) {
      const auto most = static_cast<std::int64_t>(columns_.size()) - 64;
      for (std::int64_t j = 0; j < column; j += most) take(r, std::min(column, j + most));
      return;
    }
    Cursor& cursor = cursors_[static_cast<std::size_t>(r)];
    const std::uint8_t* bits = this->bits(r, 0);
    for (std::int64_t j = 0; j < column; j += 64) {
      std::uint64_t mask;
      std::memcpy(&mask, bits + j / 8, 8);
      cursor.slot += std::popcount(mask);
    }
    cursor.next = column;
  }

  /// Writes columns [first, limit) of the r-th row, left at `first` before, zeros included and not
  /// scaled. Up to 15 elements beyond are written too.
  HWY_INLINE void expand_row(std::int64_t r, std::int64_t first, std::int64_t limit,
                             float* HWY_RESTRICT elements) {
#if HWY_TARGET != HWY_SCALAR
    if (reads_whole(r, float_lanes)) {
      const std::uint8_t* bits = this->bits(r, first);
      const V* values = this->values(r);
      for (std::int64_t j = 0; j < limit - first; j += float_lanes) {
        std::uint32_t mask = 0;
        std::memcpy(&mask, bits + j / 8, float_lanes / 8);
        hn::StoreU(expand(load_values(values), mask), FloatTag(), elements + j);
        values += std::popcount(mask);
      }
      leave(r, values, limit);
      return;
    }
#endif
    const Slots slots = take(r, limit);
    std::fill(elements, elements + (limit - first), 0.0f);
    for (std::int64_t k = 0; k < slots.count; ++k) {
      elements[slots.columns[k] - first] = slots.values[k];
    }
  }

  /// Whether the r-th row is a bitmap's, and `count` values can be read from anywhere in it: the
  /// array's last rows go another way.
  HWY_INLINE bool reads_whole(std::int64_t r, std::int64_t count) const {
    return packed_.format == PackedFormat::bitmap &&
           row_offset(packed_, begin_ + r + 1) + count <= packed_.slots;
  }

  /// The bits of the r-th row of a bitmap from a column on.
  HWY_INLINE const std::uint8_t* bits(std::int64_t r, std::int64_t column) const {
    return packed_.positions + (begin_ + r) * bitmap::row_bytes(packed_.cols) + column / 8;
  }

  /// Leaves the r-th row of a bitmap at a column, whose values begin at `values`.
  HWY_INLINE void leave(std::int64_t r, const V* values, std::int64_t column) {
    __builtin_prefetch(bits(r, column), 0, 2);
    cursors_[static_cast<std::size_t>(r)] = {values - static_cast<const V*>(packed_.values),
                                             column};
  }

  /// Where the stored values of the r-th row go on.
  HWY_INLINE const V* values(std::int64_t r) const {
    return static_cast<const V*>(packed_.values) + cursors_[static_cast<std::size_t>(r)].slot;
  }

  /// Fetches some cache lines of the r-th row's values into the L1 cache.
  HWY_INLINE void fetch_values(std::int64_t r, std::int64_t lines) const {
    const auto* from = reinterpret_cast<const std::uint8_t*>(values(r));
    for (std::int64_t line = 0; line < lines; ++line) hwy::Prefetch(from + 64 * line);
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
      const __m256i columns = _mm256_add_epi32(widen_columns(scan_8<Bits>(gaps, slot, advance)),
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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
