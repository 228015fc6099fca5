// SPDX-License-Identifier: Apache-2.0
// Structural operations: they compute positions and index maps, and add no values.
//
// An index map says for each output position which input position its value comes from; values
// follow through gather and segment_sum (gossamer/values.hpp). Maps have the index dtype of their
// input. Where only the values are wanted, the overloads that take a view with values move these
// along instead.
//
// Patterns must be valid (see validate). Outputs must not overlap the inputs or each other. All
// throw InvalidDType for index types other than int32 and int64; validate, transpose and coo_to_csr
// throw InvalidArgument for a shape or a number of positions that does not fit the index dtype.
#pragma once

#include <cstdint>
#include <span>

#include "gossamer/views.hpp"

namespace gossamer {

/// What is known of the order of a pattern's positions.
struct PatternProperties {
  bool sorted_indices;  ///< each row's columns never decrease; of a COO pattern: row-major order
  bool canonical;       ///< sorted, and no position is stored twice
};

/// Checks every offset and index of a pattern. Throws InvalidArgument naming the first wrong
/// element, such as "csr_array: indices[17] = 512 is out of range for 512 columns"; for a CSC
/// container `csc` makes the message speak of rows.
PatternProperties validate(const CsrPattern& pattern, bool csc = false);

/// Checks every index of a COO pattern likewise.
PatternProperties validate(const CooPattern& pattern);

/// Positions of the transpose, each of its rows in the order of the input's rows (stable counting
/// sort).
///
/// indptr: cols + 1 elements, indices and map: nnz elements, written. map may be null.
/// Scratch: 2 bytes a position, and O(one block of rows) a thread.
void transpose(const CsrPattern& pattern, void* indptr, void* indices, void* map);

/// The same with the values moved along; values: nnz elements, written.
void transpose(const CsrView& a, void* indptr, void* indices, void* values);

/// CSR positions of a COO pattern, each row by column when `sorted`, else in input order (stable).
///
/// indptr: rows + 1 elements, indices and map: nnz elements, written. map may be null. indices may
/// be null, and with it map, when the input is known to be sorted, which is not looked at again:
/// then its columns are the answer. Returns what is known of the result's order. Scratch as for
/// transpose.
PatternProperties coo_to_csr(const CooPattern& coo, bool sorted, void* indptr, void* indices,
                             void* map);

/// The same with the values moved along; values: nnz elements, written.
PatternProperties coo_to_csr(const CooView& coo, bool sorted, void* indptr, void* indices,
                             void* values);

/// Finds the runs of a pattern: rows that each hold the columns of the row before, moved one to the
/// right, as rows of bands and stencils do. A pattern that knows its runs is multiplied faster,
/// reading a run's columns once.
///
/// starts: capacity + 1 elements, written: the first row of each run, then `rows`. Returns the
/// number of runs, or 0 if there are more than `capacity`.
std::int64_t find_runs(const CsrPattern& pattern, void* starts, std::int64_t capacity);

/// The row index of every stored position; row: nnz elements, written.
void csr_to_coo(const CsrPattern& pattern, void* row);

/// Sorts each row by column, stable. indices and map: nnz elements, written; map may be null.
/// Returns what is known of the result's order. Scratch: O(longest row) a thread.
PatternProperties sort_indices(const CsrPattern& pattern, void* indices, void* map);

/// The same with the values moved along; values: nnz elements, written.
PatternProperties sort_indices(const CsrView& a, void* indices, void* values);

/// First phase of summing duplicates of a pattern with sorted rows: counts distinct positions.
/// indptr: rows + 1 elements, written. Returns the number of distinct positions.
std::int64_t count_distinct(const CsrPattern& sorted, void* indptr);

/// Second phase: the distinct columns and where each one's run of duplicates begins.
/// indices: distinct elements; segments: distinct + 1 offsets into the sorted positions, written.
void fill_distinct(const CsrPattern& sorted, const void* indptr, void* indices, void* segments);

/// The same with the values of each run summed in order, as segment_sum does; values: distinct
/// elements.
void fill_distinct(const CsrView& sorted, const void* indptr, void* indices, void* values);

/// begin, begin + step, ... as far as end, which is left out; a negative step counts down.
struct IndexRange {
  std::int64_t begin, end, step;
};

/// First phase of selecting rows, in any order, a row as often as it is named: where each begins in
/// the result. rows: `count` row numbers, not checked. indptr: count + 1 elements, written, unless
/// they do not hold the number of positions, which is returned.
std::int64_t count_rows(const CsrPattern& pattern, const std::int64_t* rows, std::int64_t count,
                        void* indptr);

/// Second phase. indptr is read; indices and map: indptr[count] elements, written.
void select_rows(const CsrPattern& pattern, const std::int64_t* rows, std::int64_t count,
                 const void* indptr, void* indices, void* map);

/// The same with the values moved along; values: indptr[count] elements, written.
void select_rows(const CsrView& a, const std::int64_t* rows, std::int64_t count, const void* indptr,
                 void* indices, void* values);

/// First phase of selecting a range of columns, as Python's slices name them: counts what it holds.
/// indptr: rows + 1 elements, written. Returns the number of positions.
/// Throws InvalidArgument for a step of 0 or a range that leaves the columns.
std::int64_t count_columns(const CsrPattern& pattern, const IndexRange& columns, void* indptr);

/// Second phase: the numbers of the columns within the range, and where each position was. Each row
/// keeps its order, which a negative step turns around. indices and map: indptr[rows] elements,
/// written. Throws as the first phase.
void fill_columns(const CsrPattern& pattern, const IndexRange& columns, const void* indptr,
                  void* indices, void* map);

/// The same for columns by number, in any order, a column as often as it is named: row c of
/// targets, of the pattern's index dtype, holds the numbers that column c gets, increasing. Throws
/// InvalidArgument where targets has not a row for each column, or another index dtype, or when the
/// count does not fit the dtype.
std::int64_t count_picked_columns(const CsrPattern& pattern, const CsrPattern& targets,
                                  void* indptr);

/// Second phase. Each row keeps its order, equal columns next to each other. indices and map:
/// indptr[rows] elements, written.
void fill_picked_columns(const CsrPattern& pattern, const CsrPattern& targets, const void* indptr,
                         void* indices, void* map);

/// First phase of a sum of two canonical patterns of equal shape and index dtype: counts the union.
/// indptr: rows + 1 elements, written. Returns the number of positions.
/// Throws InvalidArgument for shapes or index dtypes that differ, or when the count does not fit
/// the dtype.
std::int64_t count_union(const CsrPattern& a, const CsrPattern& b, void* indptr);

/// Second phase: columns of the union, sorted, and for each the position in a and in b, or -1 where
/// absent.
void fill_union(const CsrPattern& a, const CsrPattern& b, const void* indptr, void* indices,
                void* from_a, void* from_b);

/// The same with the values added, or b's subtracted, as zero where absent; values: an element for
/// each position of the union. Throws InvalidDType unless both have one value type.
void fill_union(const CsrView& a, const CsrView& b, bool subtract, const void* indptr,
                void* indices, void* values);

/// First phase of an elementwise product of two canonical patterns: counts the positions that both
/// hold. indptr and errors as of count_union.
std::int64_t count_intersection(const CsrPattern& a, const CsrPattern& b, void* indptr);

/// Second phase: columns of the intersection, sorted, and for each the position in a and in b.
void fill_intersection(const CsrPattern& a, const CsrPattern& b, const void* indptr, void* indices,
                       void* from_a, void* from_b);

/// The same with the values multiplied; values: an element for each position of the intersection.
/// Throws InvalidDType unless both have one value type.
void fill_intersection(const CsrView& a, const CsrView& b, const void* indptr, void* indices,
                       void* values);

/// Positions of matrices side by side: each row has those of all blocks' rows, in the blocks'
/// order. The map numbers the positions of all blocks through.
///
/// indptr: rows + 1 elements, indices and map: the sum of the blocks' nnz, written. Throws
/// InvalidArgument without blocks, for numbers of rows that differ or when the result does not fit
/// the index dtype, InvalidDType for index dtypes that differ.
void hstack(std::span<const CsrPattern> blocks, void* indptr, void* indices, void* map);

/// The same with the values moved along; values: an element for each position of the result. Throws
/// InvalidDType for value types that differ.
void hstack(std::span<const CsrView> blocks, void* indptr, void* indices, void* values);

/// Positions of a Kronecker product of shape (a.rows b.rows, a.cols b.cols): every element of a
/// times b, in its place. The map numbers pairs of positions, p of a and q of b: p b.nnz + q.
///
/// indptr: a.rows b.rows + 1 elements, indices and map: a.nnz b.nnz, written; rows are in order
/// where those of both are, and none of a has a column twice. Throws InvalidArgument when the
/// result does not fit the index dtype, InvalidDType for index dtypes that differ.
void kron(const CsrPattern& a, const CsrPattern& b, void* indptr, void* indices, void* map);

/// The same with the values multiplied; values: an element for each position of the result. Throws
/// InvalidDType for value types that differ.
void kron(const CsrView& a, const CsrView& b, void* indptr, void* indices, void* values);

/// First phase of fromdense: per-row counts of elements with |x| > threshold, NaN included. dense
/// is (m, n), any strides and value dtype. indptr: rows + 1 elements of index_dtype, written.
/// Returns nnz. Throws InvalidArgument when the count or a dimension does not fit index_dtype, or
/// for a negative or NaN threshold.
std::int64_t count_nonzeros(const ArrayView& dense, double threshold, DType index_dtype,
                            void* indptr);

/// Second phase: columns and values of the counted elements. Throws as the first phase.
void fill_nonzeros(const ArrayView& dense, double threshold, DType index_dtype, const void* indptr,
                   void* indices, void* values);

/// Writes the matrix into dense (m, n), any strides, zeros included; duplicates are summed in
/// stored order, 16-bit types in float32. Throws InvalidArgument or InvalidDType where dense does
/// not fit.
void todense(const CsrView& a, const ArrayView& dense);

/// The elements (i, i + offset) of a matrix. Number k of them has value first + step k of those
/// that all diagonals share: step 0 gives them one value.
struct Diagonal {
  std::int64_t offset, first, step;
};

/// First phase of a matrix of diagonals: counts its positions. Throws InvalidArgument unless
/// offsets ascend and lie within the matrix, and for a negative shape or more than int64 counts.
std::int64_t count_diagonals(std::int64_t rows, std::int64_t cols,
                             std::span<const Diagonal> diagonals);

/// Second phase: positions by rows, sorted, and which value each has.
/// indptr: rows + 1 elements, indices and map as many as were counted, written.
void fill_diagonals(std::int64_t rows, std::int64_t cols, std::span<const Diagonal> diagonals,
                    DType index_dtype, void* indptr, void* indices, void* map);

}  // namespace gossamer
