// SPDX-License-Identifier: Apache-2.0
#include "ops/reductions/row_extremes.hpp"

#include "core/message.hpp"
#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {

void check_row_extremes(const CsrView& a) {
  visit_value(a.dtype, "values", [&](auto value) {
    if constexpr (is_complex<typename decltype(value)::type>) {
      throw InvalidDType(
          message("row_extremes: A has dtype ", name(a.dtype), "; complex numbers have no order"));
    }
  });
  if (a.pattern.rows > 0 && a.pattern.cols == 0) {
    throw InvalidArgument(
        message("row_extremes: A of shape (", a.pattern.rows, ", 0) has no elements"));
  }
}

void row_extremes(const CsrView& a, Extreme extreme, void* extremes) {
  check_row_extremes(a);
  row_extremes_cpu(a, extreme, extremes);
}

}  // namespace gossamer
