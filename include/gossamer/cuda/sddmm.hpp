// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gossamer/cuda.hpp"
#include "gossamer/views.hpp"

namespace gossamer::cuda {

/// Bytes of workspace that sddmm needs: for copies of operands whose columns are strided. Throws
/// for operands as sddmm does.
std::size_t sddmm_workspace(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v);

/// values[p] = sum over k of U[i, k] V[j, k] at each stored position p = (i, j), over all batch
/// members, as gossamer::sddmm. Throws as it does, and InvalidArgument for a workspace that is too
/// small.
void sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v, void* values,
           bool conjugate, Workspace workspace, Stream stream);

}  // namespace gossamer::cuda
