// SPDX-License-Identifier: Apache-2.0
// Rows of C that are an earlier row moved by some columns: most rows of a stencil (by one), of the
// unknowns of one node of a finite element (by none) and of products with an interpolation between
// grids (by one, but not the row right above). Included once for each SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_REPEATS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_REPEATS_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_REPEATS_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_REPEATS_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <utility>

#include "ops/spgemm/operands-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Whether each of `length` columns is the earlier one plus the shift.
template <class I>
HWY_INLINE bool is_moved(const I* columns, const I* earlier, std::int64_t length, I shift) {
  const hn::ScalableTag<I> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  for (std::int64_t n = 0; n < length; n += lanes) {
    const auto valid = hn::FirstN(d, static_cast<std::size_t>(std::min(lanes, length - n)));
    const auto unmoved = hn::MaskedLoad(valid, d, earlier + n);
    const auto moved = hn::IfThenElseZero(valid, hn::Add(unmoved, hn::Set(d, shift)));
    if (!hn::AllTrue(d, hn::Eq(moved, hn::MaskedLoad(valid, d, columns + n)))) return false;
  }
  return true;
}

/// A row of C that repeats an earlier one.
struct Repeat {
  std::int64_t row;    ///< the earlier row, -1 if there is none
  std::int64_t shift;  ///< columns by which it is moved
  std::int64_t shape;  ///< number of what the two have in common, below spgemm_row_shapes
};

/// The last row of each of a few shapes, which later rows are compared with.
template <class T, class I>
class RowRepeats {
 public:
  explicit RowRepeats(const Typed<T, I>& op) : op_(op) {}

  /// The earlier row that row i, of `products`, repeats. Rows are asked for in order.
  HWY_INLINE Repeat find(std::int64_t i, std::int64_t products) {
    const std::int64_t entries = op_.a_indptr[i + 1] - op_.a_indptr[i];
    if (entries < 2 || products < tuning::spgemm_repeat_products ||
        std::max(entries, products) > std::numeric_limits<std::int32_t>::max()) {
      return {-1, 0, 0};
    }
    if (rows_to_skip_ > 0) {
      --rows_to_skip_;
      return {-1, 0, 0};
    }
    const std::uint64_t key =
        static_cast<std::uint64_t>(entries) << 32 ^ static_cast<std::uint64_t>(products);
    for (std::int64_t s = 0; s < tuning::spgemm_row_shapes; ++s) {
      Shape& shape = shapes_[s];
      if (shape.key != key) continue;
      Repeat repeat{shape.row, 0, s};
      if (!moved(i, entries, repeat)) continue;
      shape.row = i;
      misses_ = 0;
      return repeat;
    }
    *std::min_element(std::begin(shapes_), std::end(shapes_), [](const Shape& a, const Shape& b) {
      return a.row < b.row;
    }) = {i, key, false};
    if (++misses_ == tuning::spgemm_repeat_misses) skip();
    return {-1, 0, 0};
  }

  /// Whether this is the first call for the shape since it was met.
  bool first_time(const Repeat& repeat) { return !std::exchange(shapes_[repeat.shape].used, true); }

  /// Looks for no repeats for some rows: they do not pay.
  void skip() {
    misses_ = 0;
    rows_to_skip_ = tuning::spgemm_repeat_rows_skipped;
  }

 private:
  struct Shape {
    std::int64_t row = -1;
    std::uint64_t key = 0;  ///< entries and products: shapes differ if these do
    bool used = false;
  };

  /// Whether row i is repeat.row moved, entry by entry; sets by how much.
  HWY_INLINE bool moved(std::int64_t i, std::int64_t entries, Repeat& repeat) const {
    const I* row = op_.a_indices + op_.a_indptr[i];
    const I* earlier_row = op_.a_indices + op_.a_indptr[repeat.row];
    bool known = false;
    I shift = 0;
    for (std::int64_t e = 0; e < entries; ++e) {
      const I* offsets = op_.b_indptr + row[e];
      const I* earlier_offsets = op_.b_indptr + earlier_row[e];
      const std::int64_t length = offsets[1] - offsets[0];
      if (length != earlier_offsets[1] - earlier_offsets[0]) return false;
      if (length == 0) continue;
      const I* columns = op_.b_indices + offsets[0];
      const I* earlier = op_.b_indices + earlier_offsets[0];
      if (!known) shift = static_cast<I>(columns[0] - earlier[0]);
      known = true;
      if (!is_moved(columns, earlier, length, shift)) return false;
    }
    repeat.shift = shift;
    return true;
  }

  const Typed<T, I>& op_;
  Shape shapes_[tuning::spgemm_row_shapes];
  std::int64_t misses_ = 0, rows_to_skip_ = 0;
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
