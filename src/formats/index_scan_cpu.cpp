// SPDX-License-Identifier: Apache-2.0
// Plain loops over short blocks, which compilers vectorize for each target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/index_scan_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <type_traits>

#include "core/visit.hpp"
#include "formats/index_scan.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Few enough for the counters of a block to fit any index type.
constexpr std::int64_t block_length = 4096;

template <class I>
HWY_INLINE I is_outside(I index, I limit) {
  using U = std::make_unsigned_t<I>;  // a negative index becomes a large one
  return static_cast<I>(static_cast<U>(index) >= static_cast<U>(limit));
}

template <class I>
void scan_block(const I* HWY_RESTRICT indices, std::int64_t n, I limit, IndexScan& found) {
  I outside = 0, descents = 0, non_ascents = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    outside |= is_outside(indices[i], limit);
    descents += static_cast<I>(indices[i] < indices[i - 1]);
    non_ascents += static_cast<I>(indices[i] <= indices[i - 1]);
  }
  found.in_range &= outside == 0;
  found.descents += descents;
  found.non_ascents += non_ascents;
}

IndexScan ScanIndices(DType index_dtype, const void* indices, std::int64_t begin, std::int64_t end,
                      std::int64_t limit) {
  IndexScan found;
  visit_index(index_dtype, "indices", [&](auto index) HWY_ATTR {
    using I = typename decltype(index)::type;
    const I* at = static_cast<const I*>(indices);
    if (begin == 0 && begin < end)
      found.in_range = is_outside(at[begin++], static_cast<I>(limit)) == 0;
    for (std::int64_t p = begin; p < end; p += block_length) {
      scan_block(at + p, std::min(block_length, end - p), static_cast<I>(limit), found);
    }
  });
  return found;
}

template <class I>
void scan_block(const I* HWY_RESTRICT row, const I* HWY_RESTRICT col, std::int64_t n, I rows,
                I cols, PositionScan& found) {
  I outside = 0, row_descents = 0, descents = 0, repeats = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    outside |= is_outside(row[i], rows) | is_outside(col[i], cols);
    const I same_row = static_cast<I>(row[i] == row[i - 1]);
    row_descents |= static_cast<I>(row[i] < row[i - 1]);
    descents |= same_row & static_cast<I>(col[i] < col[i - 1]);
    repeats |= same_row & static_cast<I>(col[i] == col[i - 1]);
  }
  found &= {outside == 0, row_descents == 0, (row_descents | descents) == 0,
            (row_descents | descents | repeats) == 0};
}

PositionScan ScanPositions(const CooPattern& coo, std::int64_t begin, std::int64_t end) {
  PositionScan found;
  visit_index(coo.index_dtype, "row", [&](auto index) HWY_ATTR {
    using I = typename decltype(index)::type;
    const I* row = static_cast<const I*>(coo.row);
    const I* col = static_cast<const I*>(coo.col);
    const I rows = static_cast<I>(coo.rows), cols = static_cast<I>(coo.cols);
    if (begin == 0 && begin < end) {
      found.in_range = (is_outside(row[0], rows) | is_outside(col[0], cols)) == 0;
      ++begin;
    }
    for (std::int64_t p = begin; p < end; p += block_length) {
      scan_block(row + p, col + p, std::min(block_length, end - p), rows, cols, found);
    }
  });
  return found;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

IndexScan scan_indices(DType index_dtype, const void* indices, std::int64_t begin, std::int64_t end,
                       std::int64_t limit) {
  return GOSSAMER_SIMD_FUNCTION(ScanIndices)(index_dtype, indices, begin, end, limit);
}

PositionScan scan_positions(const CooPattern& coo, std::int64_t begin, std::int64_t end) {
  return GOSSAMER_SIMD_FUNCTION(ScanPositions)(coo, begin, end);
}

}  // namespace gossamer
#endif  // HWY_ONCE
