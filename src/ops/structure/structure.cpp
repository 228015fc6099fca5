// SPDX-License-Identifier: Apache-2.0
#include "gossamer/structure.hpp"

#include <vector>

#include "core/visit.hpp"
#include "gossamer/values.hpp"
#include "ops/structure/structure_reference.hpp"

namespace gossamer {

PatternProperties validate(const CsrPattern& pattern, bool) {
  return reference::properties(pattern);
}
PatternProperties validate(const CooPattern& pattern) { return reference::properties(pattern); }
void transpose(const CsrPattern& pattern, void* indptr, void* indices, void* map) {
  reference::transpose(pattern, indptr, indices, map);
}
void transpose(const CsrView& a, void* indptr, void* indices, void* values) {
  std::vector<std::int64_t> map(static_cast<std::size_t>(a.pattern.nnz));
  reference::transpose(a.pattern, indptr, indices, map.data());
  gather(a.dtype, a.values, a.pattern.index_dtype, map.data(), a.pattern.nnz, values);
}
PatternProperties coo_to_csr(const CooPattern& coo, bool sorted, void* indptr, void* indices,
                             void* map) {
  std::vector<std::int64_t> columns(static_cast<std::size_t>(coo.nnz));
  if (indices == nullptr) indices = columns.data();
  reference::coo_to_csr(coo, sorted, indptr, indices, map);
  return validate(CsrPattern{coo.rows, coo.cols, coo.nnz, coo.index_dtype, indptr, indices});
}
PatternProperties coo_to_csr(const CooView& coo, bool sorted, void* indptr, void* indices,
                             void* values) {
  std::vector<std::int64_t> map(static_cast<std::size_t>(coo.pattern.nnz));
  const auto found = coo_to_csr(coo.pattern, sorted, indptr, indices, map.data());
  gather(coo.dtype, coo.values, coo.pattern.index_dtype, map.data(), coo.pattern.nnz, values);
  return found;
}
void csr_to_coo(const CsrPattern& pattern, void* row) { reference::csr_to_coo(pattern, row); }
PatternProperties sort_indices(const CsrPattern& pattern, void* indices, void* map) {
  reference::sort_indices(pattern, indices, map);
  CsrPattern sorted = pattern;
  sorted.indices = indices;
  return validate(sorted);
}
std::int64_t count_distinct(const CsrPattern& sorted, void* indptr) {
  return reference::count_distinct(sorted, indptr);
}
void fill_distinct(const CsrPattern& sorted, const void* indptr, void* indices, void* segments) {
  reference::fill_distinct(sorted, indptr, indices, segments);
}
std::int64_t count_union(const CsrPattern& a, const CsrPattern& b, void* indptr) {
  return reference::count_union(a, b, indptr);
}
void fill_union(const CsrPattern& a, const CsrPattern& b, const void* indptr, void* indices,
                void* from_a, void* from_b) {
  reference::fill_union(a, b, indptr, indices, from_a, from_b);
}
std::int64_t count_nonzeros(const ArrayView& dense, double threshold, DType index_dtype,
                            void* indptr) {
  return reference::count_nonzeros(dense, threshold, index_dtype, indptr);
}
void fill_nonzeros(const ArrayView& dense, double threshold, DType index_dtype, const void* indptr,
                   void* indices, void* values) {
  reference::fill_nonzeros(dense, threshold, index_dtype, indptr, indices, values);
}
void todense(const CsrView& a, const ArrayView& dense) { reference::todense(a, dense); }

}  // namespace gossamer
