// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "gossamer/spgemm.hpp"
#include "ops/spgemm/spgemm.hpp"

namespace gossamer::reference {
namespace {

template <class I>
const I* indices_of(const void* from) {
  return static_cast<const I*>(from);
}

/// Calls body(column, p, q) for each product A[p] B[q] of row i.
template <class I, class Body>
void for_each_product(const CsrPattern& a, const CsrPattern& b, std::int64_t i, Body&& body) {
  const I *a_indptr = indices_of<I>(a.indptr), *b_indptr = indices_of<I>(b.indptr);
  for (I p = a_indptr[i]; p < a_indptr[i + 1]; ++p) {
    const I k = indices_of<I>(a.indices)[p];
    for (I q = b_indptr[k]; q < b_indptr[k + 1]; ++q) body(indices_of<I>(b.indices)[q], p, q);
  }
}

/// The elements of row i of A B.
template <class T, class I>
std::map<I, Wide<T>> product_row(const CsrView& a, const CsrView& b, std::int64_t i) {
  const T *a_values = static_cast<const T*>(a.values), *b_values = static_cast<const T*>(b.values);
  std::map<I, Wide<T>> row;
  for_each_product<I>(a.pattern, b.pattern, i, [&](I column, I p, I q) {
    Wide<T>& sum = row[column];
    sum = multiply_add(Wide<T>(widen(a_values[p])), Wide<T>(widen(b_values[q])), sum);
  });
  return row;
}

template <class T>
T rounded(const Wide<T>& sum) {
  return narrow<T>(static_cast<Accumulator<T>>(sum));
}

}  // namespace

std::int64_t spgemm_count(const CsrPattern& a, const CsrPattern& b, std::int64_t* indptr) {
  check_spgemm(a, b);
  indptr[0] = 0;
  visit_index(a.index_dtype, "A", [&](auto index) {
    using I = typename decltype(index)::type;
    for (std::int64_t i = 0; i < a.rows; ++i) {
      std::map<I, bool> row;
      for_each_product<I>(a, b, i, [&](I column, I, I) { row[column] = true; });
      indptr[i + 1] = indptr[i] + static_cast<std::int64_t>(row.size());
    }
  });
  return indptr[a.rows];
}

void spgemm_fill(const CsrView& a, const CsrView& b, const std::int64_t* indptr,
                 DType c_index_dtype, void* indices, void* values) {
  check_spgemm_fill(a, b, {indptr, c_index_dtype, indices, values});
  visit_index(a.pattern.index_dtype, "A", [&](auto index) {
    visit_index(c_index_dtype, "indices", [&](auto c_index) {
      visit_value(a.dtype, "A", [&](auto value) {
        using I = typename decltype(index)::type;
        using T = typename decltype(value)::type;
        auto* columns = static_cast<typename decltype(c_index)::type*>(indices);
        auto* sums = static_cast<T*>(values);
        for (std::int64_t i = 0; i < a.pattern.rows; ++i) {
          for (const auto& [column, sum] : product_row<T, I>(a, b, i)) {
            *columns++ = static_cast<typename decltype(c_index)::type>(column);
            *sums++ = rounded<T>(sum);
          }
        }
      });
    });
  });
}

void spgemm_masked(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                   bool transpose_b) {
  check_spgemm_masked(a, b, mask, transpose_b);
  visit_index(mask.index_dtype, "mask", [&](auto index) {
    visit_value(a.dtype, "A", [&](auto value) {
      using I = typename decltype(index)::type;
      using T = typename decltype(value)::type;
      const I *mask_indptr = indices_of<I>(mask.indptr),
              *a_indptr = indices_of<I>(a.pattern.indptr);
      const I* b_indptr = indices_of<I>(b.pattern.indptr);
      for (std::int64_t i = 0; i < mask.rows; ++i) {
        for (I p = mask_indptr[i]; p < mask_indptr[i + 1]; ++p) {
          const I column = indices_of<I>(mask.indices)[p];
          Wide<T> sum{};
          for (I r = a_indptr[i]; r < a_indptr[i + 1]; ++r) {
            const I k = indices_of<I>(a.pattern.indices)[r];
            // B[k, column], or B[column, k]: a row of B, and the column to look for in it.
            const I row = transpose_b ? column : k, wanted = transpose_b ? k : column;
            for (I q = b_indptr[row]; q < b_indptr[row + 1]; ++q) {
              if (indices_of<I>(b.pattern.indices)[q] != wanted) continue;
              sum = multiply_add(Wide<T>(widen(static_cast<const T*>(a.values)[r])),
                                 Wide<T>(widen(static_cast<const T*>(b.values)[q])), sum);
            }
          }
          static_cast<T*>(values)[p] = rounded<T>(sum);
        }
      }
    });
  });
}

}  // namespace gossamer::reference
