// SPDX-License-Identifier: Apache-2.0
#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/row_pairs.hpp"

namespace gossamer {

std::int64_t count_intersection(const CsrPattern& a, const CsrPattern& b, void* indptr) {
  check_row_pairs("intersection", a, b);
  return visit_index(a.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* a_offsets = static_cast<const I*>(a.indptr);
    const I* b_offsets = static_cast<const I*>(b.indptr);
    const I* a_columns = static_cast<const I*>(a.indices);
    const I* b_columns = static_cast<const I*>(b.indices);
    return write_pair_offsets<I>("count_intersection", a, b, indptr, [&](std::int64_t i) {
      I count = 0;
      for (I p = a_offsets[i], q = b_offsets[i]; p < a_offsets[i + 1] && q < b_offsets[i + 1];) {
        const I left = a_columns[p], right = b_columns[q];
        count += left == right;
        p += left <= right;
        q += right <= left;
      }
      return count;
    });
  });
}

namespace {

/// Calls body(to, p, q) for positions of both, the last time for each `to` where they are equal.
template <class I, class Body>
void for_each_common(const CsrPattern& a, const CsrPattern& b, const I* indptr, I* indices,
                     Body body) {
  const I* a_columns = static_cast<const I*>(a.indices);
  const I* b_columns = static_cast<const I*>(b.indices);
  for_each_row_pair<I>(a, b, [&](std::int64_t i) {
    I p = static_cast<const I*>(a.indptr)[i], q = static_cast<const I*>(b.indptr)[i];
    // Written whether they are equal or not: no branch to guess. The row ends with its last one.
    for (I to = indptr[i]; to < indptr[i + 1];) {
      const I left = a_columns[p], right = b_columns[q];
      indices[to] = left;
      body(to, p, q);
      to += left == right;
      p += left <= right;
      q += right <= left;
    }
  });
}

}  // namespace

void fill_intersection(const CsrPattern& a, const CsrPattern& b, const void* indptr, void* indices,
                       void* from_a, void* from_b) {
  check_row_pairs("intersection", a, b);
  visit_index(a.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    for_each_common(a, b, static_cast<const I*>(indptr), static_cast<I*>(indices),
                    [&](I to, I p, I q) {
                      static_cast<I*>(from_a)[to] = p;
                      static_cast<I*>(from_b)[to] = q;
                    });
  });
}

void fill_intersection(const CsrView& a, const CsrView& b, const void* indptr, void* indices,
                       void* values) {
  check_row_pairs("intersection", a, b);
  visit_value(a.dtype, "values", [&](auto value) {
    visit_index(a.pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      using A = Accumulator<T>;
      for_each_common(a.pattern, b.pattern, static_cast<const I*>(indptr), static_cast<I*>(indices),
                      [&](I to, I p, I q) {
                        const A x(widen(static_cast<const T*>(a.values)[p]));
                        const A y(widen(static_cast<const T*>(b.values)[q]));
                        static_cast<T*>(values)[to] = narrow<T>(product(x, y));
                      });
    });
  });
}

}  // namespace gossamer
