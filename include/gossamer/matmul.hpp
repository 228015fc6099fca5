// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "gossamer/views.hpp"

namespace gossamer {

/// Y = A X, or conj(A) X.
///
/// A is m×n. X has shape (n), (n, k) or (..., n, k); Y has shape (m), (m, k) or (..., m, k) with
/// the same leading axes. All three share one value type; 16-bit types sum in float32. X and Y may
/// have any strides, and no two elements of Y may share memory, nor Y with A or X. Scratch: a few
/// words for each column and batch member; where columns of Y are strided, 32 KiB a thread; where
/// columns of X are and A is not very sparse, a copy of some of them, 64 MiB at most; where rows of
/// X straddle cache lines and are read often, a copy of X, 1 MiB at most, that each thread keeps.
///
/// Throws InvalidArgument for shapes that do not fit, InvalidDType for types that do not.
void matmul(const CsrView& a, const ArrayView& x, const ArrayView& y, bool conjugate = false);

/// Rows [begin, end) of a pattern, and columns [first, last) among which all theirs are.
struct RowPiece {
  std::int64_t begin, end;
  std::int64_t first, last;
};

/// The pieces of rows that matmul_transposed adds up apart from each other. Reads every index once.
///
/// They follow from the pattern alone, whatever the number of threads. Their columns together are
/// at most half as many as its positions, of two pieces twice as many; one piece may have them all.
std::vector<RowPiece> row_pieces(const CsrPattern& pattern);

/// Y = Aᵀ X, or Aᴴ X, without a transposed structure: every row of A is added into the sums of its
/// piece, then the pieces' sums to each other, in order.
///
/// A is m×n, `pieces` what row_pieces makes of it. X has shape (m), (m, k) or (..., m, k); Y has
/// shape (n), (n, k) or (..., n, k); otherwise as for matmul. Every column of X is a pass over A:
/// for many, matmul of a transpose is faster. Scratch: an accumulator for every column of every
/// piece.
///
/// Throws as matmul does.
void matmul_transposed(const CsrView& a, const std::vector<RowPiece>& pieces, const ArrayView& x,
                       const ArrayView& y, bool conjugate = false);

/// The sum of every column: what matmul_transposed makes of a vector of ones, but for infinite
/// complex values, which it multiplies by. `pieces` as there; sums: an element of A's dtype for
/// each of its columns, written. Throws InvalidDType for what is no value dtype.
void column_sums(const CsrView& a, const std::vector<RowPiece>& pieces, void* sums);

/// y = A x, or conj(A) x, for a vector, without a compressed structure: every entry is added into
/// the sum of its row.
///
/// x has shape (n), y (m), any strides. Entries are added up in pieces, which follow from their
/// number and that of the rows alone, then the pieces' sums to each other, in order. Scratch: an
/// accumulator for every row of every piece; together they are at most half as many as the entries,
/// of two pieces twice as many; one piece may have more.
///
/// Throws as matmul does.
void matmul_coo(const CooView& a, const ArrayView& x, const ArrayView& y, bool conjugate = false);

/// The sum of every row of entries; sums: an element of A's dtype for each, written. As
/// column_sums.
void row_sums_coo(const CooView& a, void* sums);

namespace reference {

/// The obvious loop, summing in double (long double for 64-bit types): what matmul is tested
/// against.
void matmul(const CsrView& a, const ArrayView& x, const ArrayView& y, bool conjugate = false);

}  // namespace reference
}  // namespace gossamer
