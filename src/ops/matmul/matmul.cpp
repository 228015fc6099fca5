// SPDX-License-Identifier: Apache-2.0
#include "ops/matmul/matmul.hpp"

#include "core/message.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/matmul.hpp"

namespace gossamer {
namespace {

std::string shape_text(const ArrayView& array) {
  std::string text = "(";
  for (int axis = 0; axis < array.rank; ++axis) {
    text += std::to_string(array.shape[axis]) + (axis + 1 < array.rank ? ", " : "");
  }
  return text + (array.rank == 1 ? ",)" : ")");
}

/// Offsets of the batch members: every index over the axes before the last two, in C order.
std::vector<std::int64_t> batch_offsets(const ArrayView& array) {
  std::vector<std::int64_t> offsets{0};
  for (int axis = 0; axis < array.rank - 2; ++axis) {
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * static_cast<std::size_t>(array.shape[axis]));
    for (std::int64_t offset : offsets) {
      for (std::int64_t i = 0; i < array.shape[axis]; ++i) {
        next.push_back(offset + i * array.strides[axis]);
      }
    }
    offsets = std::move(next);
  }
  return offsets;
}

}  // namespace

void check_matmul_shapes(const CsrView& a, const ArrayView& x, const ArrayView& y) {
  const CsrPattern& pattern = a.pattern;
  if (x.dtype != a.dtype || y.dtype != a.dtype) {
    throw InvalidDType(message("matmul: A is ", name(a.dtype), ", X ", name(x.dtype), " and Y ",
                               name(y.dtype), "; all three must be the same"));
  }
  if (x.rank < 1) throw InvalidArgument("matmul: X has rank 0; it must be at least 1");
  const int row_axis = x.rank == 1 ? 0 : x.rank - 2;
  bool fits =
      y.rank == x.rank && x.shape[row_axis] == pattern.cols && y.shape[row_axis] == pattern.rows;
  for (int axis = 0; fits && axis < x.rank; ++axis) {
    fits = axis == row_axis || x.shape[axis] == y.shape[axis];
  }
  if (!fits) {
    throw InvalidArgument(message("matmul: A has shape (", pattern.rows, ", ", pattern.cols,
                                  "), X ", shape_text(x), " and Y ", shape_text(y),
                                  "; X's row axis must have A's ", pattern.cols, " columns"));
  }
}

MatmulOperands check_matmul(const CsrView& a, const ArrayView& x, const ArrayView& y,
                            bool conjugate) {
  check_matmul_shapes(a, x, y);
  const int row_axis = x.rank == 1 ? 0 : x.rank - 2;
  MatmulOperands operands;
  operands.a = a;
  operands.x = x.data;
  operands.y = y.data;
  operands.conjugate = conjugate;
  operands.x_row_stride = x.strides[row_axis];
  operands.y_row_stride = y.strides[row_axis];
  const bool vector = x.rank == 1;
  operands.cols = vector ? 1 : x.shape[x.rank - 1];
  operands.x_col_stride = vector ? 1 : x.strides[x.rank - 1];
  operands.y_col_stride = vector ? 1 : y.strides[y.rank - 1];
  operands.x_batch = batch_offsets(x);
  operands.y_batch = batch_offsets(y);
  return operands;
}

void matmul(const CsrView& a, const ArrayView& x, const ArrayView& y, bool conjugate) {
  matmul_cpu(check_matmul(a, x, y, conjugate));
}

}  // namespace gossamer
