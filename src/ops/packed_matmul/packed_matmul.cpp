// SPDX-License-Identifier: Apache-2.0
#include "ops/packed_matmul/packed_matmul.hpp"

#include "core/dense_product.hpp"
#include "core/message.hpp"
#include "formats/packed.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {
namespace {

PackedMatmulOperand describe(const ArrayView& array, const char* argument) {
  visit_dense(array.dtype, argument, [](auto) {});
  const int rows = row_axis(array);
  return {array.data, array.dtype, array.shape[rows], array.strides[rows], column_offsets(array)};
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
  const std::int64_t inputs = transpose ? packed.rows : packed.cols;
  const std::int64_t outputs = transpose ? packed.cols : packed.rows;
  if (!shapes_fit(x, inputs, y, outputs)) {
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
