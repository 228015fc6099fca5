// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "gossamer/matmul.hpp"
#include "ops/matmul/matmul.hpp"

namespace gossamer {

/// Without x, as if that were ones.
void matmul_transposed_cpu(const MatmulOperands& operands, const std::vector<RowPiece>& pieces);

}  // namespace gossamer
