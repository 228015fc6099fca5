// SPDX-License-Identifier: Apache-2.0
#include "formats/coo.hpp"

#include <mutex>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {
namespace {

/// Positions in one task of a scan.
constexpr std::int64_t scan_grain = 131'072;

template <class I>
void throw_out_of_range(const CooPattern& coo) {
  const I* row = static_cast<const I*>(coo.row);
  const I* col = static_cast<const I*>(coo.col);
  for (std::int64_t p = 0; p < coo.nnz; ++p) {
    if (row[p] < 0 || row[p] >= coo.rows) {
      throw InvalidArgument(message("coo_array: row[", p, "] = ", row[p], " is out of range for ",
                                    coo.rows, " rows"));
    }
    if (col[p] < 0 || col[p] >= coo.cols) {
      throw InvalidArgument(message("coo_array: col[", p, "] = ", col[p], " is out of range for ",
                                    coo.cols, " columns"));
    }
  }
}

}  // namespace

PositionScan scan_positions(const CooPattern& coo) {
  PositionScan found;
  std::mutex mutex;
  parallel_ranges(coo.nnz, scan_grain, [&](std::int64_t begin, std::int64_t end) {
    const PositionScan part = scan_positions(coo, begin, end);
    const std::lock_guard lock(mutex);
    found &= part;
  });
  return found;
}

PositionScan scan_order(const CooPattern& coo) {
  constexpr std::int64_t sample = 1024;
  const PositionScan first = scan_positions(coo, 0, std::min(sample, coo.nnz));
  return first.rows_in_order ? scan_positions(coo) : first;
}

PatternProperties validate(const CooPattern& coo) {
  check_index_range("coo_array", coo.index_dtype, coo.rows, coo.cols, coo.nnz);
  const PositionScan found = scan_positions(coo);
  if (!found.in_range) {
    visit_index(coo.index_dtype, "row",
                [&](auto index) { throw_out_of_range<typename decltype(index)::type>(coo); });
  }
  return {found.sorted, found.distinct};
}

}  // namespace gossamer
