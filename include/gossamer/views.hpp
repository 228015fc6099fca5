// SPDX-License-Identifier: Apache-2.0
// Views of memory that the caller owns. The engine never frees or keeps what a view points to.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "gossamer/dtype.hpp"

namespace gossamer {

/// A strided dense array of rank 0 to max_rank. Strides count elements and may be zero or negative.
struct ArrayView {
  static constexpr int max_rank = 8;

  void* data = nullptr;
  DType dtype = DType::float32;
  int rank = 0;
  std::array<std::int64_t, max_rank> shape{};
  std::array<std::int64_t, max_rank> strides{};

  /// A C-contiguous view. Throws InvalidArgument beyond max_rank or for a negative length.
  static ArrayView contiguous(void* data, DType dtype, std::initializer_list<std::int64_t> shape);

  /// A view for reading only: operations never write through an operand named const in their doc.
  static ArrayView contiguous(const void* data, DType dtype,
                              std::initializer_list<std::int64_t> shape);
};

/// The stored positions of a CSR matrix; of a CSC matrix when rows and columns are read exchanged.
///
/// indptr holds rows + 1 offsets into indices, starting at 0, never decreasing, ending at nnz.
struct CsrPattern {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t nnz = 0;
  DType index_dtype = DType::int32;
  const void* indptr = nullptr;
  const void* indices = nullptr;
  /// Optional, from find_runs: the rows that do not repeat the row before them, and `rows` at last.
  std::int64_t runs = 0;
  const void* run_starts = nullptr;
};

/// A CSR matrix: positions and one value for each.
struct CsrView {
  CsrPattern pattern;
  DType dtype = DType::float32;
  const void* values = nullptr;
};

/// The stored positions of a COO matrix, in any order, repeats allowed.
struct CooPattern {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t nnz = 0;
  DType index_dtype = DType::int32;
  const void* row = nullptr;
  const void* col = nullptr;
};

/// A COO matrix: positions and one value for each.
struct CooView {
  CooPattern pattern;
  DType dtype = DType::float32;
  const void* values = nullptr;
};

}  // namespace gossamer
