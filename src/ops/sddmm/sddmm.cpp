// SPDX-License-Identifier: Apache-2.0
#include "ops/sddmm/sddmm.hpp"

#include "core/dense_product.hpp"
#include "core/message.hpp"
#include "core/visit.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/sddmm.hpp"

namespace gossamer {
namespace {

SddmmOperand describe(const ArrayView& array) {
  SddmmOperand operand{array.data, array.strides[row_axis(array)], 1, batch_offsets(array)};
  if (array.rank > 1) operand.col_stride = array.strides[array.rank - 1];
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
  if (!shapes_fit(u, pattern.rows, v, pattern.cols)) {
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
