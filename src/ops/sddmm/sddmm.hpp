// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "gossamer/views.hpp"

namespace gossamer {

/// One dense operand: rows of k elements for each batch member. Strides and offsets count elements.
struct SddmmOperand {
  const void* data;
  std::int64_t row_stride, col_stride;
  std::vector<std::int64_t> batch;  ///< offset of each member
};

/// A sampled product whose operands were checked.
struct SddmmOperands {
  CsrPattern pattern;
  DType dtype;
  SddmmOperand u, v;
  std::int64_t cols;  ///< k
  void* values;
  bool conjugate;
};

/// Checks the operands of sddmm and describes them. Throws as sddmm does.
SddmmOperands check_sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v,
                          void* values, bool conjugate);

void sddmm_cpu(const SddmmOperands& operands);

}  // namespace gossamer
