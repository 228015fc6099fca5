// SPDX-License-Identifier: Apache-2.0
#include "ops/sddmm/sddmm.hpp"

#include <string>

#include "core/message.hpp"
#include "core/visit.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/sddmm.hpp"

namespace gossamer {
namespace {

std::string shape_text(const ArrayView& array) {
  std::string text = "(";
  for (int axis = 0; axis < array.rank; ++axis) {
    text += std::to_string(array.shape[axis]) + (axis + 1 < array.rank ? ", " : "");
  }
  return text + (array.rank == 1 ? ",)" : ")");
}

SddmmOperand describe(const ArrayView& array) {
  SddmmOperand operand{array.data, 0, 1, {0}};
  operand.row_stride = array.strides[array.rank == 1 ? 0 : array.rank - 2];
  if (array.rank > 1) operand.col_stride = array.strides[array.rank - 1];
  for (int axis = 0; axis < array.rank - 2; ++axis) {
    std::vector<std::int64_t> offsets;
    offsets.reserve(operand.batch.size() * static_cast<std::size_t>(array.shape[axis]));
    for (std::int64_t offset : operand.batch) {
      for (std::int64_t i = 0; i < array.shape[axis]; ++i) {
        offsets.push_back(offset + i * array.strides[axis]);
      }
    }
    operand.batch = std::move(offsets);
  }
  return operand;
}

}  // namespace

SddmmOperands check_sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v,
                          void* values, bool conjugate) {
  if (u.dtype != v.dtype) {
    throw InvalidDType(message("sddmm: U is ", name(u.dtype), " and V ", name(v.dtype),
                               "; both must be the same"));
  }
  visit_value(u.dtype, "U", [](auto) {});
  visit_index(pattern.index_dtype, "the pattern's indices", [](auto) {});
  if (u.rank < 1) throw InvalidArgument("sddmm: U has rank 0; it must be at least 1");
  const int row_axis = u.rank == 1 ? 0 : u.rank - 2;
  bool fits =
      v.rank == u.rank && u.shape[row_axis] == pattern.rows && v.shape[row_axis] == pattern.cols;
  for (int axis = 0; fits && axis < u.rank; ++axis) {
    fits = axis == row_axis || u.shape[axis] == v.shape[axis];
  }
  if (!fits) {
    throw InvalidArgument(message("sddmm: the pattern has shape (", pattern.rows, ", ",
                                  pattern.cols, "), U ", shape_text(u), " and V ", shape_text(v),
                                  "; U must have its rows, V a row for each of its columns"));
  }
  const std::int64_t cols = u.rank == 1 ? 1 : u.shape[u.rank - 1];
  return {pattern, u.dtype, describe(u), describe(v), cols, values, conjugate};
}

void sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v, void* values,
           bool conjugate) {
  sddmm_cpu(check_sddmm(pattern, u, v, values, conjugate));
}

}  // namespace gossamer
