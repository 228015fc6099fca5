// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gossamer/views.hpp"

namespace gossamer {

/// values[p] = sum over k of U[i, k] V[j, k] at each stored position p = (i, j), over all batch
/// members.
///
/// The pattern is m×n. U has shape (m), (m, k) or (..., m, k), V (n), (n, k) or (..., n, k) with
/// the same leading axes; any strides. values: nnz elements of the operands' dtype, written. With
/// `conjugate` V is conjugated. 16-bit types sum in float32. Nothing is allocated beyond a few
/// words for each batch member. Throws InvalidArgument for shapes that do not fit, InvalidDType for
/// types that do not.
void sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v, void* values,
           bool conjugate = false);

namespace reference {

/// The obvious loop, summing in double (long double for 64-bit types): what sddmm is tested
/// against.
void sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v, void* values,
           bool conjugate = false);

}  // namespace reference
}  // namespace gossamer
