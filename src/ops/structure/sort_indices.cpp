// SPDX-License-Identifier: Apache-2.0
#include <atomic>

#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/row_sort.hpp"
#include "ops/structure/structure_tuning.hpp"

namespace gossamer {

bool sort_pattern(const CsrPattern& pattern, void* indices, const Payload& payload) {
  return visit_index(pattern.index_dtype, "indices", [&](auto index) -> bool {
    using I = typename decltype(index)::type;
    const I* indptr = static_cast<const I*>(pattern.indptr);
    const std::int64_t pieces = (pattern.nnz + pattern.rows) / tuning::sort_bucket_entries + 1;
    std::atomic<std::int64_t> next{0};
    std::atomic<bool> distinct{true};
    parallel_for(std::min<std::int64_t>(num_threads(), pieces), [&](std::int64_t) {
      RowSortScratch scratch;
      for (std::int64_t piece = next++; piece < pieces; piece = next++) {
        const std::int64_t first = balanced_row(indptr, pattern.rows, piece, pieces);
        const std::int64_t last = balanced_row(indptr, pattern.rows, piece + 1, pieces);
        const bool here = sort_rows({pattern.index_dtype, last - first, indptr + first,
                                     indptr[last], 0, pattern.indices, indices, payload},
                                    scratch);
        if (!here) distinct.store(false, std::memory_order_relaxed);
      }
    });
    return distinct;
  });
}

PatternProperties sort_indices(const CsrPattern& pattern, void* indices, void* map) {
  return {true, sort_pattern(pattern, indices, index_map(pattern.index_dtype, map))};
}

PatternProperties sort_indices(const CsrView& a, void* indices, void* values) {
  return {true, sort_pattern(a.pattern, indices, {a.values, values, item_size(a.dtype)})};
}

}  // namespace gossamer
