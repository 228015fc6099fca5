// SPDX-License-Identifier: Apache-2.0
#include "patterns.hpp"

#include <string>
#include <utility>

#include "gossamer/errors.hpp"

namespace gossamer::python {

PyCsrPattern::PyCsrPattern(std::int64_t rows, std::int64_t cols, InputArray indptr_array,
                           InputArray indices_array)
    : indptr(std::move(indptr_array)), indices(std::move(indices_array)) {
  if (rows < 0 || cols < 0) {
    throw InvalidArgument("shape = (" + std::to_string(rows) + ", " + std::to_string(cols) +
                          ") is negative");
  }
  view.rows = rows;
  view.cols = cols;
  view.nnz = static_cast<std::int64_t>(indices.size());
  view.index_dtype = dtype_of(indices.dtype(), "indices");
  view.indptr = vector_data(indptr, rows + 1, view.index_dtype, "indptr");
  view.indices = vector_data(indices, view.nnz, view.index_dtype, "indices");
}

void PyCsrPattern::use_runs(InputArray starts, std::int64_t runs) {
  if (view.runs > 0) return;  // another thread came first, and may be multiplying
  view.run_starts = vector_data(starts, runs + 1, view.index_dtype, "starts");
  view.runs = runs;
  run_starts = std::move(starts);
}

CooPattern coo_pattern(std::int64_t rows, std::int64_t cols, const InputArray& row,
                       const InputArray& col) {
  if (rows < 0 || cols < 0) {
    throw InvalidArgument("shape = (" + std::to_string(rows) + ", " + std::to_string(cols) +
                          ") is negative");
  }
  CooPattern coo;
  coo.rows = rows;
  coo.cols = cols;
  coo.nnz = static_cast<std::int64_t>(row.size());
  coo.index_dtype = dtype_of(row.dtype(), "row");
  coo.row = vector_data(row, coo.nnz, coo.index_dtype, "row");
  coo.col = vector_data(col, coo.nnz, coo.index_dtype, "col");
  return coo;
}

CsrView with_values(const PyCsrPattern& pattern, const ArrayView& values, const char* argument) {
  CsrView csr;
  csr.pattern = pattern.view;
  csr.dtype = values.dtype;
  csr.values = vector_data(values, pattern.view.nnz, csr.dtype, argument);
  return csr;
}

}  // namespace gossamer::python
