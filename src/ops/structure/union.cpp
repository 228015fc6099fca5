// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/row_pairs.hpp"

namespace gossamer {
namespace {

/// Merges row i of both: calls body(column, in_a, in_b, p, q) for each column of either.
/// Positions advance by comparisons, not by branches, which would be mispredicted at every other
/// column.
template <class I, class Body>
void merge(const CsrPattern& a, const CsrPattern& b, std::int64_t i, Body body) {
  const I* const a_columns = static_cast<const I*>(a.indices);
  const I* const b_columns = static_cast<const I*>(b.indices);
  I p = static_cast<const I*>(a.indptr)[i], q = static_cast<const I*>(b.indptr)[i];
  const I a_last = static_cast<const I*>(a.indptr)[i + 1];
  const I b_last = static_cast<const I*>(b.indptr)[i + 1];
  while (p < a_last && q < b_last) {
    const I left = a_columns[p], right = b_columns[q];
    const bool in_a = left <= right, in_b = right <= left;
    body(std::min(left, right), in_a, in_b, p, q);
    p += in_a;
    q += in_b;
  }
  for (; p < a_last; ++p) body(a_columns[p], true, false, p, q);
  for (; q < b_last; ++q) body(b_columns[q], false, true, p, q);
}

}  // namespace

std::int64_t count_union(const CsrPattern& a, const CsrPattern& b, void* indptr) {
  check_row_pairs("union", a, b);
  return visit_index(a.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    return write_pair_offsets<I>("count_union", a, b, indptr, [&](std::int64_t i) {
      I count = 0;
      merge<I>(a, b, i, [&](I, bool, bool, I, I) { ++count; });
      return count;
    });
  });
}

namespace {

/// Calls body(to, column, in_a, in_b, p, q) for the positions of the union, `to` counting them.
template <class I, class Body>
void for_each_position(const CsrPattern& a, const CsrPattern& b, const I* indptr, Body body) {
  for_each_row_pair<I>(a, b, [&](std::int64_t i) {
    std::int64_t to = indptr[i];
    merge<I>(a, b, i, [&](I column, bool in_a, bool in_b, I p, I q) {
      body(to++, column, in_a, in_b, p, q);
    });
  });
}

}  // namespace

void fill_union(const CsrPattern& a, const CsrPattern& b, const void* indptr, void* indices,
                void* from_a, void* from_b) {
  check_row_pairs("union", a, b);
  visit_index(a.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    for_each_position(a, b, static_cast<const I*>(indptr),
                      [&](std::int64_t to, I column, bool in_a, bool in_b, I p, I q) {
                        static_cast<I*>(indices)[to] = column;
                        static_cast<I*>(from_a)[to] = in_a ? p : I{-1};
                        static_cast<I*>(from_b)[to] = in_b ? q : I{-1};
                      });
  });
}

void fill_union(const CsrView& a, const CsrView& b, bool subtract, const void* indptr,
                void* indices, void* values) {
  check_row_pairs("union", a, b);
  visit_value(a.dtype, "values", [&](auto value) {
    visit_index(a.pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      using A = Accumulator<T>;
      const T zero{};
      const T* left = static_cast<const T*>(a.values);
      const T* right = static_cast<const T*>(b.values);
      for_each_position(a.pattern, b.pattern, static_cast<const I*>(indptr),
                        [&](std::int64_t to, I column, bool in_a, bool in_b, I p, I q) {
                          // Addresses are chosen, not values: without a branch to mispredict.
                          const A x(widen(*(in_a ? left + p : &zero)));
                          const A y(widen(*(in_b ? right + q : &zero)));
                          static_cast<I*>(indices)[to] = column;
                          static_cast<T*>(values)[to] = narrow<T>(subtract ? x - y : x + y);
                        });
    });
  });
}

}  // namespace gossamer
