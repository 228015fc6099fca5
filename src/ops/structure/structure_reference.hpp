// SPDX-License-Identifier: Apache-2.0
// The obvious loop of each structural operation, as gossamer/structure.hpp describes it.
#pragma once

#include <cstdint>
#include <span>

#include "gossamer/structure.hpp"

namespace gossamer::reference {

PatternProperties properties(const CooPattern& pattern);
PatternProperties properties(const CsrPattern& pattern);
void transpose(const CsrPattern& pattern, void* indptr, void* indices, void* map);
void coo_to_csr(const CooPattern& coo, bool sorted, void* indptr, void* indices, void* map);
void csr_to_coo(const CsrPattern& pattern, void* row);
void sort_indices(const CsrPattern& pattern, void* indices, void* map);
std::int64_t count_distinct(const CsrPattern& sorted, void* indptr);
void fill_distinct(const CsrPattern& sorted, const void* indptr, void* indices, void* segments);
void select_rows(const CsrPattern& pattern, const std::int64_t* rows, std::int64_t count,
                 const void* indptr, void* indices, void* map);
std::int64_t count_columns(const CsrPattern& pattern, const IndexRange& columns, void* indptr);
std::int64_t count_picked_columns(const CsrPattern& pattern, const CsrPattern& targets,
                                  void* indptr);
void fill_picked_columns(const CsrPattern& pattern, const CsrPattern& targets, const void* indptr,
                         void* indices, void* map);
void fill_columns(const CsrPattern& pattern, const IndexRange& columns, const void* indptr,
                  void* indices, void* map);
std::int64_t count_union(const CsrPattern& a, const CsrPattern& b, void* indptr);
void fill_union(const CsrPattern& a, const CsrPattern& b, const void* indptr, void* indices,
                void* from_a, void* from_b);
std::int64_t count_intersection(const CsrPattern& a, const CsrPattern& b, void* indptr);
void fill_intersection(const CsrPattern& a, const CsrPattern& b, const void* indptr, void* indices,
                       void* from_a, void* from_b);
void hstack(std::span<const CsrPattern> blocks, void* indptr, void* indices, void* map);
void kron(const CsrPattern& a, const CsrPattern& b, void* indptr, void* indices, void* map);
std::int64_t count_nonzeros(const ArrayView& dense, double threshold, DType index_dtype,
                            void* indptr);
void fill_nonzeros(const ArrayView& dense, double threshold, DType index_dtype, const void* indptr,
                   void* indices, void* values);
void todense(const CsrView& a, const ArrayView& dense);
void fill_diagonals(std::int64_t rows, std::int64_t cols, std::span<const Diagonal> diagonals,
                    DType index_dtype, void* indptr, void* indices, void* map);

}  // namespace gossamer::reference
