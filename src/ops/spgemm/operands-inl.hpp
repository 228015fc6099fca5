// SPDX-License-Identifier: Apache-2.0
// The operands of a sparse product as the kernels read them. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_OPERANDS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_OPERANDS_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_OPERANDS_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_OPERANDS_INL_HPP
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/scalar.hpp"
#include "ops/spgemm/scratch.hpp"
#include "ops/spgemm/spgemm.hpp"
#include "ops/spgemm/spgemm_tuning.hpp"

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
  explicit Typed(const SpgemmOperands& op)
      : a_indptr(static_cast<const I*>(op.a.pattern.indptr)),
        a_indices(static_cast<const I*>(op.a.pattern.indices)),
        a_values(static_cast<const T*>(op.a.values)),
        a_nnz(op.a.pattern.nnz),
        b_indptr(static_cast<const I*>(op.b.pattern.indptr)),
        b_indices(static_cast<const I*>(op.b.pattern.indices)),
        b_values(static_cast<const T*>(op.b.values)),
        b_cols(op.b.pattern.cols),
        canonical(op.canonical),
        prefetch(op.prefetch) {}

  /// The pattern of operands with values.
  template <class U>
  explicit Typed(const Typed<U, I>& other)
      : a_indptr(other.a_indptr),
        a_indices(other.a_indices),
        a_values(nullptr),
        a_nnz(other.a_nnz),
        b_indptr(other.b_indptr),
        b_indices(other.b_indices),
        b_values(nullptr),
        b_cols(other.b_cols),
        canonical(other.canonical),
        prefetch(other.prefetch) {}

  const I* HWY_RESTRICT a_indptr;
  const I* HWY_RESTRICT a_indices;
  const T* HWY_RESTRICT a_values;
  std::int64_t a_nnz;
  const I* HWY_RESTRICT b_indptr;
  const I* HWY_RESTRICT b_indices;
  const T* HWY_RESTRICT b_values;
  std::int64_t b_cols;
  bool canonical, prefetch;
};

/// Calls body(p, begin, end) for each entry p of A's row i whose row of B is B's positions
/// begin..end, not empty.
template <class T, class I, class Body>
HWY_INLINE void for_each_operand_row(const Typed<T, I>& op, std::int64_t i, Body&& body) {
  const std::int64_t last = op.a_indptr[i + 1];
  for (std::int64_t p = op.a_indptr[i]; p < last; ++p) {
    const std::int64_t k = op.a_indices[p];
    const std::int64_t begin = op.b_indptr[k], end = op.b_indptr[k + 1];
    if (begin < end) body(p, begin, end);
  }
}

/// Fetches ahead what A's later entries will read of B, in two steps: its offsets, then its rows.
template <class T, class I>
HWY_INLINE void prefetch_operand_row(const Typed<T, I>& op, std::int64_t p) {
  const std::int64_t ahead = p + tuning::spgemm_prefetch_entries;
  if (ahead + tuning::spgemm_prefetch_entries >= op.a_nnz) return;
  hwy::Prefetch(op.b_indptr + op.a_indices[ahead + tuning::spgemm_prefetch_entries]);
  const std::int64_t begin = op.b_indptr[op.a_indices[ahead]];
  hwy::Prefetch(op.b_indices + begin);
  if constexpr (has_values<T>) hwy::Prefetch(op.b_values + begin);
}

/// Unsigned lanes of another width.
template <class D, class V>
HWY_INLINE hn::Vec<D> resize_lanes(D d, V v) {
  using To = hn::TFromD<D>;
  using From = hn::TFromV<V>;
  if constexpr (sizeof(To) == sizeof(From)) {
    return v;
  } else if constexpr (sizeof(To) > sizeof(From)) {
    return hn::PromoteTo(d, v);
  } else {
    return hn::TruncateTo(d, v);
  }
}

/// Vectors with as many lanes of each of several types.
template <class... Types>
struct Together {
  static constexpr std::size_t widest = std::max({sizeof(Types)...});
  using Widest = hn::ScalableTag<hwy::UnsignedFromSize<widest>>;
  template <class U>
  using Tag = hn::Rebind<U, Widest>;
  static constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(Widest()));
};

/// sum + a b, contracted everywhere or nowhere: whichever way a row is summed, its bits are the
/// same.
template <class S>
HWY_INLINE S add_product(S a, S b, S sum) {
#if HWY_NATIVE_FMA
  if constexpr (is_complex<S>) {
    return S(std::fma(-a.imag(), b.imag(), std::fma(a.real(), b.real(), sum.real())),
             std::fma(a.imag(), b.real(), std::fma(a.real(), b.imag(), sum.imag())));
  } else {
    return std::fma(a, b, sum);
  }
#else
  return multiply_add(a, b, sum);
#endif
}

/// What the choice of a method rests on: a row's products, their span of columns, and the rows of B
/// they fill.
struct RowWork {
  std::int64_t products, low, high, operand_rows;
  std::int64_t last_entry;  ///< position in A of the last of these rows
  bool contiguous;          ///< each of these rows has no gaps and goes on from those before

  std::int64_t width() const { return high - low + 1; }
};

template <class T, class I>
HWY_INLINE RowWork survey(const Typed<T, I>& op, std::int64_t i) {
  I low = std::numeric_limits<I>::max(), high = -1;
  std::int64_t products = 0, operand_rows = 0, last_entry = -1;
  bool contiguous = op.canonical;
  for_each_operand_row(op, i, [&](std::int64_t p, std::int64_t begin, std::int64_t end) HWY_ATTR {
    if (op.prefetch) prefetch_operand_row(op, p);
    products += end - begin;
    last_entry = p;
    ++operand_rows;
    if (op.canonical) {
      const I first = op.b_indices[begin], last = op.b_indices[end - 1];
      contiguous &= last - first == end - 1 - begin;
      // Most rows have gaps from the first entry on, and need not wait for each other's columns.
      if (contiguous) {
        contiguous = (high < 0) | ((first - 1 <= high) & (last >= low - 1));
      }
      low = first < low ? first : low;
      high = last > high ? last : high;
      return;
    }
    for (std::int64_t q = begin; q < end; ++q) {
      const I column = op.b_indices[q];
      low = column < low ? column : low;
      high = column > high ? column : high;
    }
  });
  return {products, low, high, operand_rows, last_entry, contiguous};
}

/// The work of a row of `products`, without a look at its columns where it has gaps and products
/// enough for a window of all columns.
template <class T, class I>
HWY_INLINE RowWork work_of(const Typed<T, I>& op, std::int64_t i, std::int64_t products) {
  if (op.b_cols / tuning::spgemm_spread_columns_per_product <= products) {
    const std::int64_t first = op.a_indptr[i], entries = op.a_indptr[i + 1] - first;
    const auto has_gaps = [&](std::int64_t k) HWY_ATTR {
      const std::int64_t begin = op.b_indptr[k], last = op.b_indptr[k + 1] - 1;
      return begin < last && op.b_indices[last] - op.b_indices[begin] > last - begin;
    };
    if (!op.canonical || (entries > 1 && has_gaps(op.a_indices[first]))) {
      for (std::int64_t p = first; p < first + entries; ++p) {
        const std::int64_t at = op.b_indptr[op.a_indices[p]];
        hwy::Prefetch(op.b_indices + at);
        if constexpr (has_values<T>) hwy::Prefetch(op.b_values + at);
      }
      return {products, 0, op.b_cols - 1, entries, first + entries - 1, false};
    }
  }
  return survey(op, i);
}

enum class Method { copy, window, sort };

HWY_INLINE Method choose(const RowWork& work, bool canonical) {
  if (canonical && work.operand_rows == 1) return Method::copy;
  const std::int64_t width = work.width(), products = work.products;
  const bool narrow = width <= tuning::spgemm_window_columns ||
                      width / tuning::spgemm_window_columns_per_product <= products;
  return narrow ? Method::window : Method::sort;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
