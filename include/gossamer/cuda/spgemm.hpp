// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gossamer/cuda.hpp"
#include "gossamer/views.hpp"

namespace gossamer::cuda {

/// values[p] = (A B)[i, j] at each stored position p = (i, j) of the mask, or (A Bᵀ)[i, j] when
/// transpose_b, as gossamer::spgemm_masked.
///
/// B must be canonical: its rows are searched. No workspace is needed. Throws InvalidArgument for
/// shapes that do not fit, InvalidDType for types that do not.
void spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                   bool transpose_b, Stream stream);

}  // namespace gossamer::cuda
