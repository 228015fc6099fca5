// SPDX-License-Identifier: Apache-2.0
#include "ops/structure/row_pairs.hpp"

#include "core/message.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {

void check_row_pairs(std::string_view operation, const CsrPattern& a, const CsrPattern& b) {
  if (a.rows != b.rows || a.cols != b.cols) {
    throw InvalidArgument(message(operation, ": a has shape (", a.rows, ", ", a.cols, ") and b (",
                                  b.rows, ", ", b.cols, "); they must be equal"));
  }
  if (a.index_dtype != b.index_dtype) {
    throw InvalidDType(message(operation, ": a has ", name(a.index_dtype), " indices and b ",
                               name(b.index_dtype), "; they must be the same"));
  }
}

void check_row_pairs(std::string_view operation, const CsrView& a, const CsrView& b) {
  check_row_pairs(operation, a.pattern, b.pattern);
  if (a.dtype != b.dtype) {
    throw InvalidDType(message(operation, ": a has ", name(a.dtype), " values and b ",
                               name(b.dtype), "; they must be the same"));
  }
}

}  // namespace gossamer
