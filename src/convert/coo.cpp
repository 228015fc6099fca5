// SPDX-License-Identifier: Apache-2.0
#include "formats/coo.hpp"

#include <cstring>

#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "ops/structure/counting_sort.hpp"
#include "ops/structure/row_sort.hpp"

namespace gossamer {
namespace {

template <class I>
struct CooColumns {
  const I* col;

  const I* read(std::int64_t begin, std::int64_t, I*) const { return col + begin; }
};

/// Row offsets of positions whose rows are in order.
template <class I>
void write_offsets(const CooPattern& coo, I* offsets) {
  const I* row = static_cast<const I*>(coo.row);
  parallel_ranges(coo.nnz, tuning::stream_grain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t next = begin == 0 ? 0 : static_cast<std::int64_t>(row[begin - 1]) + 1;
    for (std::int64_t p = begin; p < end; ++p) {
      while (next <= row[p]) offsets[next++] = static_cast<I>(p);
    }
  });
  const std::int64_t next = coo.nnz == 0 ? 0 : static_cast<std::int64_t>(row[coo.nnz - 1]) + 1;
  std::fill(offsets + next, offsets + coo.rows + 1, static_cast<I>(coo.nnz));
}

void copy_entries(const CooPattern& coo, void* indices, const Payload& payload) {
  const std::int64_t index_size = static_cast<std::int64_t>(item_size(coo.index_dtype));
  const auto copy = [](void* out, const void* in, std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<std::byte*>(out) + begin, static_cast<const std::byte*>(in) + begin,
                static_cast<std::size_t>(end - begin));
  };
  parallel_ranges(coo.nnz, tuning::stream_grain, [&](std::int64_t begin, std::int64_t end) {
    copy(indices, coo.col, begin * index_size, end * index_size);
    visit_payload(payload, [&](auto element) {
      using E = typename decltype(element)::type;
      for (std::int64_t p = begin; p < end; ++p) {
        store_element<E>(payload.out, p, initial_element<E>(payload.in, p));
      }
    });
  });
}

PatternProperties convert(const CooPattern& coo, bool sorted, void* indptr, void* indices,
                          const Payload& payload) {
  check_index_range("coo_to_csr", coo.index_dtype, coo.rows, coo.cols, coo.nnz);
  return visit_index(coo.index_dtype, "row", [&](auto index) -> PatternProperties {
    using I = typename decltype(index)::type;
    if (indices == nullptr) {
      write_offsets(coo, static_cast<I*>(indptr));
      return {true, coo.nnz == 0};
    }
    const PositionScan order = scan_order(coo);
    if (!order.rows_in_order) {
      const bool distinct = counting_sort<I>(
          {coo.index_dtype, coo.rows, coo.nnz, sorted, indptr, indices, payload},
          static_cast<const I*>(coo.row), CooColumns<I>{static_cast<const I*>(coo.col)});
      return {sorted, sorted && distinct};
    }
    write_offsets(coo, static_cast<I*>(indptr));
    if (sorted && !order.sorted) {
      const CsrPattern unsorted{coo.rows, coo.cols, coo.nnz, coo.index_dtype, indptr, coo.col};
      return {true, sort_pattern(unsorted, indices, payload)};
    }
    copy_entries(coo, indices, payload);
    return {order.sorted, order.distinct};
  });
}

}  // namespace

PatternProperties coo_to_csr(const CooPattern& coo, bool sorted, void* indptr, void* indices,
                             void* map) {
  return convert(coo, sorted, indptr, indices, index_map(coo.index_dtype, map));
}

PatternProperties coo_to_csr(const CooView& coo, bool sorted, void* indptr, void* indices,
                             void* values) {
  return convert(coo.pattern, sorted, indptr, indices, {coo.values, values, item_size(coo.dtype)});
}

void csr_to_coo(const CsrPattern& pattern, void* row) {
  visit_index(pattern.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* indptr = static_cast<const I*>(pattern.indptr);
    const std::int64_t pieces = (pattern.nnz + pattern.rows) / tuning::stream_grain + 1;
    for_row_pieces(indptr, pattern.rows, pieces, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        std::fill(static_cast<I*>(row) + indptr[i], static_cast<I*>(row) + indptr[i + 1],
                  static_cast<I>(i));
      }
    });
  });
}

}  // namespace gossamer
