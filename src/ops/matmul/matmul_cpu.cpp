// SPDX-License-Identifier: Apache-2.0
// Three row walks, by the layout of X: one contiguous vector, contiguous columns, anything else.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/matmul_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_tuning.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Real = decltype(std::real(Accumulator<T>()));

/// Loads lanes of T as float lanes, or as they are.
template <class D, class T>
HWY_INLINE hn::Vec<D> load(D d, const T* from) {
  if constexpr (is_16bit<T> && HWY_TARGET == HWY_SCALAR) {
    return hn::Set(d, widen(*from));  // Highway 1.0's scalar path loses float16's infinities
  } else if constexpr (std::is_same_v<T, float16>) {
    const hn::Rebind<hwy::float16_t, D> half;
    return hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(from)));
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    const hn::Rebind<hwy::bfloat16_t, D> half;
    return hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::bfloat16_t*>(from)));
  } else {
    return hn::LoadU(d, from);
  }
}

// ---- One contiguous vector ----------------------------------------------------------------------

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

// ---- Contiguous columns -------------------------------------------------------------------------

/// Writes the first `count` accumulators to y, rounding to T.
template <class D, class T>
HWY_INLINE void store(hn::Vec<D> sum, D d, T* y, std::int64_t count) {
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  if constexpr (is_16bit<T>) {
    HWY_ALIGN float sums[lanes];
    hn::Store(sum, d, sums);
    for (std::int64_t c = 0; c < count; ++c) y[c] = narrow<T>(sums[c]);
  } else if (count == lanes) {
    hn::StoreU(sum, d, y);
  } else {
    hn::BlendedStore(sum, hn::FirstN(d, static_cast<std::size_t>(count)), d, y);
  }
}

/// The first `count` lanes of x, the rest zero; reads nothing beyond them.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_first(D d, const T* from, std::int64_t count) {
  if constexpr (is_16bit<T>) {
    HWY_ALIGN float padded[hn::MaxLanes(d)] = {};
    for (std::int64_t c = 0; c < count; ++c) padded[c] = widen(from[c]);
    return hn::Load(d, padded);
  } else {
    return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(count)), d, from);
  }
}

/// A block of columns: `Vectors` vectors of D's lanes, of which the last holds `tail` when Partial.
template <class D, int Vectors, bool Partial>
struct Block {
  static constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  static constexpr std::size_t bytes = Vectors * hn::MaxLanes(D()) * sizeof(hn::TFromD<D>);
  std::int64_t tail;

  HWY_INLINE std::int64_t width(int v) const { return Partial && v == Vectors - 1 ? tail : lanes; }

  template <class T>
  HWY_INLINE hn::Vec<D> load_vector(const T* row, int v) const {
    if (Partial && v == Vectors - 1) return load_first(D(), row + v * lanes, tail);
    return load(D(), row + v * lanes);
  }
};

/// Asks for the block of X that a coming position of A will need; indices[0 .. known) may be read.
///
/// Besides latency this hides what a block costs that straddles cache lines, as blocks of NumPy's
/// arrays do.
template <std::size_t Bytes, class T, class I>
HWY_INLINE void prefetch_block(const I* indices, std::int64_t p, std::int64_t known, const T* x,
                               std::int64_t x_stride) {
  if constexpr (Bytes >= 64) {
    constexpr std::int64_t ahead = (Bytes <= 128 ? 2 : 1) * tuning::matmul_blocks_ahead;
    const std::int64_t next = indices[std::min(p + ahead, known - 1)];
    const char* block = reinterpret_cast<const char*>(x + next * x_stride);
    for (std::size_t byte = 0; byte < Bytes; byte += 64) hwy::Prefetch(block + byte);
  }
}

/// One row of A times a block of columns.
template <class D, int Vectors, bool Partial, class T, class I>
HWY_INLINE void real_row(Block<D, Vectors, Partial> block, const T* HWY_RESTRICT values,
                         const I* HWY_RESTRICT indices, std::int64_t n, std::int64_t known,
                         const T* HWY_RESTRICT x, std::int64_t x_stride, T* HWY_RESTRICT y) {
  const D d;
  // Few vectors: several sums each, to hide the latency of the multiply-add.
  constexpr int Chains = Vectors == 1 ? 4 : Vectors == 2 ? 2 : 1;
  hn::Vec<D> sums[Chains][Vectors];
  for (int chain = 0; chain < Chains; ++chain) {
    for (int v = 0; v < Vectors; ++v) sums[chain][v] = hn::Zero(d);
  }
  const auto add = [&](std::int64_t p, int chain) HWY_ATTR {
    prefetch_block<block.bytes>(indices, p, known, x, x_stride);
    const auto a = hn::Set(d, widen(values[p]));
    const T* row = x + static_cast<std::int64_t>(indices[p]) * x_stride;
    for (int v = 0; v < Vectors; ++v) {
      sums[chain][v] = hn::MulAdd(a, block.load_vector(row, v), sums[chain][v]);
    }
  };
  std::int64_t p = 0;
  for (; p + Chains <= n; p += Chains) {
    for (int chain = 0; chain < Chains; ++chain) add(p + chain, chain);
  }
  for (; p < n; ++p) add(p, 0);
  for (int v = 0; v < Vectors; ++v) {
    auto sum = sums[0][v];
    for (int chain = 1; chain < Chains; ++chain) sum = hn::Add(sum, sums[chain][v]);
    store(sum, d, y + v * block.lanes, block.width(v));
  }
}

/// The same for complex values: x as interleaved reals, the real and imaginary factors summed
/// apart.
template <bool Conjugate, class D, int Vectors, bool Partial, class T, class I>
HWY_INLINE void complex_row(Block<D, Vectors, Partial> block, const T* HWY_RESTRICT values,
                            const I* HWY_RESTRICT indices, std::int64_t n, std::int64_t known,
                            const T* HWY_RESTRICT x, std::int64_t x_stride, T* HWY_RESTRICT y) {
  using R = typename T::value_type;
  const D d;
  hn::Vec<D> by_real[Vectors], by_imag[Vectors];
  for (int v = 0; v < Vectors; ++v) by_real[v] = by_imag[v] = hn::Zero(d);
  for (std::int64_t p = 0; p < n; ++p) {
    prefetch_block<block.bytes>(indices, p, known, x, x_stride);
    const auto real = hn::Set(d, values[p].real());
    const auto imag = hn::Set(d, Conjugate ? -values[p].imag() : values[p].imag());
    const R* row = reinterpret_cast<const R*>(x + static_cast<std::int64_t>(indices[p]) * x_stride);
    for (int v = 0; v < Vectors; ++v) {
      const auto columns = block.load_vector(row, v);
      by_real[v] = hn::MulAdd(real, columns, by_real[v]);
      by_imag[v] = hn::MulAdd(imag, columns, by_imag[v]);
    }
  }
  R* out = reinterpret_cast<R*>(y);
  for (int v = 0; v < Vectors; ++v) {
    // i·(re, im) = (−im, re): swap the pair and negate its real part.
    const auto swapped = hn::Reverse2(d, by_imag[v]);
    const auto turned = hn::OddEven(swapped, hn::Neg(swapped));
    store(hn::Add(by_real[v], turned), d, out + v * block.lanes, block.width(v));
  }
}

/// Rows [begin, end) times the block of columns that begins at real column c.
template <bool Conjugate, class D, int Vectors, bool Partial, class T, class I>
void block_rows(const MatmulOperands& op, std::size_t member, std::int64_t c, std::int64_t tail,
                std::int64_t begin, std::int64_t end) {
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* indices = static_cast<const I*>(op.a.pattern.indices);
  const T* values = static_cast<const T*>(op.a.values);
  const std::int64_t column = is_complex<T> ? c / 2 : c;
  const T* x = static_cast<const T*>(op.x) + op.x_batch[member] + column;
  T* y = static_cast<T*>(op.y) + op.y_batch[member] + column;
  const Block<D, Vectors, Partial> block{tail};
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t first = indptr[i];
    const std::int64_t n = indptr[i + 1] - first;
    const std::int64_t known = op.a.pattern.nnz - first;
    if constexpr (is_complex<T>) {
      complex_row<Conjugate>(block, values + first, indices + first, n, known, x, op.x_row_stride,
                             y + i * op.y_row_stride);
    } else {
      real_row(block, values + first, indices + first, n, known, x, op.x_row_stride,
               y + i * op.y_row_stride);
    }
  }
}

/// Rows [begin, end), one block of columns after the other.
template <bool Conjugate, class T, class I>
HWY_INLINE void all_blocks(const MatmulOperands& op, std::size_t member, std::int64_t begin,
                           std::int64_t end) {
  using R = Real<T>;
  using Full = hn::ScalableTag<R>;
  using Four = hn::CappedTag<R, 4>;
  using Eight = hn::CappedTag<R, 8>;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(Full()));
  constexpr int widest = HWY_TARGET == HWY_AVX2 && !is_complex<T> ? 8 : 4;
  const std::int64_t width = op.cols * (is_complex<T> ? 2 : 1);
  std::int64_t c = 0;
  const auto blocks = [&]<class D, int Vectors>() HWY_ATTR {
    constexpr std::int64_t step = Vectors * static_cast<std::int64_t>(hn::MaxLanes(D()));
    for (; width - c >= step; c += step) {
      block_rows<Conjugate, D, Vectors, false, T, I>(op, member, c, 0, begin, end);
    }
  };
  blocks.template operator()<Full, widest>();
  if (widest > 4) blocks.template operator()<Full, 4>();
  blocks.template operator()<Full, 2>();
  blocks.template operator()<Full, 1>();
  const std::int64_t tail = width - c;
  if (lanes > 4 && tail == 4) {
    block_rows<Conjugate, Four, 1, false, T, I>(op, member, c, 0, begin, end);
  } else if (lanes > 4 && tail > 0 && tail < 4) {
    block_rows<Conjugate, Four, 1, true, T, I>(op, member, c, tail, begin, end);
  } else if (lanes > 8 && tail == 8) {
    block_rows<Conjugate, Eight, 1, false, T, I>(op, member, c, 0, begin, end);
  } else if (tail > 0) {
    block_rows<Conjugate, Full, 1, true, T, I>(op, member, c, tail, begin, end);
  }
}

template <bool Conjugate, class T, class I>
void column_rows(const MatmulOperands& op, std::size_t member, std::int64_t begin,
                 std::int64_t end) {
  for (std::int64_t i = begin; i < end; i += tuning::matmul_row_group) {
    all_blocks<Conjugate, T, I>(op, member, i, std::min(end, i + tuning::matmul_row_group));
  }
}

// ---- Any strides --------------------------------------------------------------------------------

template <int Columns, bool Conjugate, class T, class I>
void strided_block(const MatmulOperands& op, std::int64_t first_column, std::int64_t begin,
                   std::int64_t end) {
  using A = Accumulator<T>;
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* indices = static_cast<const I*>(op.a.pattern.indices);
  const T* values = static_cast<const T*>(op.a.values);
  const T* x[Columns];
  T* y[Columns];
  for (int c = 0; c < Columns; ++c) {
    const std::int64_t column = first_column + c;
    const std::size_t member = static_cast<std::size_t>(column / op.cols);
    const std::int64_t within = column % op.cols;
    x[c] = static_cast<const T*>(op.x) + op.x_batch[member] + within * op.x_col_stride;
    y[c] = static_cast<T*>(op.y) + op.y_batch[member] + within * op.y_col_stride;
  }
  for (std::int64_t i = begin; i < end; ++i) {
    A sums[Columns] = {};
    for (std::int64_t p = indptr[i]; p < indptr[i + 1]; ++p) {
      const A a = conjugate_if<Conjugate>(A(widen(values[p])));
      const std::int64_t offset = static_cast<std::int64_t>(indices[p]) * op.x_row_stride;
      for (int c = 0; c < Columns; ++c) {
        sums[c] = multiply_add<A>(a, A(widen(x[c][offset])), sums[c]);
      }
    }
    for (int c = 0; c < Columns; ++c) y[c][i * op.y_row_stride] = narrow<T>(sums[c]);
  }
}

template <bool Conjugate, class T, class I>
void strided_rows(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  const std::int64_t columns = op.cols * static_cast<std::int64_t>(op.x_batch.size());
  std::int64_t c = 0;
  for (; c + 8 <= columns; c += 8) strided_block<8, Conjugate, T, I>(op, c, begin, end);
  for (; c + 2 <= columns; c += 2) strided_block<2, Conjugate, T, I>(op, c, begin, end);
  for (; c < columns; ++c) strided_block<1, Conjugate, T, I>(op, c, begin, end);
}

// ---- Choice -------------------------------------------------------------------------------------

template <bool Conjugate, class T, class I>
void rows_of(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  const std::size_t members = op.x_batch.size();
  if (op.cols == 1 && members == 1 && op.x_row_stride == 1) {
    return vector_rows<Conjugate, T, I>(op, begin, end);
  }
  constexpr bool has_pairs = !is_complex<T> || HWY_TARGET != HWY_SCALAR;
  if constexpr (has_pairs) {
    if (op.cols > 1 && op.x_col_stride == 1 && op.y_col_stride == 1) {
      for (std::size_t member = 0; member < members; ++member) {
        column_rows<Conjugate, T, I>(op, member, begin, end);
      }
      return;
    }
  }
  strided_rows<Conjugate, T, I>(op, begin, end);
}

void MatmulRows(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  visit_value(op.a.dtype, "A", [&](auto value) {
    visit_index(op.a.pattern.index_dtype, "A", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      if constexpr (is_complex<T>) {
        if (op.conjugate) return rows_of<true, T, I>(op, begin, end);
      }
      rows_of<false, T, I>(op, begin, end);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void matmul_cpu(const MatmulOperands& op) {
  const CsrPattern& pattern = op.a.pattern;
  const std::int64_t columns = op.cols * static_cast<std::int64_t>(op.x_batch.size());
  if (pattern.rows == 0 || columns == 0) return;
  const auto rows = GOSSAMER_SIMD_FUNCTION(MatmulRows);
  const std::int64_t cost = pattern.nnz + pattern.rows;
  std::int64_t pieces = 1;
  if (num_threads() > 1 && cost >= tuning::matmul_serial_work / columns) {
    pieces = num_threads() * tuning::matmul_pieces_per_thread;
  }
  if (columns > tuning::matmul_single_pass_columns) {
    pieces = std::max(pieces, cost / tuning::matmul_piece_cost);
  }
  pieces = std::min(pieces, pattern.rows);
  visit_index(pattern.index_dtype, "A", [&](auto index) {
    const auto* indptr = static_cast<const typename decltype(index)::type*>(pattern.indptr);
    parallel_for(pieces, [&](std::int64_t piece) {
      rows(op, balanced_row(indptr, pattern.rows, piece, pieces),
           balanced_row(indptr, pattern.rows, piece + 1, pieces));
    });
  });
}

}  // namespace gossamer
#endif  // HWY_ONCE
