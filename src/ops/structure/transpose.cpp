// SPDX-License-Identifier: Apache-2.0
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/counting_sort.hpp"

namespace gossamer {
namespace {

/// The columns of a transpose: row numbers, each repeated for the entries of its row.
template <class I>
struct RowNumbers {
  const I* indptr;
  std::int64_t rows;

  const I* read(std::int64_t begin, std::int64_t end, I* buffer) const {
    std::int64_t i = std::upper_bound(indptr, indptr + rows, static_cast<I>(begin)) - indptr - 1;
    for (std::int64_t p = begin; p < end; ++i) {
      const std::int64_t last = std::min<std::int64_t>(indptr[i + 1], end);
      for (; p < last; ++p) buffer[p - begin] = static_cast<I>(i);
    }
    return buffer;
  }
};

void transpose(const CsrPattern& pattern, void* indptr, void* indices, const Payload& payload) {
  check_index_range("transpose", pattern.index_dtype, pattern.rows, pattern.cols, pattern.nnz);
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    counting_sort<I>(
        {pattern.index_dtype, pattern.cols, pattern.nnz, false, indptr, indices, payload},
        static_cast<const I*>(pattern.indices),
        RowNumbers<I>{static_cast<const I*>(pattern.indptr), pattern.rows});
  });
}

}  // namespace

void transpose(const CsrPattern& pattern, void* indptr, void* indices, void* map) {
  transpose(pattern, indptr, indices, index_map(pattern.index_dtype, map));
}

void transpose(const CsrView& a, void* indptr, void* indices, void* values) {
  transpose(a.pattern, indptr, indices, Payload{a.values, values, item_size(a.dtype)});
}

}  // namespace gossamer
