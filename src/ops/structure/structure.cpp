// SPDX-License-Identifier: Apache-2.0
#include "gossamer/structure.hpp"

#include <vector>

#include "core/visit.hpp"
#include "gossamer/values.hpp"
#include "ops/structure/structure_reference.hpp"

namespace gossamer {

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
