// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/message.hpp"
#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/row_offsets.hpp"

namespace gossamer {
namespace {

void check_operands(const CsrPattern& a, const CsrPattern& b) {
  if (a.rows != b.rows || a.cols != b.cols) {
    throw InvalidArgument(message("union: a has shape (", a.rows, ", ", a.cols, ") and b (", b.rows,
                                  ", ", b.cols, "); they must be equal"));
  }
  if (a.index_dtype != b.index_dtype) {
    throw InvalidDType(message("union: a has ", name(a.index_dtype), " indices and b ",
                               name(b.index_dtype), "; they must be the same"));
  }
}

std::int64_t pieces_of(const CsrPattern& a, const CsrPattern& b) {
  return (a.nnz + b.nnz + a.rows) / tuning::merge_grain + 1;
}

/// The first row of a piece when the rows and the entries of both are split evenly.
template <class I>
std::int64_t union_row(const I* a, const I* b, std::int64_t rows, std::int64_t piece,
                       std::int64_t pieces) {
  if (piece == 0) return 0;
  if (piece >= pieces) return rows;
  return (balanced_row(a, rows, piece, pieces) + balanced_row(b, rows, piece, pieces)) / 2;
}

/// Merges two sorted rows: calls body(column, in_a, in_b, p, q) for each column of either.
/// Positions advance by comparisons, not by branches, which would be mispredicted at every other
/// column.
template <class I, class Body>
void merge(const I* a, I p, I a_last, const I* b, I q, I b_last, Body body) {
  while (p < a_last && q < b_last) {
    const I left = a[p], right = b[q];
    const bool in_a = left <= right, in_b = right <= left;
    body(std::min(left, right), in_a, in_b, p, q);
    p += in_a;
    q += in_b;
  }
  for (; p < a_last; ++p) body(a[p], true, false, p, q);
  for (; q < b_last; ++q) body(b[q], false, true, p, q);
}

}  // namespace

std::int64_t count_union(const CsrPattern& a, const CsrPattern& b, void* indptr) {
  check_operands(a, b);
  return visit_index(a.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* a_offsets = static_cast<const I*>(a.indptr);
    const I* b_offsets = static_cast<const I*>(b.indptr);
    return write_row_offsets(
        "count_union", static_cast<I*>(indptr), pieces_of(a, b),
        [&](std::int64_t piece, std::int64_t pieces) {
          return union_row(a_offsets, b_offsets, a.rows, piece, pieces);
        },
        [&](std::int64_t first, std::int64_t last, I* counts) {
          for (std::int64_t i = first; i < last; ++i) {
            I count = 0;
            merge(static_cast<const I*>(a.indices), a_offsets[i], a_offsets[i + 1],
                  static_cast<const I*>(b.indices), b_offsets[i], b_offsets[i + 1],
                  [&](I, bool, bool, I, I) { ++count; });
            *counts++ = count;
          }
        });
  });
}

namespace {

/// Calls body(to, column, in_a, in_b, p, q) for the positions of the union, `to` counting them.
template <class I, class Body>
void for_each_position(const CsrPattern& a, const CsrPattern& b, const I* indptr, Body body) {
  const I* a_offsets = static_cast<const I*>(a.indptr);
  const I* b_offsets = static_cast<const I*>(b.indptr);
  const std::int64_t pieces = pieces_of(a, b);
  parallel_for(pieces, [&](std::int64_t piece) {
    const std::int64_t last = union_row(a_offsets, b_offsets, a.rows, piece + 1, pieces);
    for (std::int64_t i = union_row(a_offsets, b_offsets, a.rows, piece, pieces); i < last; ++i) {
      std::int64_t to = indptr[i];
      merge(
          static_cast<const I*>(a.indices), a_offsets[i], a_offsets[i + 1],
          static_cast<const I*>(b.indices), b_offsets[i], b_offsets[i + 1],
          [&](I column, bool in_a, bool in_b, I p, I q) { body(to++, column, in_a, in_b, p, q); });
    }
  });
}

}  // namespace

void fill_union(const CsrPattern& a, const CsrPattern& b, const void* indptr, void* indices,
                void* from_a, void* from_b) {
  check_operands(a, b);
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
  check_operands(a.pattern, b.pattern);
  if (a.dtype != b.dtype) {
    throw InvalidDType(message("union: a has ", name(a.dtype), " values and b ", name(b.dtype),
                               "; they must be the same"));
  }
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
