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

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ops/matmul/lanes-inl.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_tuning.hpp"
#include "simd/targets.hpp"

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
// not pay, nor does any where has_fast_gather() is false: then elements are loaded one by one.
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
HWY_INLINE hn::Vec<D> add_gathered(D d, const T* values, const I* indices, std::int64_t count,
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
  prefetch_stream(values, indices);
  using Eight = hn::CappedTag<T, 8>;
  if (n <= 8) {
    const Eight d;
    return hn::GetLane(hn::SumOfLanes(d, add_gathered(d, values, indices, n, x, hn::Zero(d))));
  }
  using D = std::conditional_t<sizeof(T) == sizeof(I), hn::ScalableTag<T>, Eight>;
  const D d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  auto s0 = hn::Zero(d), s1 = hn::Zero(d);
  std::int64_t p = 0;
  for (; p + 2 * lanes <= n; p += 2 * lanes) {
    prefetch_stream(values + p, indices + p);
    prefetch_stream(values + p + lanes, indices + p + lanes);
    s0 = add_gathered(d, values + p, indices + p, lanes, x, s0);
    s1 = add_gathered(d, values + p + lanes, indices + p + lanes, lanes, x, s1);
  }
  if (p + lanes <= n) {
    s0 = add_gathered(d, values + p, indices + p, lanes, x, s0);
    p += lanes;
  }
  if (p < n) s1 = add_gathered(d, values + p, indices + p, n - p, x, s1);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1)));
}
#endif

#if HWY_TARGET <= HWY_AVX2
/// The elements of x at four indices, each by a load of its own.
template <class I>
HWY_INLINE hn::Vec128<float> load_each(const float* x, const I* indices) {
  const auto at = [&](int j) { return x[static_cast<std::make_unsigned_t<I>>(indices[j])]; };
  return {_mm_setr_ps(at(0), at(1), at(2), at(3))};
}
template <class I>
HWY_INLINE hn::Vec256<double> load_each(const double* x, const I* indices) {
  const auto at = [&](int j) { return x[static_cast<std::make_unsigned_t<I>>(indices[j])]; };
  return {_mm256_setr_pd(at(0), at(1), at(2), at(3))};
}

/// Asks for the lines of 16 positions that lie a fixed way ahead; the addresses may lie beyond the
/// arrays. Past the outer caches, where they would take the place of x. (No lambda: GCC drops the
/// calls of a function that does nothing but ask.)
template <class T, class I>
HWY_INLINE void prefetch_sixteen(const T* values, const I* indices) {
  constexpr std::size_t line = 64;
  const char* const next_values =
      reinterpret_cast<const char*>(values) + tuning::matmul_loads_ahead;
  const char* const next_indices =
      reinterpret_cast<const char*>(indices) + tuning::matmul_loads_ahead;
  for (std::size_t at = 0; at < 16 * sizeof(T); at += line) {
    _mm_prefetch(next_values + at, _MM_HINT_NTA);
  }
  for (std::size_t at = 0; at < 16 * sizeof(I); at += line) {
    _mm_prefetch(next_indices + at, _MM_HINT_NTA);
  }
}

/// Sum of n products by loads that are put together to vectors of four. Where ReadsOn, the last
/// vector reads up to four positions beyond the row and adds what is its own, since a branch on the
/// length costs more; elsewhere from a copy, so that a row's bits do not depend on its place.
template <bool ReadsOn, class T, class I>
HWY_INLINE T dot_loads(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices, std::int64_t n,
                       const T* HWY_RESTRICT x) {
  const hn::CappedTag<T, 4> d;
  const auto added = [&](std::int64_t p, hn::Vec<decltype(d)> sums) HWY_ATTR {
    return hn::MulAdd(hn::LoadU(d, values + p), load_each(x, indices + p), sums);
  };
  prefetch_sixteen(values, indices);
  auto sums = hn::Zero(d);
  std::int64_t p = 0;
  if (n > 16) {
    auto s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
    do {
      // Every line: where some are left out, the processor's own prefetching goes astray.
      prefetch_sixteen(values + p + 16, indices + p + 16);
      sums = added(p, sums);
      s1 = added(p + 4, s1);
      s2 = added(p + 8, s2);
      s3 = added(p + 12, s3);
      p += 16;
    } while (p + 16 < n);
    sums = hn::Add(hn::Add(sums, s1), hn::Add(s2, s3));
  }
  for (; p + 4 < n; p += 4) sums = added(p, sums);
  const auto own = hn::FirstN(d, static_cast<std::size_t>(n - p));
  if constexpr (ReadsOn) {
    sums = hn::IfThenElse(own, added(p, sums), sums);
  } else if (n > 0) {
    T last_values[4] = {};
    I last_indices[4] = {};
    std::copy(values + p, values + n, last_values);
    std::copy(indices + p, indices + n, last_indices);
    const auto next = hn::MulAdd(hn::LoadU(d, last_values), load_each(x, last_indices), sums);
    sums = hn::IfThenElse(own, next, sums);
  }
  return hn::GetLane(hn::SumOfLanes(d, sums));
}
#endif

/// Sum of values[p] * x[indices[p]] over one row of n positions, by one product after the other.
template <bool Conjugate, class T, class I>
HWY_INLINE Accumulator<T> dot(const T* values, const I* indices, std::int64_t n, const T* x) {
  prefetch_stream(values, indices);
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

/// Calls dot(values, indices, n) for each of the rows. A function of its own for each `dot`, which
/// leaves the loop its registers.
template <class T, class I, class Dot>
HWY_NOINLINE void each_row(const MatmulOperands& op, std::int64_t begin, std::int64_t end,
                           Dot dot) {
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* indices = static_cast<const I*>(op.a.pattern.indices);
  const T* values = static_cast<const T*>(op.a.values);
  const std::int64_t stride = op.y_row_stride;
  T* y = static_cast<T*>(op.y) + op.y_batch[0] + begin * stride;
  std::int64_t first = indptr[begin];
  for (std::int64_t i = begin; i < end; ++i, y += stride) {
    const std::int64_t last = indptr[i + 1];
    *y = narrow<T>(dot(values + first, indices + first, last - first));
    first = last;
  }
}

template <bool Conjugate, class T, class I>
void vector_rows(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  const T* x = static_cast<const T*>(op.x) + op.x_batch[0];
#if HWY_TARGET <= HWY_AVX2
  if constexpr (std::is_floating_point_v<T>) {
    if (!simd::has_fast_gather()) {
      // The last rows of A, behind which there are no four positions, in a loop of their own: as a
      // branch within the one loop they cost all rows a quarter of their time.
      const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
      std::int64_t inner = end;
      while (inner > begin && op.a.pattern.nnz - indptr[inner] < 4) --inner;
      each_row<T, I>(op, begin, inner,
                     [x](const T* values, const I* indices, std::int64_t n)
                         HWY_ATTR { return dot_loads<true>(values, indices, n, x); });
      each_row<T, I>(op, inner, end,
                     [x](const T* values, const I* indices, std::int64_t n)
                         HWY_ATTR { return dot_loads<false>(values, indices, n, x); });
      return;
    }
  }
#endif
#if HWY_TARGET <= HWY_AVX3
  if constexpr (std::is_floating_point_v<T>) {
    return each_row<T, I>(op, begin, end,
                          [x](const T* values, const I* indices, std::int64_t n)
                              HWY_ATTR { return dot_gather(values, indices, n, x); });
  }
#endif
  each_row<T, I>(op, begin, end, [x](const T* values, const I* indices, std::int64_t n) HWY_ATTR {
    return dot<Conjugate>(values, indices, n, x);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
