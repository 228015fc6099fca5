// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gossamer/cuda.hpp"
#include "gossamer/views.hpp"

namespace gossamer::cuda {

/// Bytes of workspace that both phases of a sparse product share: 1 byte and an index a row, and at
/// most 256 MiB or one bit a column of B for bitmaps.
std::size_t spgemm_workspace(const CsrPattern& a, const CsrPattern& b);

/// First phase of C = A B, as gossamer::spgemm_count: the row offsets of C. indptr: rows + 1
/// elements, written. Returns the number of positions of C; waits for the stream.
std::int64_t spgemm_count(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr,
                          Workspace workspace, Stream stream);

/// Second phase: the sorted columns of C, without duplicates. indptr and workspace are as the first
/// phase left them; indices: indptr[m] elements of c_index_dtype, written. Values follow by
/// spgemm_values. Throws as gossamer::spgemm_fill.
void spgemm_fill(const CsrPattern& a, const CsrPattern& b, const std::int64_t* indptr,
                 DType c_index_dtype, void* indices, Workspace workspace, Stream stream);

/// values[p] = (A B)[i, j] at each stored position p = (i, j) of C, summed in the order of A's row.
/// C and B must be canonical; C need not have all positions of the product. No workspace is needed.
/// Throws as spgemm_masked.
void spgemm_values(const CsrView& a, const CsrView& b, const CsrPattern& c, void* values,
                   Stream stream);

/// values[p] = (A B)[i, j] at each stored position p = (i, j) of the mask, or (A Bᵀ)[i, j] when
/// transpose_b, as gossamer::spgemm_masked.
///
/// B must be canonical: its rows are searched. No workspace is needed. Throws InvalidArgument for
/// shapes that do not fit, InvalidDType for types that do not.
void spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                   bool transpose_b, Stream stream);

}  // namespace gossamer::cuda
