// SPDX-License-Identifier: Apache-2.0
// Three row walks, by the layout of X: one contiguous vector, contiguous columns, anything else.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/matmul_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
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
  if constexpr (std::is_same_v<T, float16>) {
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

/// Sum of values[p] * x[indices[p]], one product at a time over four independent sums.
template <bool Conjugate, class T, class I>
HWY_INLINE Accumulator<T> dot_scalar(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices,
                                     std::int64_t n, const T* HWY_RESTRICT x) {
  using A = Accumulator<T>;
  const auto product = [&](std::int64_t p, A sum) HWY_ATTR {
    return multiply_add<A>(conjugate_if<Conjugate>(A(widen(values[p]))), A(widen(x[indices[p]])),
                           sum);
  };
  A s0{}, s1{}, s2{}, s3{};
  std::int64_t p = 0;
  for (; p + 4 <= n; p += 4) {
    s0 = product(p, s0);
    s1 = product(p + 1, s1);
    s2 = product(p + 2, s2);
    s3 = product(p + 3, s3);
  }
  for (; p < n; ++p) s0 = product(p, s0);
  return (s0 + s1) + (s2 + s3);
}

// A gather pays where it beats scalar loads: with AVX-512; AVX2's does not on most machines.
#if HWY_TARGET <= HWY_AVX3
template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> load_indices(D, const std::int32_t* from) {
  const hn::RebindToSigned<D> di;
  if constexpr (sizeof(hn::TFromD<D>) == 4) {
    return hn::LoadU(di, from);
  } else {
    return hn::PromoteTo(di, hn::LoadU(hn::Rebind<std::int32_t, D>(), from));
  }
}
template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> load_indices(D, const std::int64_t* from) {
  return hn::LoadU(hn::RebindToSigned<D>(), from);
}

template <class T, class I>
inline constexpr bool can_gather =
    std::is_same_v<T, double> || (std::is_same_v<T, float> && sizeof(I) == 4);

template <class T, class I>
HWY_INLINE T dot_gather(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices, std::int64_t n,
                        const T* HWY_RESTRICT x) {
  const hn::ScalableTag<T> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  auto s0 = hn::Zero(d), s1 = hn::Zero(d);
  std::int64_t p = 0;
  for (; p + 2 * lanes <= n; p += 2 * lanes) {
    s0 = hn::MulAdd(hn::LoadU(d, values + p), hn::GatherIndex(d, x, load_indices(d, indices + p)),
                    s0);
    s1 = hn::MulAdd(hn::LoadU(d, values + p + lanes),
                    hn::GatherIndex(d, x, load_indices(d, indices + p + lanes)), s1);
  }
  for (; p + lanes <= n; p += lanes) {
    s0 = hn::MulAdd(hn::LoadU(d, values + p), hn::GatherIndex(d, x, load_indices(d, indices + p)),
                    s0);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, s1))) +
         dot_scalar<false>(values + p, indices + p, n - p, x);
}
#else
template <class T, class I>
inline constexpr bool can_gather = false;
#endif

template <bool Conjugate, class T, class I>
void vector_rows(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* indices = static_cast<const I*>(op.a.pattern.indices);
  const T* values = static_cast<const T*>(op.a.values);
  const T* x = static_cast<const T*>(op.x) + op.x_batch[0];
  T* y = static_cast<T*>(op.y) + op.y_batch[0];
  const std::int64_t y_stride = op.y_row_stride;
  std::int64_t first = indptr[begin];
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t last = indptr[i + 1];
    const std::int64_t n = last - first;
    if constexpr (can_gather<T, I>) {
      if (n >= static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()))) {
        y[i * y_stride] = dot_gather(values + first, indices + first, n, x);
        first = last;
        continue;
      }
    }
    y[i * y_stride] = narrow<T>(dot_scalar<Conjugate>(values + first, indices + first, n, x));
    first = last;
  }
}

// ---- Contiguous columns -------------------------------------------------------------------------

/// Writes `count` accumulators to y, rounding to T.
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

/// `count` lanes of x, the rest zero; reads nothing beyond them.
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

/// One row of A times Vectors vectors of columns (the last one `tail` wide when Partial).
template <int Vectors, bool Partial, class T, class I>
HWY_INLINE void real_block(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices,
                           std::int64_t n, const T* HWY_RESTRICT x, std::int64_t x_stride,
                           T* HWY_RESTRICT y, std::int64_t tail) {
  using A = Accumulator<T>;
  const hn::ScalableTag<A> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  // Few vectors: several sums each, to hide the latency of the multiply-add.
  constexpr int Chains = Vectors == 1 ? 4 : Vectors == 2 ? 2 : 1;
  hn::Vec<decltype(d)> sums[Chains][Vectors];
  for (int chain = 0; chain < Chains; ++chain) {
    for (int v = 0; v < Vectors; ++v) sums[chain][v] = hn::Zero(d);
  }
  const auto add = [&](std::int64_t p, int chain) HWY_ATTR {
    const auto a = hn::Set(d, widen(values[p]));
    const T* row = x + static_cast<std::int64_t>(indices[p]) * x_stride;
    for (int v = 0; v < Vectors; ++v) {
      const auto columns = Partial && v == Vectors - 1 ? load_first(d, row + v * lanes, tail)
                                                       : load(d, row + v * lanes);
      sums[chain][v] = hn::MulAdd(a, columns, sums[chain][v]);
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
    store(sum, d, y + v * lanes, Partial && v == Vectors - 1 ? tail : lanes);
  }
}

/// The same for complex values: x as interleaved reals, the real and imaginary factors summed apart.
template <int Vectors, bool Partial, bool Conjugate, class T, class I>
HWY_INLINE void complex_block(const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices,
                              std::int64_t n, const T* HWY_RESTRICT x, std::int64_t x_stride,
                              T* HWY_RESTRICT y, std::int64_t tail) {
  using R = typename T::value_type;
  const hn::ScalableTag<R> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  hn::Vec<decltype(d)> by_real[Vectors], by_imag[Vectors];
  for (int v = 0; v < Vectors; ++v) by_real[v] = by_imag[v] = hn::Zero(d);
  for (std::int64_t p = 0; p < n; ++p) {
    const auto real = hn::Set(d, values[p].real());
    const auto imag = hn::Set(d, Conjugate ? -values[p].imag() : values[p].imag());
    const R* row = reinterpret_cast<const R*>(x + static_cast<std::int64_t>(indices[p]) * x_stride);
    for (int v = 0; v < Vectors; ++v) {
      const auto columns = Partial && v == Vectors - 1 ? load_first(d, row + v * lanes, tail)
                                                       : load(d, row + v * lanes);
      by_real[v] = hn::MulAdd(real, columns, by_real[v]);
      by_imag[v] = hn::MulAdd(imag, columns, by_imag[v]);
    }
  }
  R* out = reinterpret_cast<R*>(y);
  for (int v = 0; v < Vectors; ++v) {
    // i·(re, im) = (−im, re): swap the pair and negate its real part.
    const auto swapped = hn::Reverse2(d, by_imag[v]);
    const auto turned = hn::OddEven(swapped, hn::Neg(swapped));
    store(hn::Add(by_real[v], turned), d, out + v * lanes,
          Partial && v == Vectors - 1 ? tail : lanes);
  }
}

template <bool Conjugate, class T, class I>
void column_rows(const MatmulOperands& op, std::size_t member, std::int64_t begin,
                 std::int64_t end) {
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* indices = static_cast<const I*>(op.a.pattern.indices);
  const T* values = static_cast<const T*>(op.a.values);
  const T* x = static_cast<const T*>(op.x) + op.x_batch[member];
  T* y = static_cast<T*>(op.y) + op.y_batch[member];
  constexpr std::int64_t reals = is_complex<T> ? 2 : 1;
  constexpr std::int64_t lanes =
      static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<Real<T>>()));
  const std::int64_t width = op.cols * reals;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t first = indptr[i];
    const std::int64_t n = indptr[i + 1] - first;
    T* row = y + i * op.y_row_stride;
    std::int64_t c = 0;
    const auto block = [&]<int Vectors, bool Partial>(std::int64_t tail) HWY_ATTR {
      const T* columns = x + c / reals;
      if constexpr (is_complex<T>) {
        complex_block<Vectors, Partial, Conjugate>(values + first, indices + first, n, columns,
                                                   op.x_row_stride, row + c / reals, tail);
      } else {
        real_block<Vectors, Partial>(values + first, indices + first, n, columns, op.x_row_stride,
                                     row + c / reals, tail);
      }
    };
    constexpr int widest = is_complex<T> ? 4 : 8;
    for (; width - c >= widest * lanes; c += widest * lanes) block.template operator()<widest, false>(0);
    if (width - c >= 4 * lanes) {
      block.template operator()<4, false>(0);
      c += 4 * lanes;
    }
    if (width - c >= 2 * lanes) {
      block.template operator()<2, false>(0);
      c += 2 * lanes;
    }
    if (width - c >= lanes) {
      block.template operator()<1, false>(0);
      c += lanes;
    }
    if (width > c) block.template operator()<1, true>(width - c);
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
  if (op.x_batch.size() > 1) {
    pieces = std::max(pieces, cost / tuning::matmul_batch_piece_nnz);
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
