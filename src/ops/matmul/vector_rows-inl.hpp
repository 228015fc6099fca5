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
#include <cstring>
#include <limits>
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
template <class T>
using Four = hn::CappedTag<T, 4>;

/// The elements of x at four indices, each by a load of its own. A row of float32 waits for its
/// loads, of which a Zen 5 does some 2.5 a cycle: indices of 32 bits are loaded two at a time in
/// the first `Pairs` pairs. In a row's last vectors one pair is faster than two.
template <int Pairs, class T, class I>
HWY_INLINE hn::Vec<Four<T>> load_each(const T* x, const I* indices) {
  const auto at = [&](int j) {
    if constexpr (sizeof(I) == 4 && sizeof(T) == 4) {
      if (j < 2 * Pairs) {
        std::uint64_t two;
        std::memcpy(&two, indices + j / 2 * 2, sizeof(two));
        return x[j % 2 == 0 ? static_cast<std::uint32_t>(two) : two >> 32];
      }
    }
    return x[static_cast<std::make_unsigned_t<I>>(indices[j])];
  };
  if constexpr (sizeof(T) == 4) {
    return {_mm_setr_ps(at(0), at(1), at(2), at(3))};
  } else {
    return {_mm256_setr_pd(at(0), at(1), at(2), at(3))};
  }
}

/// Asks for a line: past the outer caches, or for all of them.
template <bool PastCaches>
HWY_INLINE void prefetch_line(const char* line) {
  if constexpr (PastCaches) {
    _mm_prefetch(line, _MM_HINT_NTA);
  } else {
    _mm_prefetch(line, _MM_HINT_T0);
  }
}

/// Asks for the lines of 16 positions; the addresses may lie beyond the arrays. (No lambda: GCC
/// drops the calls of a function that does nothing but ask.)
template <bool PastCaches, class T, class I>
HWY_INLINE void prefetch_sixteen(const T* values, const I* indices, std::int64_t bytes_ahead = 0) {
  constexpr std::size_t line = 64;
  const char* const next_values = reinterpret_cast<const char*>(values) + bytes_ahead;
  const char* const next_indices = reinterpret_cast<const char*>(indices) + bytes_ahead;
  for (std::size_t at = 0; at < 16 * sizeof(T); at += line) {
    prefetch_line<PastCaches>(next_values + at);
  }
  for (std::size_t at = 0; at < 16 * sizeof(I); at += line) {
    prefetch_line<PastCaches>(next_indices + at);
  }
}

/// A row's sums over whole groups of 16 positions, which are added up at its end.
template <class T>
using FourSums = hn::Vec<Four<T>>[4];

template <int Pairs, class T, class I>
HWY_INLINE hn::Vec<Four<T>> add_four(const T* values, const I* indices, const T* x,
                                     hn::Vec<Four<T>> sums) {
  return hn::MulAdd(hn::LoadU(Four<T>(), values), load_each<Pairs>(x, indices), sums);
}

template <class T, class I>
HWY_INLINE void add_sixteen(const T* values, const I* indices, const T* x, FourSums<T>& sums) {
  for (int j = 0; j < 4; ++j) sums[j] = add_four<2>(values + 4 * j, indices + 4 * j, x, sums[j]);
}

/// A row's sum: what `sums` has of the positions before p, and the 16 or less from there to n.
/// Where ReadsOn, the last vector reads up to four positions beyond the row and adds what is its
/// own, since a branch on the length costs more; elsewhere from a copy, so that a row's bits do not
/// depend on its place.
template <bool ReadsOn, class T, class I>
HWY_INLINE T add_last(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices, std::int64_t p,
                      std::int64_t n, const T* HWY_RESTRICT x, hn::Vec<Four<T>> sums) {
  const Four<T> d;
  for (; p + 4 < n; p += 4) sums = add_four<1>(values + p, indices + p, x, sums);
  const auto own = hn::FirstN(d, static_cast<std::size_t>(n - p));
  if constexpr (ReadsOn) {
    sums = hn::IfThenElse(own, add_four<1>(values + p, indices + p, x, sums), sums);
  } else if (n > 0) {
    T last_values[4] = {};
    I last_indices[4] = {};
    std::copy(values + p, values + n, last_values);
    std::copy(indices + p, indices + n, last_indices);
    sums = hn::IfThenElse(own, add_four<1>(last_values, last_indices, x, sums), sums);
  }
  return hn::GetLane(hn::SumOfLanes(d, sums));
}

/// Sum of n products by loads that are put together to vectors of four. The lines are asked for
/// past the outer caches, where they would take the place of x.
template <bool ReadsOn, class T, class I>
HWY_INLINE T dot_loads(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices, std::int64_t n,
                       const T* HWY_RESTRICT x) {
  prefetch_sixteen<true>(values, indices, tuning::matmul_loads_ahead);
  const auto zero = hn::Zero(Four<T>());
  auto sum = zero;
  std::int64_t p = 0;
  if (n > 16) {
    FourSums<T> sums = {zero, zero, zero, zero};
    do {
      // Every line: where some are left out, the processor's own prefetching goes astray.
      prefetch_sixteen<true>(values + p + 16, indices + p + 16, tuning::matmul_loads_ahead);
      add_sixteen(values + p, indices + p, x, sums);
      p += 16;
    } while (p + 16 < n);
    sum = hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]));
  }
  return add_last<ReadsOn>(values, indices, p, n, x, sum);
}

/// Blocks of columns whose elements of x fit the level-1 cache, for panel_rows; 0 where rows one by
/// one are as fast.
template <class T, class I>
std::int64_t panel_blocks(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const std::int64_t cols = op.a.pattern.cols, nnz = indptr[end] - indptr[begin];
  const std::int64_t x_bytes = cols * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t bytes = nnz * static_cast<std::int64_t>(sizeof(T) + sizeof(I));
  if (x_bytes > tuning::matmul_panel_x || bytes < tuning::matmul_panel_bytes) return 0;
  const std::int64_t length = nnz / (end - begin);
  const std::int64_t blocks =
      std::min((x_bytes - 1) / tuning::matmul_panel_block + 1, length / tuning::matmul_panel_piece);
  // Rows so dense that they find most elements of x in a line that they just read, or so long that
  // too few of them share a block.
  const bool dense = length * 64 > tuning::matmul_panel_line * x_bytes;
  const bool few = bytes / (end - begin) > tuning::matmul_panel_bytes / 4;
  const bool fits = x_bytes <= blocks * tuning::matmul_panel_block_most;
  return blocks >= tuning::matmul_panel_blocks && fits && !dense && !few ? blocks : 0;
}

/// Rows of A, a panel of them at a time by one block of columns after the other: an element of x is
/// then read from the level-2 cache once a panel and not once a row. A row's groups of 16 positions
/// are what they are in dot_loads, and so are its bits; a group belongs to the block of its first
/// column, and columns in any order may be left to the last block.
template <class T, class I>
HWY_NOINLINE void panel_rows(const MatmulOperands& op, std::int64_t begin, std::int64_t end,
                             std::int64_t blocks) {
  constexpr std::int64_t most = tuning::matmul_panel_rows;
  constexpr std::int64_t most_positions =
      tuning::matmul_panel_bytes / static_cast<std::int64_t>(sizeof(T) + sizeof(I));
  const Four<T> d;
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* indices = static_cast<const I*>(op.a.pattern.indices);
  const T* values = static_cast<const T*>(op.a.values);
  const T* x = static_cast<const T*>(op.x) + op.x_batch[0];
  T* y = static_cast<T*>(op.y) + op.y_batch[0];
  HWY_ALIGN T panel_sums[most][16];
  std::int64_t positions[most];
  for (std::int64_t first = begin, last; first < end; first = last) {
    last = first + 1;
    while (last < std::min(end, first + most) &&
           indptr[last + 1] - indptr[first] <= most_positions) {
      ++last;
    }
    const std::int64_t rows = last - first;
    std::fill(panel_sums[0], panel_sums[rows], T{});
    std::copy(indptr + first, indptr + last, positions);
    // While a panel is worked on, the next one comes into the level-2 cache in order, and the next
    // row's piece from there into the level-1 cache.
    std::int64_t next = indptr[last];
    for (std::int64_t block = 1; block <= blocks; ++block) {
      const I stop = block < blocks ? static_cast<I>(op.a.pattern.cols * block / blocks)
                                    : std::numeric_limits<I>::max();
      for (std::int64_t r = 0; r < rows; ++r) {
        FourSums<T> sums;
        for (int j = 0; j < 4; ++j) sums[j] = hn::Load(d, panel_sums[r] + 4 * j);
        const std::int64_t row_end = indptr[first + r + 1];
        std::int64_t p = positions[r], near = positions[r + 1 < rows ? r + 1 : 0];
        for (; p + 16 < row_end && indices[p] < stop; p += 16, next += 16, near += 16) {
          prefetch_sixteen<false>(values + next, indices + next);
          prefetch_sixteen<false>(values + near, indices + near);
          add_sixteen(values + p, indices + p, x, sums);
        }
        for (int j = 0; j < 4; ++j) hn::Store(sums[j], d, panel_sums[r] + 4 * j);
        positions[r] = p;
      }
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* sums = panel_sums[r];
      const auto sum = hn::Add(hn::Add(hn::Load(d, sums), hn::Load(d, sums + 4)),
                               hn::Add(hn::Load(d, sums + 8), hn::Load(d, sums + 12)));
      const std::int64_t p = positions[r];
      prefetch_sixteen<false>(values + next, indices + next);
      next += indptr[first + r + 1] - p;
      y[(first + r) * op.y_row_stride] =
          add_last<true>(values + p, indices + p, 0, indptr[first + r + 1] - p, x, sum);
    }
  }
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
      const std::int64_t blocks = inner > begin ? panel_blocks<T, I>(op, begin, inner) : 0;
      if (blocks > 0) {
        panel_rows<T, I>(op, begin, inner, blocks);
      } else {
        each_row<T, I>(op, begin, inner,
                       [x](const T* values, const I* indices, std::int64_t n)
                           HWY_ATTR { return dot_loads<true>(values, indices, n, x); });
      }
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
