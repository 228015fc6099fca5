// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "gossamer/views.hpp"

namespace gossamer {

/// A product whose operands were checked: dense operands as blocks of columns.
///
/// The columns of X and Y over all batch members are numbered through, k to a member. Strides and
/// offsets count elements.
struct MatmulOperands {
  CsrView a;
  const void* x;
  void* y;
  std::int64_t x_row_stride, y_row_stride;
  std::int64_t x_col_stride, y_col_stride;
  std::int64_t cols;                           ///< columns of one member, k
  std::vector<std::int64_t> x_batch, y_batch;  ///< offset of each member
  bool conjugate;
  bool y_is_scratch = false;  ///< read again soon: not to be written past the caches
};

/// Checks the operands of matmul. Throws as it does.
void check_matmul_shapes(const CsrView& a, const ArrayView& x, const ArrayView& y);

/// Checks the operands of matmul and describes them. Throws as matmul does.
MatmulOperands check_matmul(const CsrView& a, const ArrayView& x, const ArrayView& y,
                            bool conjugate);

/// Describes operands that were checked.
MatmulOperands describe_matmul(const CsrView& a, const ArrayView& x, const ArrayView& y,
                               bool conjugate);

void matmul_cpu(const MatmulOperands& operands);

/// Whether matmul_adjacent_cpu is faster: X's columns are strided, each is read often enough, and
/// the copies are not too large.
bool pays_to_copy(const MatmulOperands& operands);

/// The same product by way of copies of some columns of X in which a row's elements are neighbours.
void matmul_adjacent_cpu(const MatmulOperands& operands);

/// Whether each of `threads` is faster with a copy of X of its own, whose rows are whole cache
/// lines: those of X straddle them, and are few and read often.
bool pays_to_align(const MatmulOperands& operands, std::int64_t threads);

/// The operands with X in such a copy, which the calling thread keeps, and makes once for a product
/// of this number. Sums have the same bits.
MatmulOperands with_aligned_rows(const MatmulOperands& operands, std::uint64_t product);

}  // namespace gossamer
