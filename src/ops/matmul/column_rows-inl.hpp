// SPDX-License-Identifier: Apache-2.0
// Rows of A times contiguous columns, a block of them at a time. Included once for each SIMD
// target.
#if defined(GOSSAMER_OPS_MATMUL_COLUMN_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_MATMUL_COLUMN_ROWS_INL_HPP
#undef GOSSAMER_OPS_MATMUL_COLUMN_ROWS_INL_HPP
#else
#define GOSSAMER_OPS_MATMUL_COLUMN_ROWS_INL_HPP
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ops/matmul/lanes-inl.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_tuning.hpp"
#include "ops/matmul/run_rows-inl.hpp"
#include "simd/targets.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Asks for the block of X that a coming position of A will need, of `nnz` positions.
///
/// Besides latency this hides what a block costs that straddles cache lines, as blocks of NumPy's
/// arrays do.
template <std::size_t Bytes, class T, class I>
HWY_INLINE void prefetch_block(const I* indices, std::int64_t p, std::int64_t nnz, const T* x,
                               std::int64_t x_stride) {
  if constexpr (Bytes >= 64) {
    constexpr std::int64_t ahead = (Bytes <= 128 ? 2 : 1) * tuning::matmul_blocks_ahead;
    const std::int64_t next = indices[std::min(p + ahead, nnz - 1)];
    const char* block = reinterpret_cast<const char*>(x + next * x_stride);
    for (std::size_t byte = 0; byte < Bytes; byte += 64) hwy::Prefetch(block + byte);
    hwy::Prefetch(block + Bytes - 1);  // a line more, where blocks straddle lines
  }
}

/// Whether the result is too large for the caches, and rows that begin like y are whole cache
/// lines: they are then written without being read before.
template <class T>
bool streams_result(const MatmulOperands& op, const T* y) {
  constexpr std::int64_t line = 64 / sizeof(T);
  const std::int64_t members = static_cast<std::int64_t>(op.y_batch.size());
  const std::int64_t bytes =
      op.a.pattern.rows * op.cols * members * static_cast<std::int64_t>(sizeof(T));
  return !op.y_is_scratch && bytes >= tuning::matmul_streamed_result &&
         op.y_row_stride % line == 0 && reinterpret_cast<std::uintptr_t>(y) % 64 == 0;
}

/// Positions [p, end) of A, a row's, times a block of columns; AsksAhead: blocks of coming
/// positions are asked for.
template <bool AsksAhead, class Columns, class T, class I>
HWY_INLINE void real_row(Columns block, const T* HWY_RESTRICT values, const I* HWY_RESTRICT indices,
                         std::int64_t p, std::int64_t end, std::int64_t nnz,
                         const T* HWY_RESTRICT x, std::int64_t x_stride, T* HWY_RESTRICT y) {
  using D = typename Columns::Tag;
  const D d;
  // Few vectors: several sums each, to hide the latency of the multiply-add.
  constexpr int Chains = Columns::vectors == 1 ? 4 : Columns::vectors == 2 ? 2 : 1;
  hn::Vec<D> sums[Chains][Columns::loads];
  for (int chain = 0; chain < Chains; ++chain) {
    for (int v = 0; v < Columns::loads; ++v) sums[chain][v] = hn::Zero(d);
  }
  const auto add = [&](int chain) HWY_ATTR {
    if constexpr (AsksAhead) prefetch_block<Columns::bytes>(indices, p, nnz, x, x_stride);
    const auto a = hn::Set(d, widen(values[p]));
    const T* row = x + static_cast<std::int64_t>(indices[p]) * x_stride;
    for (int v = 0; v < Columns::loads; ++v) {
      sums[chain][v] = hn::MulAdd(a, block.load_vector(row, v), sums[chain][v]);
    }
    ++p;
  };
  while (p + Chains <= end) {
    for (int chain = 0; chain < Chains; ++chain) add(chain);
  }
  while (p < end) add(0);
  for (int v = 0; v < Columns::loads; ++v) {
    for (int chain = 1; chain < Chains; ++chain) {
      sums[0][v] = hn::Add(sums[0][v], sums[chain][v]);
    }
  }
  block.store_vectors(sums[0], y);
}

/// The same for complex values: x as interleaved reals, the real and imaginary factors summed
/// apart.
template <bool Conjugate, class D, int Vectors, bool Partial, class T, class I>
HWY_INLINE void complex_row(Block<D, Vectors, Partial> block, const T* HWY_RESTRICT values,
                            const I* HWY_RESTRICT indices, std::int64_t p, std::int64_t end,
                            std::int64_t nnz, const T* HWY_RESTRICT x, std::int64_t x_stride,
                            T* HWY_RESTRICT y) {
  using R = typename T::value_type;
  const D d;
  hn::Vec<D> by_real[Vectors], by_imag[Vectors];
  for (int v = 0; v < Vectors; ++v) by_real[v] = by_imag[v] = hn::Zero(d);
  for (; p < end; ++p) {
    prefetch_block<block.bytes>(indices, p, nnz, x, x_stride);
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
    block.store_vector(hn::Add(by_real[v], turned), out, v);
  }
}

/// Whether the rows of a member of X take more than that.
template <class T>
bool x_exceeds(const MatmulOperands& op, std::int64_t bytes) {
  // Rows that share memory may be more than bytes can be counted.
  const std::int64_t row = op.cols * static_cast<std::int64_t>(sizeof(T));
  return op.a.pattern.cols > bytes / row;
}

/// Whether rows of X are far enough to be asked for ahead.
template <class T>
bool asks_ahead(const MatmulOperands& op) {
  return x_exceeds<T>(op, tuning::matmul_near_x) || !simd::hides_cache_latency();
}

/// Calls body(block, shift) for a block of columns of X, shifted where its rows straddle cache
/// lines, if that pays.
template <class D, int Vectors, bool Partial, class T, class Body>
HWY_INLINE void with_block(const T* x, std::int64_t x_stride, std::int64_t tail, bool streams,
                           bool pays, Body body) {
  constexpr std::int64_t line = 64 / sizeof(T);
  if constexpr (HWY_TARGET <= HWY_AVX3 && Vectors > 1 && !Partial &&
                std::is_same_v<T, hn::TFromD<D>> && hn::MaxLanes(D()) == line) {
    const std::int64_t shift =
        static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(x) % 64 / sizeof(T));
    if (shift != 0 && pays && x_stride % line == 0 && !streams) {
      return body(ShiftedBlock<D, Vectors>(shift), shift);
    }
  }
  body(Block<D, Vectors, Partial>{tail, streams}, std::int64_t{0});
}

/// Rows [begin, end) of A times a block of columns. Not inlined: among the other blocks' loops its
/// variables would lie in memory.
template <bool AsksAhead, class Columns, class T, class I>
HWY_NOINLINE void real_rows(Columns block, const MatmulOperands& op, const T* x, T* y,
                            std::int64_t begin, std::int64_t end) {
  const I* HWY_RESTRICT indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* HWY_RESTRICT indices = static_cast<const I*>(op.a.pattern.indices);
  const T* HWY_RESTRICT values = static_cast<const T*>(op.a.values);
  const std::int64_t nnz = op.a.pattern.nnz, x_stride = op.x_row_stride, y_stride = op.y_row_stride;
  for (std::int64_t i = begin; i < end; ++i) {
    real_row<AsksAhead>(block, values, indices, indptr[i], indptr[i + 1], nnz, x, x_stride,
                        y + i * y_stride);
  }
}

/// Rows [begin, end) times the block of columns that begins at real column c.
template <bool Conjugate, class D, int Vectors, bool Partial, class T, class I>
void block_rows(const MatmulOperands& op, std::size_t member, std::int64_t c, std::int64_t tail,
                std::int64_t begin, std::int64_t end) {
  const std::int64_t column = is_complex<T> ? c / 2 : c;
  const T* x = static_cast<const T*>(op.x) + op.x_batch[member] + column;
  T* y = static_cast<T*>(op.y) + op.y_batch[member] + column;
  const bool streams = streams_result(op, y - column);
  if constexpr (is_complex<T>) {
    const Block<D, Vectors, Partial> block{tail, streams};
    const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
    const I* indices = static_cast<const I*>(op.a.pattern.indices);
    const T* values = static_cast<const T*>(op.a.values);
    for (std::int64_t i = begin; i < end; ++i) {
      complex_row<Conjugate>(block, values, indices, indptr[i], indptr[i + 1], op.a.pattern.nnz, x,
                             op.x_row_stride, y + i * op.y_row_stride);
    }
  } else {
    const bool far = asks_ahead<T>(op);
    const bool pays = Vectors >= tuning::matmul_shifted_vectors || !far;
    with_block<D, Vectors, Partial>(
        x, op.x_row_stride, tail, streams, pays, [&](auto block, std::int64_t shift) HWY_ATTR {
          using Columns = decltype(block);
          // One line a position: its latency is hidden from any cache.
          const bool asks = far && (Columns::loads > 1 || !simd::hides_cache_latency());
          const auto rows = asks ? real_rows<true, Columns, T, I> : real_rows<false, Columns, T, I>;
          rows(block, op, x - shift, y - shift, begin, end);
        });
  }
}

/// Rows [begin, end) of a run times the block of columns that begins at column c.
template <class D, int Vectors, bool Partial, class T, class I>
void block_run(const MatmulOperands& op, const Run<I>& run, std::size_t member, std::int64_t c,
               std::int64_t tail, std::int64_t begin, std::int64_t end) {
  const T* x = static_cast<const T*>(op.x) + op.x_batch[member] + c;
  T* y = static_cast<T*>(op.y) + op.y_batch[member] + c;
  const bool pays =
      Vectors >= tuning::matmul_shifted_vectors && !x_exceeds<T>(op, tuning::matmul_shifted_run_x);
  with_block<D, Vectors, Partial>(
      x, op.x_row_stride, tail, streams_result(op, y - c), pays,
      [&](auto block, std::int64_t shift) HWY_ATTR {
        const T* values = static_cast<const T*>(op.a.values) + run.first;
        std::int64_t i = begin;
        const auto rows = [&]<int Rows>(std::int64_t last) HWY_ATTR {
          for (; i + Rows <= last; i += Rows) {
            const std::int64_t moved = i - run.begin;
            run_block<Rows>(block, run, values + moved * run.n, x - shift + moved * op.x_row_stride,
                            op.x_row_stride, y - shift + i * op.y_row_stride, op.y_row_stride);
          }
        };
        // Each row of A waits for its sum before: one vector of columns takes more rows.
        if constexpr (Vectors == 1 && HWY_TARGET <= HWY_AVX3) rows.template operator()<8>(end);
        rows.template operator()<4>(end);
        rows.template operator()<1>(end);
      });
}

/// Calls body<D, Vectors, Partial>(c, tail) for one block of `width` columns after the other, the
/// widest of `Widest` vectors.
template <class R, int Widest, class Body>
HWY_INLINE void for_each_block(std::int64_t width, Body body) {
  using Full = hn::ScalableTag<R>;
  using Four = hn::CappedTag<R, 4>;
  using Eight = hn::CappedTag<R, 8>;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(Full()));
  std::int64_t c = 0;
  const auto blocks = [&]<class D, int Vectors>() HWY_ATTR {
    constexpr std::int64_t step = Vectors * static_cast<std::int64_t>(hn::MaxLanes(D()));
    for (; width - c >= step; c += step) body.template operator()<D, Vectors, false>(c, 0);
  };
  if constexpr (Widest > 4) blocks.template operator()<Full, 8>();
  if constexpr (Widest > 2) blocks.template operator()<Full, 4>();
  blocks.template operator()<Full, 2>();
  blocks.template operator()<Full, 1>();
  const std::int64_t tail = width - c;
  if (lanes > 4 && tail == 4) {
    body.template operator()<Four, 1, false>(c, 0);
  } else if (lanes > 4 && tail > 0 && tail < 4) {
    body.template operator()<Four, 1, true>(c, tail);
  } else if (lanes > 8 && tail == 8) {
    body.template operator()<Eight, 1, false>(c, 0);
  } else if (tail > 0) {
    body.template operator()<Full, 1, true>(c, tail);
  }
}

template <bool Conjugate, class T, class I>
void column_rows(const MatmulOperands& op, std::size_t member, std::int64_t begin,
                 std::int64_t end) {
  constexpr bool narrow_target = HWY_TARGET == HWY_AVX2;  // 16 registers
  constexpr int widest = is_complex<T> ? 4 : 8;
  // One block of columns needs no groups.
  const std::int64_t width = op.cols * (is_complex<T> ? 2 : 1);
  std::int64_t blocks = 0;
  for_each_block<Real<T>, widest>(
      width, [&]<class, int, bool>(std::int64_t, std::int64_t) HWY_ATTR { ++blocks; });
  const std::int64_t group = blocks == 1 ? op.a.pattern.rows : tuning::matmul_row_group;
  const auto groups = [&](std::int64_t first, std::int64_t last, auto body) HWY_ATTR {
    for (std::int64_t i = first; i < last; i += group) body(i, std::min(last, i + group));
  };
  const auto alone = [&](std::int64_t first, std::int64_t last) HWY_ATTR {
    groups(first, last, [&](std::int64_t i, std::int64_t until) HWY_ATTR {
      for_each_block<Real<T>, widest>(width, [&]<class D, int Vectors, bool Partial>(
                                                 std::int64_t c, std::int64_t tail) HWY_ATTR {
        block_rows<Conjugate, D, Vectors, Partial, T, I>(op, member, c, tail, i, until);
      });
    });
  };
  if constexpr (!is_complex<T>) {
    if (op.a.pattern.runs > 0) {
      return for_each_run<true, I>(
          op.a.pattern, begin, end, tuning::matmul_row_group,
          [&](const Run<I>& run, std::int64_t first, std::int64_t last) HWY_ATTR {
            groups(first, last, [&](std::int64_t i, std::int64_t until) HWY_ATTR {
              for_each_block<Real<T>, narrow_target ? 2 : 4>(
                  op.cols, [&]<class D, int Vectors, bool Partial>(std::int64_t c,
                                                                   std::int64_t tail) HWY_ATTR {
                    block_run<D, Vectors, Partial, T, I>(op, run, member, c, tail, i, until);
                  });
            });
          },
          alone);
    }
  }
  alone(begin, end);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
