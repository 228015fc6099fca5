// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "gossamer/views.hpp"

namespace gossamer {

/// First phase of C = A B for CSR patterns: the row offsets of C, whose positions are those that a
/// product falls on (no cancellation is looked for).
///
/// A is m×k, B is k×n, both of one index dtype; both may be unsorted and hold duplicates. indptr: m
/// + 1 int64 elements, written. Returns the number of positions of C. Scratch: for each thread
/// O(min(n, f)), f the products of the row of C with most of them, and n bytes where that is at
/// most 128 KiB. Throws InvalidArgument for shapes that do not fit, InvalidDType for index types
/// that do not.
std::int64_t spgemm_count(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr);

/// Second phase: sorted columns (of c_index_dtype) and values of C, without duplicates.
///
/// indptr is what spgemm_count wrote for the same patterns; indices and values: indptr[m] elements,
/// written. Both operands share one value type, which is the result's; 16-bit types sum in float32,
/// and every element of C is summed in the order of A's row. values may be null: then only the
/// columns are written. Scratch as in the first phase. Throws InvalidArgument, also where
/// c_index_dtype cannot hold a column, and InvalidDType.
void spgemm_fill(const CsrView& a, const CsrView& b, const std::int64_t* indptr,
                 DType c_index_dtype, void* indices, void* values);

/// Where C is computed before it is known how large it is.
struct SpgemmWorkspace {
  void* columns = nullptr;  ///< of A's index dtype
  void* sums = nullptr;     ///< of the accumulator's type
};

/// C = A B in one phase, for those who can spare memory for all its products: every row is computed
/// once, into a workspace, and copied from there to where C is kept. Results have the bits of
/// spgemm_count and spgemm_fill.
///
/// a, b: as for spgemm_fill; they, indptr, m + 1 int64 elements, and the workspace are borrowed
/// until the last call. Throws what spgemm_fill throws, and InvalidArgument for calls out of order.
class SpgemmAtOnce {
 public:
  /// Writes to indptr how many products each row has, for the calls that follow.
  SpgemmAtOnce(const CsrView& a, const CsrView& b, std::int64_t* indptr);

  /// Bytes that compute needs: a column and a sum for each product, and for 64 more of each of some
  /// pieces.
  std::int64_t workspace_bytes() const;

  /// Writes the row offsets to indptr and returns the number of positions; C stays in the
  /// workspace, aligned to 8 bytes, until collect has copied it.
  std::int64_t compute(void* workspace);

  /// What spgemm_fill writes, after compute.
  void collect(DType c_index_dtype, void* indices, void* values) const;

  /// What spgemm_count writes, instead of compute: where the workspace would be too large.
  std::int64_t count();

 private:
  CsrView a_, b_;
  std::int64_t* indptr_;
  std::int64_t products_ = 0;
  bool counted_ = false;               ///< indptr holds row offsets, no longer products
  std::vector<std::int64_t> begins_;   ///< rows of the pieces
  std::vector<std::int64_t> starts_;   ///< where they begin in the workspace
  std::vector<std::int64_t> offsets_;  ///< where they begin in C
  SpgemmWorkspace workspace_;
};

/// values[p] = (A B)[i, j] at each stored position p = (i, j) of the mask, or (A Bᵀ)[i, j] when
/// transpose_b.
///
/// These are the gradients of C = A B by its operands: dA = dC Bᵀ at A's positions, without a
/// transposed copy of B, and dB = Aᵀ dC at B's positions. The mask may be unsorted and hold
/// duplicates; it shares the operands' index dtype. values: mask.nnz elements of the operands'
/// value type, written. Scratch: for each thread O(min(n, f)) as in spgemm_count. Throws
/// InvalidArgument for shapes that do not fit, InvalidDType for types that do not.
void spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                   bool transpose_b = false);

namespace reference {

/// The obvious loops, summing in double (long double for 64-bit types): what the above is tested
/// against.
std::int64_t spgemm_count(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr);
void spgemm_fill(const CsrView& a, const CsrView& b, const std::int64_t* indptr,
                 DType c_index_dtype, void* indices, void* values);
void spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                   bool transpose_b = false);

}  // namespace reference
}  // namespace gossamer
