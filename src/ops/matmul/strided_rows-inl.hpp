// SPDX-License-Identifier: Apache-2.0
// Rows of A times columns of any strides. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_MATMUL_STRIDED_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_MATMUL_STRIDED_ROWS_INL_HPP
#undef GOSSAMER_OPS_MATMUL_STRIDED_ROWS_INL_HPP
#else
#define GOSSAMER_OPS_MATMUL_STRIDED_ROWS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>

#include "core/scalar.hpp"
#include "ops/matmul/matmul.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// acc + a * b, of a column alone rounded once where vectors are. GCC makes one instruction of it
/// in several columns; in one GCC 13 multiplies vectors first, and a batch would have other bits
/// than its members.
template <int Columns, class T>
HWY_INLINE T add_product_to(T acc, T a, T b) {
#if HWY_TARGET <= HWY_AVX2
  if constexpr (Columns == 1 && !is_complex<T>) return std::fma(a, b, acc);
#endif
  return multiply_add<T>(a, b, acc);
}

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
        sums[c] = add_product_to<Columns, A>(sums[c], a, A(widen(x[c][offset])));
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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
