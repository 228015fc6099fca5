// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "gossamer/matmul.hpp"
#include "ops/matmul/matmul.hpp"

namespace gossamer {

/// Without x, as if that were ones.
void matmul_transposed_cpu(const MatmulOperands& operands, const std::vector<RowPiece>& pieces);

/// A product of entries with a vector whose operands were checked. Strides count elements.
struct CooOperands {
  CooView a;
  const void* x;  ///< null: as if that were ones
  void* y;
  std::int64_t x_stride, y_stride;
  bool conjugate;
};

/// Pieces of entries, each with sums for all rows.
void matmul_coo_cpu(const CooOperands& operands, const std::vector<RowPiece>& pieces);

}  // namespace gossamer
