// SPDX-License-Identifier: Apache-2.0
// Rows of A times one contiguous vector. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_MATMUL_VECTOR_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_MATMUL_VECTOR_ROWS_INL_HPP
#undef GOSSAMER_OPS_MATMUL_VECTOR_ROWS_INL_HPP
#else
#define GOSSAMER_OPS_MATMUL_VECTOR_ROWS_INL_HPP
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "ops/matmul/lanes-inl.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_tuning.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Asks for the values and indices that lie a fixed way ahead; the address may lie beyond the
/// arrays.
template <class T, class I>
HWY_INLINE void prefetch_stream(const T* values, const I* indices) {
  hwy::Prefetch(reinterpret_cast<const char*>(values) + tuning::matmul_stream_ahead);
  hwy::Prefetch(reinterpret_cast<const char*>(indices) + tuning::matmul_stream_ahead);
}

template <bool Conjugate, class T, class I>
HWY_INLINE Accumulator<T> add_product(const T* values, const I* indices, std::int64_t p, const T* x,
                                      Accumulator<T> sum) {
  using A = Accumulator<T>;
  // Indices are never negative, and an unsigned load widens for free.
  const std::make_unsigned_t<I> index = static_cast<std::make_unsigned_t<I>>(indices[p]);
  return multiply_add<A>(conjugate_if<Conjugate>(A(widen(values[p]))), A(widen(x[index])), sum);
}

/// Sum of N products, without a loop.
template <int N, bool Conjugate, class T, class I>
HWY_INLINE Accumulator<T> dot_fixed(const T* values, const I* indices, const T* x) {
  Accumulator<T> even{}, odd{};
  for (int p = 0; p + 1 < N; p += 2) {
    even = add_product<Conjugate>(values, indices, p, x, even);
    odd = add_product<Conjugate>(values, indices, p + 1, x, odd);
  }
  if (N % 2 == 1) even = add_product<Conjugate>(values, indices, N - 1, x, even);
  return even + odd;
}

/// Sum of n products over four independent sums.
template <bool Conjugate, class T, class I>
HWY_INLINE Accumulator<T> dot_scalar(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices,
                                     std::int64_t n, const T* HWY_RESTRICT x) {
  Accumulator<T> s0{}, s1{}, s2{}, s3{};
  std::int64_t p = 0;
  for (; p + 4 <= n; p += 4) {
    prefetch_stream(values + p, indices + p);
    s0 = add_product<Conjugate>(values, indices, p, x, s0);
    s1 = add_product<Conjugate>(values, indices, p + 1, x, s1);
    s2 = add_product<Conjugate>(values, indices, p + 2, x, s2);
    s3 = add_product<Conjugate>(values, indices, p + 3, x, s3);
  }
  for (; p < n; ++p) s0 = add_product<Conjugate>(values, indices, p, x, s0);
  return (s0 + s1) + (s2 + s3);
}

// With AVX-512 a row is gathered under a mask, so that rows of any length up to a vector take the
// same path: a branch on the length costs more than the products of a short row. AVX2's gather does
// not pay.
#if HWY_TARGET <= HWY_AVX3
HWY_INLINE auto gather(hn::Mask512<float> mask, const float* x, hn::Vec512<std::int32_t> index) {
  return hn::Vec512<float>{
      _mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask.raw, index.raw, x, 4)};
}
HWY_INLINE auto gather(hn::Mask256<float> mask, const float* x, hn::Vec256<std::int32_t> index) {
  return hn::Vec256<float>{
      _mm256_mmask_i32gather_ps(_mm256_setzero_ps(), mask.raw, index.raw, x, 4)};
}
HWY_INLINE auto gather(hn::Mask256<float> mask, const float* x, hn::Vec512<std::int64_t> index) {
  return hn::Vec256<float>{
      _mm512_mask_i64gather_ps(_mm256_setzero_ps(), mask.raw, index.raw, x, 4)};
}
HWY_INLINE auto gather(hn::Mask512<double> mask, const double* x, hn::Vec256<std::int32_t> index) {
  return hn::Vec512<double>{
      _mm512_mask_i32gather_pd(_mm512_setzero_pd(), mask.raw, index.raw, x, 8)};
}
HWY_INLINE auto gather(hn::Mask512<double> mask, const double* x, hn::Vec512<std::int64_t> index) {
  return hn::Vec512<double>{
      _mm512_mask_i64gather_pd(_mm512_setzero_pd(), mask.raw, index.raw, x, 8)};
}

/// The sums plus the next `count` products, at most a vector of D.
template <class D, class T, class I>
HWY_INLINE hn::Vec<D> add_products(D d, const T* values, const I* indices, std::int64_t count,
                                   const T* x, hn::Vec<D> sums) {
  const hn::Rebind<I, D> di;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(count));
  const auto index = hn::MaskedLoad(hn::FirstN(di, static_cast<std::size_t>(count)), di, indices);
  return hn::MulAdd(hn::MaskedLoad(mask, d, values), gather(mask, x, index), sums);
}

/// Sum of n products by gathering.
template <class T, class I>
HWY_INLINE T dot_gather(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices, std::int64_t n,
                        const T* HWY_RESTRICT x) {
  using Eight = hn::CappedTag<T, 8>;
  if (n <= 8) {
    const Eight d;
    return hn::GetLane(hn::SumOfLanes(d, add_products(d, values, indices, n, x, hn::Zero(d))));
  }
  using D = std::conditional_t<sizeof(T) == sizeof(I), hn::ScalableTag<T>, Eight>;
  const D d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  auto s0 = hn::Zero(d), s1 = hn::Zero(d);
  std::int64_t p = 0;
  for (; p + 2 * lanes <= n; p += 2 * lanes) {
    prefetch_stream(values + p, indices + p);
    prefetch_stream(values + p + lanes, indices + p + lanes);
    s0 = add_products(d, values + p, indices + p, lanes, x, s0);
    s1 = add_products(d, values + p + lanes, indices + p + lanes, lanes, x, s1);
  }
  if (p + lanes <= n) {
    s0 = add_products(d, values + p, indices + p, lanes, x, s0);
    p += lanes;
  }
  if (p < n) s1 = add_products(d, values + p, indices + p, n - p, x, s1);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
}
#endif

/// Sum of values[p] * x[indices[p]] over one row.
template <bool Conjugate, class T, class I>
HWY_INLINE Accumulator<T> dot(const T* values, const I* indices, std::int64_t n, const T* x) {
#if HWY_TARGET <= HWY_AVX3
  if constexpr (std::is_floating_point_v<T>) {
    return dot_gather(values, indices, n, x);
  }
#endif
  switch (n) {
    case 0:
      return {};
    case 1:
      return dot_fixed<1, Conjugate>(values, indices, x);
    case 2:
      return dot_fixed<2, Conjugate>(values, indices, x);
    case 3:
      return dot_fixed<3, Conjugate>(values, indices, x);
    case 4:
      return dot_fixed<4, Conjugate>(values, indices, x);
    case 5:
      return dot_fixed<5, Conjugate>(values, indices, x);
    case 6:
      return dot_fixed<6, Conjugate>(values, indices, x);
    case 7:
      return dot_fixed<7, Conjugate>(values, indices, x);
    case 8:
      return dot_fixed<8, Conjugate>(values, indices, x);
    default:
      return dot_scalar<Conjugate>(values, indices, n, x);
  }
}

template <bool Conjugate, class T, class I>
void vector_rows(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* indices = static_cast<const I*>(op.a.pattern.indices);
  const T* values = static_cast<const T*>(op.a.values);
  const T* x = static_cast<const T*>(op.x) + op.x_batch[0];
  T* y = static_cast<T*>(op.y) + op.y_batch[0];
  std::int64_t first = indptr[begin];
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t last = indptr[i + 1];
    prefetch_stream(values + first, indices + first);
    y[i * op.y_row_stride] =
        narrow<T>(dot<Conjugate>(values + first, indices + first, last - first, x));
    first = last;
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
