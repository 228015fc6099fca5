// SPDX-License-Identifier: Apache-2.0
#include "ops/matmul/matmul.hpp"

#include "core/dense_product.hpp"
#include "core/message.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/matmul.hpp"

namespace gossamer {

void check_matmul_shapes(const CsrView& a, const ArrayView& x, const ArrayView& y) {
  const CsrPattern& pattern = a.pattern;
  if (x.dtype != a.dtype || y.dtype != a.dtype) {
    throw InvalidDType(message("matmul: A is ", name(a.dtype), ", X ", name(x.dtype), " and Y ",
                               name(y.dtype), "; all three must be the same"));
  }
  if (x.rank < 1) throw InvalidArgument("matmul: X has rank 0; it must be at least 1");
  if (!shapes_fit(x, pattern.cols, y, pattern.rows)) {
    throw InvalidArgument(message("matmul: A has shape (", pattern.rows, ", ", pattern.cols,
                                  "), X ", shape_text(x), " and Y ", shape_text(y),
                                  "; X's row axis must have A's ", pattern.cols, " columns"));
  }
}

MatmulOperands check_matmul(const CsrView& a, const ArrayView& x, const ArrayView& y,
                            bool conjugate) {
  check_matmul_shapes(a, x, y);
  return describe_matmul(a, x, y, conjugate);
}

MatmulOperands describe_matmul(const CsrView& a, const ArrayView& x, const ArrayView& y,
                               bool conjugate) {
  MatmulOperands operands;
  operands.a = a;
  operands.x = x.data;
  operands.y = y.data;
  operands.conjugate = conjugate;
  operands.x_row_stride = x.strides[row_axis(x)];
  operands.y_row_stride = y.strides[row_axis(y)];
  const bool vector = x.rank == 1;
  operands.cols = vector ? 1 : x.shape[x.rank - 1];
  operands.x_col_stride = vector ? 1 : x.strides[x.rank - 1];
  operands.y_col_stride = vector ? 1 : y.strides[y.rank - 1];
  operands.x_batch = batch_offsets(x);
  operands.y_batch = batch_offsets(y);
  return operands;
}

void matmul(const CsrView& a, const ArrayView& x, const ArrayView& y, bool conjugate) {
  const MatmulOperands operands = check_matmul(a, x, y, conjugate);
  if (pays_to_copy(operands)) return matmul_adjacent_cpu(operands);
  matmul_cpu(operands);
}

}  // namespace gossamer
