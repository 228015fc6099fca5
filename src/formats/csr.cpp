// SPDX-License-Identifier: Apache-2.0
#include "formats/csr.hpp"

#include <atomic>
#include <limits>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/index_scan.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"

namespace gossamer {
namespace {

/// Offsets or indices in one task of a validation.
constexpr std::int64_t validation_grain = 262'144;

template <class I>
void check_offsets(const CsrPattern& pattern, std::string_view container) {
  const I* indptr = static_cast<const I*>(pattern.indptr);
  if (indptr[0] != 0)
    throw InvalidArgument(message(container, ": indptr[0] = ", indptr[0], " must be 0"));
  std::atomic<bool> ordered{true};
  parallel_ranges(pattern.rows, validation_grain, [&](std::int64_t begin, std::int64_t end) {
    const IndexScan found =
        scan_indices(pattern.index_dtype, indptr + 1, begin, end, std::numeric_limits<I>::max());
    const bool starts_in_order = begin == end || indptr[begin] <= indptr[begin + 1];
    if (found.descents > 0 || !starts_in_order) ordered.store(false, std::memory_order_relaxed);
  });
  if (!ordered) {
    std::int64_t i = 1;
    while (indptr[i - 1] <= indptr[i]) ++i;
    throw InvalidArgument(message(container, ": indptr[", i, "] = ", indptr[i],
                                  " is less than indptr[", i - 1, "] = ", indptr[i - 1]));
  }
  if (indptr[pattern.rows] != pattern.nnz) {
    throw InvalidArgument(message(container, ": indptr[", pattern.rows,
                                  "] = ", indptr[pattern.rows], " must be the number of indices, ",
                                  pattern.nnz));
  }
}

template <class I>
PatternProperties check_indices(const CsrPattern& pattern, std::string_view container,
                                std::string_view axis) {
  const I* indptr = static_cast<const I*>(pattern.indptr);
  const I* indices = static_cast<const I*>(pattern.indices);
  std::atomic<bool> in_range{true}, sorted{true}, canonical{true};
  const std::int64_t pieces =
      std::max<std::int64_t>(1, (pattern.nnz + pattern.rows) / validation_grain);
  for_row_pieces(indptr, pattern.rows, pieces, [&](std::int64_t first_row, std::int64_t last_row) {
    const std::int64_t begin = indptr[first_row], end = indptr[last_row];
    IndexScan found = scan_indices(pattern.index_dtype, indices, begin, end, pattern.cols);
    if (!found.in_range) in_range.store(false, std::memory_order_relaxed);
    // What descends from one row to the next is in order all the same.
    for (std::int64_t i = first_row; i < last_row; ++i) {
      const std::int64_t p = indptr[i];
      if (p == 0 || p == indptr[i + 1]) continue;
      found.descents -= indices[p] < indices[p - 1];
      found.non_ascents -= indices[p] <= indices[p - 1];
    }
    if (found.descents != 0) sorted.store(false, std::memory_order_relaxed);
    if (found.non_ascents != 0) canonical.store(false, std::memory_order_relaxed);
  });
  if (!in_range) {
    std::int64_t p = 0;
    while (0 <= indices[p] && indices[p] < pattern.cols) ++p;
    throw InvalidArgument(message(container, ": indices[", p, "] = ", indices[p],
                                  " is out of range for ", pattern.cols, " ", axis));
  }
  return {sorted, canonical};
}

}  // namespace

PatternProperties validate(const CsrPattern& pattern, bool csc) {
  const std::string_view container = csc ? "csc_array" : "csr_array";
  check_index_range(container, pattern.index_dtype, csc ? pattern.cols : pattern.rows,
                    csc ? pattern.rows : pattern.cols, pattern.nnz);
  return visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    check_offsets<I>(pattern, container);
    return check_indices<I>(pattern, container, csc ? "rows" : "columns");
  });
}

void check_index_range(std::string_view operation, DType index_dtype, std::int64_t rows,
                       std::int64_t cols, std::int64_t nnz) {
  if (rows < 0 || cols < 0 || nnz < 0) {
    throw InvalidArgument(message(operation, ": shape = (", rows, ", ", cols, ") with ", nnz,
                                  " entries is negative"));
  }
  if (index_dtype == DType::int32 &&
      std::max({rows, cols, nnz}) > std::numeric_limits<std::int32_t>::max()) {
    throw InvalidArgument(message(operation, ": shape = (", rows, ", ", cols, ") with ", nnz,
                                  " entries does not fit int32 indices; use int64"));
  }
}

}  // namespace gossamer
