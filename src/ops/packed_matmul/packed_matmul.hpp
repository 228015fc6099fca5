// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "gossamer/packed.hpp"

namespace gossamer {

/// The dense operand of a checked product: all batch members' columns numbered through.
struct PackedMatmulOperand {
  void* data;
  DType dtype;
  std::int64_t rows;
  std::int64_t row_stride;
  std::vector<std::int64_t> columns;  ///< offset of each column's first element
};

/// A product whose operands were checked.
struct PackedMatmulOperands {
  PackedView packed;
  PackedMatmulOperand x, y;
  bool transpose;
};

/// Checks the operands of packed_matmul and describes them. Throws as packed_matmul does.
PackedMatmulOperands check_packed_matmul(const PackedView& packed, const ArrayView& x,
                                         const ArrayView& y, bool transpose);

/// The product on the CPU.
void packed_matmul_cpu(const PackedMatmulOperands& operands);

}  // namespace gossamer
