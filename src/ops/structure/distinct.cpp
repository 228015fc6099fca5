// SPDX-License-Identifier: Apache-2.0
#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/row_offsets.hpp"

namespace gossamer {
namespace {

std::int64_t pieces_of(const CsrPattern& pattern) {
  return (pattern.nnz + pattern.rows) / tuning::stream_grain + 1;
}

}  // namespace

std::int64_t count_distinct(const CsrPattern& sorted, void* indptr) {
  return visit_index(sorted.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* offsets = static_cast<const I*>(sorted.indptr);
    const I* indices = static_cast<const I*>(sorted.indices);
    return write_row_offsets(
        "count_distinct", static_cast<I*>(indptr), pieces_of(sorted),
        [&](std::int64_t piece, std::int64_t pieces) {
          return balanced_row(offsets, sorted.rows, piece, pieces);
        },
        [&](std::int64_t first, std::int64_t last, I* counts) {
          for (std::int64_t i = first; i < last; ++i) {
            I count = offsets[i] < offsets[i + 1];
            for (I p = offsets[i] + 1; p < offsets[i + 1]; ++p) {
              count += indices[p] != indices[p - 1];
            }
            *counts++ = count;
          }
        });
  });
}

void fill_distinct(const CsrPattern& sorted, const void* indptr, void* indices, void* segments) {
  visit_index(sorted.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* offsets = static_cast<const I*>(sorted.indptr);
    const I* columns = static_cast<const I*>(sorted.indices);
    const I* out_offsets = static_cast<const I*>(indptr);
    I* const out_columns = static_cast<I*>(indices);
    I* const starts = static_cast<I*>(segments);
    const std::int64_t pieces = pieces_of(sorted);
    for_row_pieces(offsets, sorted.rows, pieces, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        I to = out_offsets[i];
        for (I p = offsets[i]; p < offsets[i + 1]; ++p) {
          if (p > offsets[i] && columns[p] == columns[p - 1]) continue;
          out_columns[to] = columns[p];
          starts[to++] = p;
        }
      }
    });
    starts[out_offsets[sorted.rows]] = static_cast<I>(sorted.nnz);
  });
}

void fill_distinct(const CsrView& sorted, const void* indptr, void* indices, void* values) {
  const CsrPattern& pattern = sorted.pattern;
  visit_value(sorted.dtype, "values", [&](auto value) {
    visit_index(pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const I* offsets = static_cast<const I*>(pattern.indptr);
      const I* columns = static_cast<const I*>(pattern.indices);
      const I* out_offsets = static_cast<const I*>(indptr);
      const T* in = static_cast<const T*>(sorted.values);
      const std::int64_t pieces = pieces_of(pattern);
      for_row_pieces(offsets, pattern.rows, pieces, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
          I* column = static_cast<I*>(indices) + out_offsets[i];
          T* out = static_cast<T*>(values) + out_offsets[i];
          for (I p = offsets[i]; p < offsets[i + 1];) {
            *column = columns[p];
            Accumulator<T> sum = widen(in[p++]);
            while (p < offsets[i + 1] && columns[p] == *column) sum += widen(in[p++]);
            *out++ = narrow<T>(sum);
            ++column;
          }
        }
      });
    });
  });
}

}  // namespace gossamer
