// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gossamer/cuda.hpp"
#include "gossamer/views.hpp"

namespace gossamer::cuda {

/// values[p] = sum over k of U[i, k] V[j, k] at each stored position p = (i, j), over all batch
/// members, as gossamer::sddmm. Throws as it does.
void sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v, void* values,
           bool conjugate, Stream stream);

}  // namespace gossamer::cuda
