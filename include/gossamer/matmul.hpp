// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gossamer/views.hpp"

namespace gossamer {

/// Y = A X, or conj(A) X.
///
/// A is m×n. X has shape (n), (n, k) or (..., n, k); Y has shape (m), (m, k) or (..., m, k) with
/// the same leading axes. All three share one value type; 16-bit types sum in float32. X and Y may
/// have any strides, and no two elements of Y may share memory, nor Y with A or X. Nothing is
/// allocated beyond a few words for each column and batch member.
///
/// Throws InvalidArgument for shapes that do not fit, InvalidDType for types that do not.
void matmul(const CsrView& a, const ArrayView& x, const ArrayView& y, bool conjugate = false);

namespace reference {

/// The obvious loop, summing in double (long double for 64-bit types): what matmul is tested
/// against.
void matmul(const CsrView& a, const ArrayView& x, const ArrayView& y, bool conjugate = false);

}  // namespace reference
}  // namespace gossamer
