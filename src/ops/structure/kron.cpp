// SPDX-License-Identifier: Apache-2.0
// Kronecker products, row by row: where each row begins is known beforehand.
#include "core/message.hpp"
#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/structure_tuning.hpp"

namespace gossamer {
namespace {

std::int64_t product_of(std::int64_t a, std::int64_t b) {
  std::int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw InvalidArgument(message("kron: ", a, " times ", b, " is more than int64 counts"));
  }
  return product;
}

/// Writes the offsets and columns, and calls body(to, p, q) for each pair of positions.
template <class I, class Body>
void fill(const CsrPattern& a, const CsrPattern& b, I* offsets, I* indices, Body body) {
  const I* const a_offsets = static_cast<const I*>(a.indptr);
  const I* const b_offsets = static_cast<const I*>(b.indptr);
  const I* const a_columns = static_cast<const I*>(a.indices);
  const I* const b_columns = static_cast<const I*>(b.indices);
  const std::int64_t rows = a.rows * b.rows;
  offsets[rows] = static_cast<I>(a.nnz * b.nnz);
  parallel_ranges(rows, tuning::stream_grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const I *above = a_offsets + i / b.rows, *inside = b_offsets + i % b.rows;
      offsets[i] = static_cast<I>(above[0] * b.nnz + (above[1] - above[0]) * std::int64_t{*inside});
    }
  });
  const std::int64_t pieces = (a.nnz * b.nnz + rows) / tuning::stream_grain + 1;
  for_row_pieces(offsets, rows, pieces, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t above = i / b.rows, inside = i % b.rows;
      const I begin = b_offsets[inside], end = b_offsets[inside + 1];
      I to = offsets[i];
      for (I p = a_offsets[above]; p < a_offsets[above + 1]; ++p) {
        const std::int64_t before = a_columns[p] * b.cols;
        for (I q = begin; q < end; ++q, ++to) {
          indices[to] = static_cast<I>(before + b_columns[q]);
          body(to, p, q);
        }
      }
    }
  });
}

void check(const CsrPattern& a, const CsrPattern& b) {
  if (a.index_dtype != b.index_dtype) {
    throw InvalidDType(message("kron: A has ", name(a.index_dtype), " indices and B ",
                               name(b.index_dtype), "; they must be the same"));
  }
  check_index_range("kron", a.index_dtype, product_of(a.rows, b.rows), product_of(a.cols, b.cols),
                    product_of(a.nnz, b.nnz));
}

}  // namespace

void kron(const CsrPattern& a, const CsrPattern& b, void* indptr, void* indices, void* map) {
  check(a, b);
  visit_index(a.index_dtype, "indices", [&](auto index) {
    using I = typename decltype(index)::type;
    fill(a, b, static_cast<I*>(indptr), static_cast<I*>(indices),
         [&](I to, I p, I q) { static_cast<I*>(map)[to] = static_cast<I>(p * b.nnz + q); });
  });
}

void kron(const CsrView& a, const CsrView& b, void* indptr, void* indices, void* values) {
  check(a.pattern, b.pattern);
  if (a.dtype != b.dtype) {
    throw InvalidDType(message("kron: A has ", name(a.dtype), " values and B ", name(b.dtype),
                               "; they must be the same"));
  }
  visit_value(a.dtype, "values", [&](auto value) {
    visit_index(a.pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      using A = Accumulator<T>;
      fill(a.pattern, b.pattern, static_cast<I*>(indptr), static_cast<I*>(indices),
           [&](I to, I p, I q) {
             const A x(widen(static_cast<const T*>(a.values)[p]));
             const A y(widen(static_cast<const T*>(b.values)[q]));
             static_cast<T*>(values)[to] = narrow<T>(product(x, y));
           });
    });
  });
}

}  // namespace gossamer
