// SPDX-License-Identifier: Apache-2.0
#include "ops/matmul_transposed/matmul_transposed.hpp"

#include <algorithm>
#include <utility>

#include "core/message.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/matmul.hpp"
#include "ops/matmul_transposed/matmul_transposed_tuning.hpp"

namespace gossamer {

namespace {

/// Two neighbours as one piece; one without entries adds no columns.
RowPiece joined(const RowPiece& left, const RowPiece& right) {
  const RowPiece& a = left.first == left.last ? right : left;
  const RowPiece& b = right.first == right.last ? left : right;
  return {left.begin, right.end, std::min(a.first, b.first), std::max(a.last, b.last)};
}

}  // namespace

std::vector<RowPiece> row_pieces(const CsrPattern& pattern) {
  const std::int64_t cost = pattern.nnz + pattern.rows;
  std::size_t count = 1;
  while (count < tuning::transposed_pieces &&
         static_cast<std::int64_t>(2 * count) * tuning::transposed_piece_cost <= cost) {
    count *= 2;
  }
  std::vector<RowPiece> pieces(count);
  visit_index(pattern.index_dtype, "A", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* indptr = static_cast<const I*>(pattern.indptr);
    const I* indices = static_cast<const I*>(pattern.indices);
    const std::int64_t total = static_cast<std::int64_t>(count);
    parallel_for(total, [&](std::int64_t k) {
      RowPiece& piece = pieces[static_cast<std::size_t>(k)];
      piece.begin = balanced_row(indptr, pattern.rows, k, total);
      piece.end = balanced_row(indptr, pattern.rows, k + 1, total);
      I least = static_cast<I>(pattern.cols), most = -1;
      for (I p = indptr[piece.begin]; p < indptr[piece.end]; ++p) {
        least = std::min(least, indices[p]);
        most = std::max(most, indices[p]);
      }
      piece.first = least;
      piece.last = std::max(least, static_cast<I>(most + 1));
    });
  });
  const auto columns = [&] {
    std::int64_t sum = 0;
    for (const RowPiece& piece : pieces) sum += piece.last - piece.first;
    return sum;
  };
  // Two pieces may cost more than their share: they are what lets two threads work.
  while (pieces.size() > 1 && columns() > (pieces.size() > 2 ? pattern.nnz / 2 : 2 * pattern.nnz)) {
    for (std::size_t k = 0; k < pieces.size() / 2; ++k) {
      pieces[k] = joined(pieces[2 * k], pieces[2 * k + 1]);
    }
    pieces.resize(pieces.size() / 2);
  }
  return pieces;
}

void matmul_transposed(const CsrView& a, const std::vector<RowPiece>& pieces, const ArrayView& x,
                       const ArrayView& y, bool conjugate) {
  CsrView transposed = a;
  std::swap(transposed.pattern.rows, transposed.pattern.cols);
  check_matmul_shapes(transposed, x, y);
  matmul_transposed_cpu(describe_matmul(a, x, y, conjugate), pieces);
}

void column_sums(const CsrView& a, const std::vector<RowPiece>& pieces, void* sums) {
  matmul_transposed_cpu({a, nullptr, sums, 0, 1, 0, 0, 1, {0}, {0}, false}, pieces);
}

namespace {

/// Entries in even shares; as many as row_pieces would make of rows that reach every column.
std::vector<RowPiece> entry_pieces(const CooPattern& coo) {
  std::int64_t count = 1;
  const auto pays = [&](std::int64_t pieces) {
    const double sums = static_cast<double>(pieces) * static_cast<double>(coo.rows);
    return pieces * tuning::transposed_piece_cost <= coo.nnz &&
           sums <= static_cast<double>(coo.nnz) * (pieces > 2 ? 0.5 : 2);
  };
  while (2 * count <= static_cast<std::int64_t>(tuning::transposed_pieces) && pays(2 * count)) {
    count *= 2;
  }
  std::vector<RowPiece> pieces;
  for (std::int64_t k = 0; k < count; ++k) {
    // Without an overflow of nnz times count.
    const auto share = [&](std::int64_t i) {
      return coo.nnz / count * i + coo.nnz % count * i / count;
    };
    pieces.push_back({share(k), share(k + 1), 0, coo.rows});
  }
  return pieces;
}

}  // namespace

void matmul_coo(const CooView& a, const ArrayView& x, const ArrayView& y, bool conjugate) {
  const CooPattern& pattern = a.pattern;
  const CsrPattern shape{pattern.rows, pattern.cols, pattern.nnz, pattern.index_dtype};
  check_matmul_shapes({shape, a.dtype, a.values}, x, y);
  if (x.rank != 1) {
    throw InvalidArgument(message("matmul_coo: X has rank ", x.rank, ", expected 1"));
  }
  matmul_coo_cpu({a, x.data, y.data, x.strides[0], y.strides[0], conjugate}, entry_pieces(pattern));
}

void row_sums_coo(const CooView& a, void* sums) {
  matmul_coo_cpu({a, nullptr, sums, 0, 1, false}, entry_pieces(a.pattern));
}

}  // namespace gossamer
