// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul_transposed/matmul_transposed_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "ops/matmul/vector_rows-inl.hpp"
#include "ops/matmul_transposed/matmul_transposed.hpp"
#include "ops/matmul_transposed/matmul_transposed_tuning.hpp"
#include "ops/structure/scratch.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Whether each row is multiplied by its element of x, and whether A is conjugated for that.
enum class Factors { none, x, x_of_conjugate };

/// Adds the rows of a piece, each times its factor, to `sums`, one for each of the piece's columns.
template <Factors factors, class T, class I>
void add_rows(const MatmulOperands& op, const T* x, const RowPiece& piece,
              Accumulator<T>* HWY_RESTRICT sums) {
  using A = Accumulator<T>;
  const I* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const I* indices = static_cast<const I*>(op.a.pattern.indices);
  const T* values = static_cast<const T*>(op.a.values);
  std::fill_n(sums, piece.last - piece.first, A{});
  std::int64_t p = indptr[piece.begin];
  for (std::int64_t i = piece.begin; i < piece.end; ++i) {
    const A factor = factors == Factors::none ? A(1) : A(widen(x[i * op.x_row_stride]));
    const auto product = [&](std::int64_t q) HWY_ATTR {
      const A value = conjugate_if<factors == Factors::x_of_conjugate>(A(widen(values[q])));
      return factors == Factors::none ? value : multiply_add<A>(value, factor, A{});
    };
    const auto sum = [&](std::int64_t q) HWY_ATTR -> A& { return sums[indices[q] - piece.first]; };
    const std::int64_t last = indptr[i + 1];
    prefetch_stream(values + p, indices + p);
    // Four at a time: only the additions have to keep their order, since columns may repeat.
    for (; p + 4 <= last; p += 4) {
      A &s0 = sum(p), &s1 = sum(p + 1), &s2 = sum(p + 2), &s3 = sum(p + 3);
      const A a0 = product(p), a1 = product(p + 1), a2 = product(p + 2), a3 = product(p + 3);
      s0 += a0;
      s1 += a1;
      s2 += a2;
      s3 += a3;
    }
    for (; p < last; ++p) sum(p) += product(p);
  }
}

/// Adds the entries of a piece, each times its element of x, to `sums`, one for each row.
template <Factors factors, class T, class I>
void add_entries(const CooOperands& op, const RowPiece& piece, Accumulator<T>* HWY_RESTRICT sums) {
  using A = Accumulator<T>;
  const I* row = static_cast<const I*>(op.a.pattern.row);
  const I* col = static_cast<const I*>(op.a.pattern.col);
  const T* values = static_cast<const T*>(op.a.values);
  const T* x = static_cast<const T*>(op.x);
  std::fill_n(sums, piece.last, A{});
  for (std::int64_t p = piece.begin; p < piece.end; ++p) {
    const A value = conjugate_if<factors == Factors::x_of_conjugate>(A(widen(values[p])));
    if constexpr (factors == Factors::none) {
      sums[row[p]] += value;
    } else {
      sums[row[p]] = multiply_add<A>(value, A(widen(x[col[p] * op.x_stride])), sums[row[p]]);
    }
  }
}

/// Adds the sums of all pieces for columns [begin, end) of the result in the order of the pieces,
/// and writes them to y.
template <class T>
void add_pieces(const std::vector<RowPiece>& pieces, const Accumulator<T>* sums, T* y,
                std::int64_t stride, std::int64_t begin, std::int64_t end) {
  using A = Accumulator<T>;
  A total[tuning::transposed_sum_grain] = {};
  for (const RowPiece& piece : pieces) {
    const std::int64_t first = std::max(begin, piece.first), last = std::min(end, piece.last);
    for (std::int64_t j = first; j < last; ++j) total[j - begin] += sums[j - piece.first];
    sums += piece.last - piece.first;
  }
  for (std::int64_t j = begin; j < end; ++j) y[j * stride] = narrow<T>(total[j - begin]);
}

/// Room for the sums of all pieces, and where those of each begin.
template <class A>
struct PieceSums {
  explicit PieceSums(const std::vector<RowPiece>& pieces) : offsets(pieces.size() + 1) {
    for (std::size_t k = 0; k < pieces.size(); ++k) {
      offsets[k + 1] = offsets[k] + pieces[k].last - pieces[k].first;
    }
    memory = make_scratch<A>(static_cast<std::size_t>(offsets.back()));
  }

  std::vector<std::int64_t> offsets;
  Scratch<A> memory;
};

/// Writes y, of `length` elements, from what add(piece, sums) adds up of each piece.
template <class T, class Add>
void sum_pieces(const std::vector<RowPiece>& pieces, const PieceSums<Accumulator<T>>& sums, T* y,
                std::int64_t stride, std::int64_t length, Add add) {
  Accumulator<T>* const memory = sums.memory.get();
  parallel_for(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t k) HWY_ATTR {
    const std::size_t piece = static_cast<std::size_t>(k);
    add(pieces[piece], memory + sums.offsets[piece]);
  });
  parallel_ranges(length, tuning::transposed_sum_grain,
                  [&](std::int64_t begin, std::int64_t end)
                      HWY_ATTR { add_pieces<T>(pieces, memory, y, stride, begin, end); });
}

template <Factors factors, class T, class I>
void multiply(const MatmulOperands& op, const std::vector<RowPiece>& pieces) {
  const PieceSums<Accumulator<T>> sums(pieces);
  for (std::size_t member = 0; member < op.x_batch.size(); ++member) {
    for (std::int64_t c = 0; c < op.cols; ++c) {
      const T* x = factors == Factors::none
                       ? nullptr
                       : static_cast<const T*>(op.x) + op.x_batch[member] + c * op.x_col_stride;
      T* y = static_cast<T*>(op.y) + op.y_batch[member] + c * op.y_col_stride;
      sum_pieces<T>(pieces, sums, y, op.y_row_stride, op.a.pattern.cols,
                    [&](const RowPiece& piece, Accumulator<T>* of_piece)
                        HWY_ATTR { add_rows<factors, T, I>(op, x, piece, of_piece); });
    }
  }
}

template <Factors factors, class T, class I>
void multiply(const CooOperands& op, const std::vector<RowPiece>& pieces) {
  sum_pieces<T>(pieces, PieceSums<Accumulator<T>>(pieces), static_cast<T*>(op.y), op.y_stride,
                op.a.pattern.rows, [&](const RowPiece& piece, Accumulator<T>* sums) HWY_ATTR {
                  add_entries<factors, T, I>(op, piece, sums);
                });
}

/// Of operands of either kind.
template <class Operands>
void multiply_any(const Operands& op, const std::vector<RowPiece>& pieces) {
  visit_value(op.a.dtype, "A", [&](auto value) {
    visit_index(op.a.pattern.index_dtype, "A", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      if (op.x == nullptr) return multiply<Factors::none, T, I>(op, pieces);
      if constexpr (is_complex<T>) {
        if (op.conjugate) return multiply<Factors::x_of_conjugate, T, I>(op, pieces);
      }
      multiply<Factors::x, T, I>(op, pieces);
    });
  });
}

void MatmulTransposed(const MatmulOperands& op, const std::vector<RowPiece>& pieces) {
  multiply_any(op, pieces);
}

void MatmulCoo(const CooOperands& op, const std::vector<RowPiece>& pieces) {
  multiply_any(op, pieces);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void matmul_transposed_cpu(const MatmulOperands& op, const std::vector<RowPiece>& pieces) {
  GOSSAMER_SIMD_FUNCTION(MatmulTransposed)(op, pieces);
}

void matmul_coo_cpu(const CooOperands& op, const std::vector<RowPiece>& pieces) {
  GOSSAMER_SIMD_FUNCTION(MatmulCoo)(op, pieces);
}

}  // namespace gossamer
#endif  // HWY_ONCE
