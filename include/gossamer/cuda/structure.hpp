// SPDX-License-Identifier: Apache-2.0
// Structural operations on device memory: positions and index maps, as gossamer/structure.hpp
// describes them. Maps are always written. Throw InvalidArgument for a workspace that is too small.
#pragma once

#include <cstdint>

#include "gossamer/cuda.hpp"
#include "gossamer/structure.hpp"

namespace gossamer::cuda {

/// What a pass over positions found.
struct PatternScan {
  bool valid;                    ///< gossamer::validate would not throw
  PatternProperties properties;  ///< of valid positions
};

/// Looks at every offset and index, whatever they are. Which one is wrong the host's validate says.
/// workspace: 256 bytes. Waits for the stream.
PatternScan scan(const CsrPattern& pattern, Workspace workspace, Stream stream);
PatternScan scan(const CooPattern& coo, Workspace workspace, Stream stream);

/// Bytes of workspace that transpose, coo_to_csr and sort_indices need.
std::size_t sort_workspace(std::int64_t nnz, DType index_dtype);

/// Positions of the transpose, each of its rows in the order of the input's rows.
/// indptr: cols + 1 elements, indices and map: nnz elements, written.
void transpose(const CsrPattern& pattern, void* indptr, void* indices, void* map,
               Workspace workspace, Stream stream);

/// CSR positions of a COO pattern, each row by column when `sorted`, else in input order.
/// indptr: rows + 1 elements, indices and map: nnz elements, written.
void coo_to_csr(const CooPattern& coo, bool sorted, void* indptr, void* indices, void* map,
                Workspace workspace, Stream stream);

/// The row index of every stored position; row: nnz elements, written.
void csr_to_coo(const CsrPattern& pattern, void* row, Stream stream);

/// Sorts each row by column, stable. indices and map: nnz elements, written.
void sort_indices(const CsrPattern& pattern, void* indices, void* map, Workspace workspace,
                  Stream stream);

/// Bytes of workspace that count_distinct needs.
std::size_t count_distinct_workspace(const CsrPattern& sorted);

/// Counts the distinct positions of a pattern with sorted rows. indptr: rows + 1 elements, written.
/// Returns their number; waits for the stream.
std::int64_t count_distinct(const CsrPattern& sorted, void* indptr, Workspace workspace,
                            Stream stream);

/// The distinct columns and where each one's run of duplicates begins. indices: distinct elements;
/// segments: distinct + 1 offsets into the sorted positions, written.
void fill_distinct(const CsrPattern& sorted, const void* indptr, void* indices, void* segments,
                   Stream stream);

/// Bytes of workspace that count_nonzeros needs.
std::size_t count_nonzeros_workspace(const ArrayView& dense, DType index_dtype);

/// First phase of fromdense, as gossamer::count_nonzeros; the count must fit index_dtype. indptr:
/// rows + 1 elements, written. Returns nnz; waits for the stream.
std::int64_t count_nonzeros(const ArrayView& dense, double threshold, DType index_dtype,
                            void* indptr, Workspace workspace, Stream stream);

/// Second phase: columns and values of the counted elements.
void fill_nonzeros(const ArrayView& dense, double threshold, DType index_dtype, const void* indptr,
                   void* indices, void* values, Stream stream);

}  // namespace gossamer::cuda
