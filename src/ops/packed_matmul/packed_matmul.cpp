// SPDX-License-Identifier: Apache-2.0
#include "ops/packed_matmul/packed_matmul.hpp"

#include <string>

#include "core/message.hpp"
#include "formats/packed.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {
namespace {

std::string shape_text(const ArrayView& array) {
  std::string text = "(";
  for (int axis = 0; axis < array.rank; ++axis) {
    text += std::to_string(array.shape[axis]) + (axis + 1 < array.rank ? ", " : "");
  }
  return text + (array.rank == 1 ? ",)" : ")");
}

PackedMatmulOperand describe(const ArrayView& array, const char* argument) {
  visit_dense(array.dtype, argument, [](auto) {});
  const int row_axis = array.rank == 1 ? 0 : array.rank - 2;
  PackedMatmulOperand operand{
      array.data, array.dtype, array.shape[row_axis], array.strides[row_axis], {0}};
  // Columns in C order: the batch axes, then the last axis.
  for (int axis = 0; axis < array.rank; ++axis) {
    if (axis == row_axis) continue;
    std::vector<std::int64_t> next;
    for (std::int64_t offset : operand.columns) {
      for (std::int64_t i = 0; i < array.shape[axis]; ++i) {
        next.push_back(offset + i * array.strides[axis]);
      }
    }
    operand.columns = std::move(next);
  }
  return operand;
}

void fill_zero(const PackedMatmulOperand& y) {
  visit_dense(y.dtype, "Y", [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (const std::int64_t column : y.columns) {
      for (std::int64_t i = 0; i < y.rows; ++i) {
        static_cast<T*>(y.data)[column + i * y.row_stride] = T{};
      }
    }
  });
}

}  // namespace

PackedMatmulOperands check_packed_matmul(const PackedView& packed, const ArrayView& x,
                                         const ArrayView& y, bool transpose) {
  if (x.rank < 1) throw InvalidArgument("packed_matmul: X has rank 0; it must be at least 1");
  const int row_axis = x.rank == 1 ? 0 : x.rank - 2;
  const std::int64_t inputs = transpose ? packed.rows : packed.cols;
  const std::int64_t outputs = transpose ? packed.cols : packed.rows;
  bool fits = y.rank == x.rank && x.shape[row_axis] == inputs && y.shape[row_axis] == outputs;
  for (int axis = 0; fits && axis < x.rank; ++axis) {
    fits = axis == row_axis || x.shape[axis] == y.shape[axis];
  }
  if (!fits) {
    throw InvalidArgument(message("packed_matmul: the ", transpose ? "transposed " : "",
                                  "matrix has shape (", outputs, ", ", inputs, "), X ",
                                  shape_text(x), " and Y ", shape_text(y),
                                  "; X's row axis must have ", inputs, " elements, Y's ", outputs));
  }
  return {packed, describe(x, "X"), describe(y, "Y"), transpose};
}

void packed_matmul(const PackedView& packed, const ArrayView& x, const ArrayView& y,
                   bool transpose) {
  const PackedMatmulOperands operands = check_packed_matmul(packed, x, y, transpose);
  // Without values there may be no array of them.
  packed.slots == 0 ? fill_zero(operands.y) : packed_matmul_cpu(operands);
}

}  // namespace gossamer
