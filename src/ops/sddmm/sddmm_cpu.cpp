// SPDX-License-Identifier: Apache-2.0
// Inner products of a row of U with the rows of V that the pattern names, by their layout:
// contiguous rows, or anything else.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/sddmm/sddmm_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "ops/sddmm/sddmm.hpp"
#include "ops/sddmm/sddmm_tuning.hpp"
#include "simd/load-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Calls body(vector of u, vectors of Rows rows) along k reals, the last vector filled up with
/// zeros.
template <int Rows, class D, class T, class Body>
HWY_INLINE void for_each_vector(D d, const T* HWY_RESTRICT u, const T* const* rows, std::int64_t k,
                                Body&& body) {
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  hn::Vec<D> v[Rows];
  std::int64_t c = 0;
  for (; c + lanes <= k; c += lanes) {
    for (int r = 0; r < Rows; ++r) v[r] = load(d, rows[r] + c);
    body(load(d, u + c), v);
  }
  if (c < k) {
    for (int r = 0; r < Rows; ++r) v[r] = load_first(d, rows[r] + c, k - c);
    body(load_first(d, u + c, k - c), v);
  }
}

/// sums[r] += u · rows[r] over k elements, for Rows rows at once.
template <int Rows, bool Conjugate, class T>
HWY_INLINE void add_products(const T* HWY_RESTRICT u, const T* const* rows, std::int64_t k,
                             Accumulator<T>* HWY_RESTRICT sums) {
  if constexpr (is_complex<T>) {
    // As interleaved reals: u v gives the products of like parts, u times swapped v those of unlike
    // parts.
    using R = typename T::value_type;
    const hn::ScalableTag<R> d;
    const R* reals[Rows];
    hn::Vec<decltype(d)> like[Rows], unlike[Rows];
    for (int r = 0; r < Rows; ++r) {
      reals[r] = reinterpret_cast<const R*>(rows[r]);
      like[r] = unlike[r] = hn::Zero(d);
    }
    for_each_vector<Rows>(d, reinterpret_cast<const R*>(u), reals, 2 * k,
                          [&](auto left, const auto* right) HWY_ATTR {
                            for (int r = 0; r < Rows; ++r) {
                              like[r] = hn::MulAdd(left, right[r], like[r]);
                              unlike[r] = hn::MulAdd(left, hn::Reverse2(d, right[r]), unlike[r]);
                            }
                          });
    for (int r = 0; r < Rows; ++r) {
      // (a+bi)(c+di) = (ac − bd) + (ad + bc)i, and with its right factor conjugated (ac + bd) + (bc
      // − ad)i.
      const auto real = Conjugate ? like[r] : hn::OddEven(hn::Neg(like[r]), like[r]);
      const auto imag = Conjugate ? hn::OddEven(unlike[r], hn::Neg(unlike[r])) : unlike[r];
      sums[r] += T(hn::GetLane(hn::SumOfLanes(d, real)), hn::GetLane(hn::SumOfLanes(d, imag)));
    }
  } else {
    const hn::ScalableTag<Accumulator<T>> d;
    hn::Vec<decltype(d)> products[Rows];
    for (int r = 0; r < Rows; ++r) products[r] = hn::Zero(d);
    for_each_vector<Rows>(d, u, rows, k, [&](auto left, const auto* right) HWY_ATTR {
      for (int r = 0; r < Rows; ++r) products[r] = hn::MulAdd(left, right[r], products[r]);
    });
    for (int r = 0; r < Rows; ++r) sums[r] += hn::GetLane(hn::SumOfLanes(d, products[r]));
  }
}

/// The same for any strides.
template <int Rows, bool Conjugate, class T>
HWY_INLINE void add_strided(const T* u, std::int64_t u_stride, const T* const* rows,
                            std::int64_t v_stride, std::int64_t k, Accumulator<T>* sums) {
  using A = Accumulator<T>;
  for (std::int64_t c = 0; c < k; ++c) {
    const A left = widen(u[c * u_stride]);
    for (int r = 0; r < Rows; ++r) {
      sums[r] =
          multiply_add<A>(left, conjugate_if<Conjugate>(A(widen(rows[r][c * v_stride]))), sums[r]);
    }
  }
}

/// Rows positions from p on in row i.
template <int Rows, bool Conjugate, class T, class I>
HWY_INLINE void sample(const SddmmOperands& op, std::int64_t i, std::int64_t p) {
  using A = Accumulator<T>;
  const I* indices = static_cast<const I*>(op.pattern.indices) + p;
  // Lanes of a scalar target hold no pair.
  constexpr bool vectors = !is_complex<T> || HWY_TARGET != HWY_SCALAR;
  const bool contiguous = vectors && op.cols > 1 && op.u.col_stride == 1 && op.v.col_stride == 1;
  A sums[Rows] = {};
  for (std::size_t member = 0; member < op.u.batch.size(); ++member) {
    const T* u = static_cast<const T*>(op.u.data) + op.u.batch[member] + i * op.u.row_stride;
    const T* v = static_cast<const T*>(op.v.data) + op.v.batch[member];
    const T* rows[Rows];
    for (int r = 0; r < Rows; ++r) rows[r] = v + indices[r] * op.v.row_stride;
    if constexpr (vectors) {
      if (contiguous) {
        add_products<Rows, Conjugate, T>(u, rows, op.cols, sums);
        continue;
      }
    }
    add_strided<Rows, Conjugate, T>(u, op.u.col_stride, rows, op.v.col_stride, op.cols, sums);
  }
  T* values = static_cast<T*>(op.values) + p;
  for (int r = 0; r < Rows; ++r) values[r] = narrow<T>(sums[r]);
}

template <bool Conjugate, class T, class I>
void sample_rows(const SddmmOperands& op, std::int64_t begin, std::int64_t end) {
  const I* indptr = static_cast<const I*>(op.pattern.indptr);
  for (std::int64_t i = begin; i < end; ++i) {
    std::int64_t p = indptr[i];
    const std::int64_t last = indptr[i + 1];
    for (; p + 4 <= last; p += 4) sample<4, Conjugate, T, I>(op, i, p);
    for (; p < last; ++p) sample<1, Conjugate, T, I>(op, i, p);
  }
}

void SddmmRows(const SddmmOperands& op, std::int64_t begin, std::int64_t end) {
  visit_value(op.dtype, "U", [&](auto value) {
    visit_index(op.pattern.index_dtype, "the pattern's indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      if constexpr (is_complex<T>) {
        if (op.conjugate) return sample_rows<true, T, I>(op, begin, end);
      }
      sample_rows<false, T, I>(op, begin, end);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void sddmm_cpu(const SddmmOperands& op) {
  const std::int64_t rows = op.pattern.rows;
  const std::int64_t work =
      op.pattern.nnz *
      std::max<std::int64_t>(1, op.cols * static_cast<std::int64_t>(op.u.batch.size()));
  if (op.pattern.nnz == 0) return;
  std::int64_t pieces = 1;
  if (num_threads() > 1 && work >= tuning::sddmm_serial_work) {
    pieces = std::min<std::int64_t>(rows, num_threads() * tuning::sddmm_pieces_per_thread);
  }
  const auto sddmm_rows = GOSSAMER_SIMD_FUNCTION(SddmmRows);
  visit_index(op.pattern.index_dtype, "the pattern's indices", [&](auto index) {
    const auto* indptr = static_cast<const typename decltype(index)::type*>(op.pattern.indptr);
    for_row_pieces(indptr, rows, pieces,
                   [&](std::int64_t first, std::int64_t last) { sddmm_rows(op, first, last); });
  });
}

}  // namespace gossamer
#endif  // HWY_ONCE
