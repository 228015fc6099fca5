// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "gossamer/packed.hpp"

namespace gossamer::cuda {

/// Number of vectors in X (k, cols) and Y (k, rows), both C-contiguous and of one dtype. Throws
/// InvalidArgument or InvalidDType.
std::int64_t check_vectors(const ArrayView& x, const ArrayView& y, std::int64_t rows,
                           std::int64_t cols);

/// Throws InvalidArgument unless dense has that shape.
void check_dense(const ArrayView& dense, std::int64_t rows, std::int64_t cols);

}  // namespace gossamer::cuda
