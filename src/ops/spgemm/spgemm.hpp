// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "gossamer/views.hpp"

namespace gossamer {

/// Where the second phase writes, beside what it reads.
struct SpgemmResult {
  const std::int64_t* indptr;
  DType index_dtype;
  void* indices;
  void* values;  ///< null: columns only
};

/// Operands of the kernels.
struct SpgemmOperands {
  CsrView a, b;
  bool canonical;  ///< the columns of each row of B are known to increase strictly
  bool prefetch;   ///< B is too large for the caches that are near
  bool tabled;     ///< few columns beside the work: worth a table of them
};

/// Elements between the pieces of SpgemmAtOnce's workspace, which building their rows may write.
inline constexpr std::int64_t spgemm_piece_padding = 64;

/// Into how many pieces to cut rows that cost `work` operations together.
std::int64_t pieces_of(std::int64_t work, std::int64_t rows);

// All of these trust their operands: the public functions have checked them.

/// indptr[i + 1] = products of row i; returns those of all.
std::int64_t spgemm_products_cpu(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr);
/// From those products, `work` of them all, to the row offsets.
std::int64_t spgemm_count_cpu(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr,
                              std::int64_t work);
void spgemm_fill_cpu(const CsrView& a, const CsrView& b, const SpgemmResult& c);
void spgemm_masked_cpu(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                       bool transpose_b);

/// Throws what the public functions throw for operands that do not fit.
void check_spgemm(const CsrPattern& a, const CsrPattern& b);
void check_spgemm_values(const CsrView& a, const CsrView& b);
void check_spgemm_columns(std::int64_t columns, DType c_index_dtype);
void check_spgemm_fill(const CsrView& a, const CsrView& b, const SpgemmResult& c);
void check_spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask,
                         bool transpose_b);

}  // namespace gossamer
