// SPDX-License-Identifier: Apache-2.0
#include "convert/dense.hpp"

#include <cmath>
#include <cstdlib>
#include <vector>

#include "core/message.hpp"
#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/row_offsets.hpp"

namespace gossamer {
namespace {

void check_nonzeros(const ArrayView& dense, double threshold, DType index_dtype) {
  if (dense.rank != 2) {
    throw InvalidArgument(message("fromdense: dense has rank ", dense.rank, "; it must be 2"));
  }
  if (!(threshold >= 0)) {
    throw InvalidArgument(message("fromdense: threshold = ", threshold, " must be 0 or more"));
  }
  check_index_range("fromdense", index_dtype, dense.shape[0], dense.shape[1], 0);
}

/// Row blocks of the matrix, each about one task's work.
std::int64_t pieces_of(const ArrayView& dense) {
  const std::int64_t blocks = (dense.shape[0] + dense_block - 1) / dense_block;
  const std::int64_t work = dense.shape[0] * dense.shape[1] / tuning::stream_grain + 1;
  return std::max<std::int64_t>(1, std::min(blocks, work));
}

std::int64_t piece_row(const ArrayView& dense, std::int64_t piece, std::int64_t pieces) {
  const std::int64_t blocks = (dense.shape[0] + dense_block - 1) / dense_block;
  return std::min(dense.shape[0],
                  (blocks / pieces * piece + std::min(piece, blocks % pieces)) * dense_block);
}

template <class T>
void fill_zeros(const ArrayView& dense, int along, std::int64_t begin, std::int64_t end) {
  const int across = 1 - along;
  for (std::int64_t i = begin; i < end; ++i) {
    T* const line = static_cast<T*>(dense.data) + i * dense.strides[across];
    const std::int64_t stride = dense.strides[along];
    if (stride == 1) {
      std::fill_n(line, dense.shape[along], T{});
    } else {
      for (std::int64_t j = 0; j < dense.shape[along]; ++j) line[j * stride] = T{};
    }
  }
}

/// Adds the entries of one row to zeros. 16-bit values are summed in float, in `sums`, once one
/// repeats.
template <class T, class I>
void add_row(const CsrView& a, std::int64_t i, T* row, std::int64_t stride,
             std::vector<Accumulator<T>>& sums) {
  const I* indptr = static_cast<const I*>(a.pattern.indptr);
  const I* indices = static_cast<const I*>(a.pattern.indices);
  const T* values = static_cast<const T*>(a.values);
  if constexpr (is_16bit<T>) {
    bool repeats = false;
    for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
      T& element = row[indices[p] * stride];
      repeats |= element.bits != 0;
      element = narrow<T>(widen(values[p]) + 0.0f);
    }
    if (!repeats) return;
    sums.resize(static_cast<std::size_t>(a.pattern.cols));
    for (I p = indptr[i]; p < indptr[i + 1]; ++p) sums[static_cast<std::size_t>(indices[p])] = 0;
    for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
      sums[static_cast<std::size_t>(indices[p])] += widen(values[p]);
    }
    for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
      row[indices[p] * stride] = narrow<T>(sums[static_cast<std::size_t>(indices[p])]);
    }
  } else {
    static_cast<void>(sums);
    for (I p = indptr[i]; p < indptr[i + 1]; ++p) row[indices[p] * stride] += values[p];
  }
}

}  // namespace

std::int64_t count_nonzeros(const ArrayView& dense, double threshold, DType index_dtype,
                            void* indptr) {
  check_nonzeros(dense, threshold, index_dtype);
  return visit_index(index_dtype, "indptr", [&](auto index) {
    using I = typename decltype(index)::type;
    return write_row_offsets(
        "fromdense", static_cast<I*>(indptr), pieces_of(dense),
        [&](std::int64_t piece, std::int64_t pieces) { return piece_row(dense, piece, pieces); },
        [&](std::int64_t first, std::int64_t last, I* counts) {
          count_dense_rows(dense, threshold, first, last, index_dtype, counts);
        });
  });
}

void fill_nonzeros(const ArrayView& dense, double threshold, DType index_dtype, const void* indptr,
                   void* indices, void* values) {
  check_nonzeros(dense, threshold, index_dtype);
  const std::int64_t pieces = pieces_of(dense);
  parallel_for(pieces, [&](std::int64_t piece) {
    fill_dense_rows(dense, threshold, piece_row(dense, piece, pieces),
                    piece_row(dense, piece + 1, pieces), index_dtype, indptr, indices, values);
  });
}

void todense(const CsrView& a, const ArrayView& dense) {
  const CsrPattern& pattern = a.pattern;
  if (dense.rank != 2 || dense.shape[0] != pattern.rows || dense.shape[1] != pattern.cols) {
    throw InvalidArgument(message("todense: dense has rank ", dense.rank, " and shape (",
                                  dense.shape[0], ", ", dense.shape[1], "); it must be (",
                                  pattern.rows, ", ", pattern.cols, ")"));
  }
  if (dense.dtype != a.dtype) {
    throw InvalidDType(message("todense: dense is ", name(dense.dtype), "; it must be ",
                               name(a.dtype), " as the values"));
  }
  visit_value(a.dtype, "values", [&](auto value) {
    visit_index(pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const bool by_rows = std::abs(dense.strides[1]) <= std::abs(dense.strides[0]);
      if (!by_rows) {
        const std::int64_t grain =
            std::max<std::int64_t>(1, tuning::stream_grain / (pattern.rows + 1));
        parallel_ranges(pattern.cols, grain, [&](std::int64_t begin, std::int64_t end) {
          fill_zeros<T>(dense, 0, begin, end);
        });
      }
      const std::int64_t grain =
          std::max<std::int64_t>(1, tuning::stream_grain / (pattern.cols + 1));
      parallel_ranges(pattern.rows, grain, [&](std::int64_t begin, std::int64_t end) {
        if (by_rows) fill_zeros<T>(dense, 1, begin, end);
        std::vector<Accumulator<T>> sums;
        for (std::int64_t i = begin; i < end; ++i) {
          add_row<T, I>(a, i, static_cast<T*>(dense.data) + i * dense.strides[0], dense.strides[1],
                        sums);
        }
      });
    });
  });
}

}  // namespace gossamer
