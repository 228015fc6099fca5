// SPDX-License-Identifier: Apache-2.0
// Three row walks, by the layout of X: one contiguous vector, contiguous columns (into Y's, or by
// way of scratch into strided ones), anything else.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/matmul_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <type_traits>
#include <vector>

#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "ops/matmul/column_rows-inl.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_tuning.hpp"
#include "ops/matmul/run_rows-inl.hpp"
#include "ops/matmul/strided_rows-inl.hpp"
#include "ops/matmul/vector_rows-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Rows [begin, end) of strided columns of Y: some rows at a time as neighbours, then moved.
template <bool Conjugate, class T, class I>
void rows_by_scratch(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t line = 64 / sizeof(T);
  const std::int64_t most = std::min(op.cols, tuning::matmul_scratch_columns);
  const std::int64_t rows = std::min(end - begin, tuning::matmul_scratch_bytes / most / 64 * line);
  const auto scratch = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(rows * most));
  MatmulOperands part = op;
  part.y = scratch.get();
  part.y_col_stride = 1;
  part.y_is_scratch = true;
  for (std::int64_t i = begin; i < end; i += rows) {
    const std::int64_t last = std::min(end, i + rows);
    for (std::size_t member = 0; member < op.x_batch.size(); ++member) {
      for (std::int64_t c = 0; c < op.cols; c += most) {
        part.cols = part.y_row_stride = std::min(most, op.cols - c);
        part.x_batch[member] = op.x_batch[member] + c;
        part.y_batch[member] = -i * part.y_row_stride;
        column_rows<Conjugate, T, I>(part, member, i, last);
        T* const y = static_cast<T*>(op.y) + op.y_batch[member] + c * op.y_col_stride;
        // As many rows as share a cache line of a column are walked together.
        for (std::int64_t first = i; first < last; first += line) {
          const T* const from = scratch.get() + (first - i) * part.cols;
          T* const to = y + first * op.y_row_stride;
          const std::int64_t count = std::min(line, last - first);
          for (std::int64_t k = 0; k < part.cols; ++k) {
            for (std::int64_t r = 0; r < count; ++r) {
              to[k * op.y_col_stride + r * op.y_row_stride] = from[r * part.cols + k];
            }
          }
        }
      }
    }
  }
}

template <bool Conjugate, class T, class I>
void rows_of(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  const std::size_t members = op.x_batch.size();
  if (op.cols == 1 && members == 1 && op.x_row_stride == 1) {
    const auto alone = [&](std::int64_t first, std::int64_t last)
                           HWY_ATTR { vector_rows<Conjugate, T, I>(op, first, last); };
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
      if (op.a.pattern.runs > 0) {
        const auto in_run = [&](const Run<I>& run, std::int64_t first, std::int64_t last)
                                HWY_ATTR { run_vector<T>(op, run, first, last); };
        return for_each_run<false, I>(op.a.pattern, begin, end, run_vector_rows, in_run, alone);
      }
    }
    return alone(begin, end);
  }
  constexpr bool has_pairs = !is_complex<T> || HWY_TARGET != HWY_SCALAR;
  if constexpr (has_pairs) {
    if (op.cols > 1 && op.x_col_stride == 1 && op.y_col_stride == 1) {
      for (std::size_t member = 0; member < members; ++member) {
        column_rows<Conjugate, T, I>(op, member, begin, end);
      }
      hwy::FlushStream();
      return;
    }
    if (op.cols >= tuning::matmul_copied_columns_least && op.x_col_stride == 1) {
      return rows_by_scratch<Conjugate, T, I>(op, begin, end);
    }
  }
  strided_rows<Conjugate, T, I>(op, begin, end);
}

void MatmulRows(const MatmulOperands& op, std::int64_t begin, std::int64_t end) {
  visit_value(op.a.dtype, "A", [&](auto value) {
    visit_index(op.a.pattern.index_dtype, "A", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      if constexpr (is_complex<T>) {
        if (op.conjugate) return rows_of<true, T, I>(op, begin, end);
      }
      rows_of<false, T, I>(op, begin, end);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {
namespace {

/// Rows so long that one thread would hold up the others, cut into parts that are rows of their own
/// in a matrix with the same positions. Which rows these are, and where they are cut, depends on
/// the matrix alone.
template <class I>
struct LongRows {
  struct Part {
    std::int64_t row;     ///< of A
    std::int64_t offset;  ///< the part holds positions [offsets[offset], offsets[offset + 1])
  };

  explicit LongRows(const CsrPattern& pattern) {
    const I* indptr = static_cast<const I*>(pattern.indptr);
    const std::int64_t longest_whole =
        std::max(tuning::matmul_long_row, pattern.nnz / tuning::matmul_long_row_share);
    // A longer row holds a multiple of half that length.
    const std::int64_t length = longest_whole / 2;
    for (std::int64_t p = length; p < pattern.nnz;) {
      const std::int64_t row =
          std::upper_bound(indptr, indptr + pattern.rows, static_cast<I>(p)) - indptr - 1;
      const std::int64_t last = indptr[row + 1];
      if (last - indptr[row] > longest_whole) add(row, indptr[row], last, length);
      p = (last + length - 1) / length * length;
    }
  }

  void add(std::int64_t row, std::int64_t first, std::int64_t last, std::int64_t length) {
    rows.push_back(row);
    for (std::int64_t p = first; p < last; p += length) {
      parts.push_back({row, static_cast<std::int64_t>(offsets.size())});
      offsets.push_back(static_cast<I>(p));
    }
    offsets.push_back(static_cast<I>(last));
  }

  std::vector<std::int64_t> rows;
  std::vector<Part> parts;
  std::vector<I> offsets;
};

/// The product of the parts, into `sums`: a row of all members' columns for each offset.
template <class T, class I>
MatmulOperands parts_of(const MatmulOperands& op, const LongRows<I>& rows, T* sums) {
  MatmulOperands parts = op;
  parts.a.pattern.rows = static_cast<std::int64_t>(rows.offsets.size()) - 1;
  parts.a.pattern.indptr = rows.offsets.data();
  parts.a.pattern.runs = 0;
  parts.y = sums;
  parts.y_row_stride = op.cols * static_cast<std::int64_t>(op.y_batch.size());
  parts.y_col_stride = 1;
  for (std::size_t member = 0; member < op.y_batch.size(); ++member) {
    parts.y_batch[member] = op.cols * static_cast<std::int64_t>(member);
  }
  return parts;
}

/// Adds the parts of each row up, in order.
template <class T, class I>
void add_parts(const MatmulOperands& op, const LongRows<I>& rows, const MatmulOperands& parts) {
  const T* sums = static_cast<const T*>(parts.y);
  std::int64_t before = -1;
  for (const auto& part : rows.parts) {
    for (std::size_t member = 0; member < op.y_batch.size(); ++member) {
      T* y = static_cast<T*>(op.y) + op.y_batch[member] + part.row * op.y_row_stride;
      const T* sum = sums + part.offset * parts.y_row_stride + parts.y_batch[member];
      for (std::int64_t c = 0; c < op.cols; ++c) {
        T& element = y[c * op.y_col_stride];
        element = part.row == before ? element + sum[c] : sum[c];
      }
    }
    before = part.row;
  }
}

/// Tasks of equal cost for the threads, more where A's part would else leave the cache.
std::int64_t pieces_of(const CsrPattern& pattern, std::int64_t columns) {
  const std::int64_t cost = pattern.nnz + pattern.rows;
  const std::int64_t serial =
      columns == 1 ? tuning::matmul_serial_vector_work : tuning::matmul_serial_work / columns;
  std::int64_t pieces = 1;
  if (num_threads() > 1 && cost >= serial) {
    const std::int64_t least = std::max<std::int64_t>(1, tuning::matmul_piece_work / columns);
    pieces = num_threads() * std::clamp<std::int64_t>(cost / (num_threads() * least), 1,
                                                      tuning::matmul_pieces_per_thread);
  }
  if (columns > tuning::matmul_single_pass_columns) {
    pieces = std::max(pieces, cost / tuning::matmul_piece_cost);
  }
  return std::min(pieces, pattern.rows);
}

/// A number of its own for a product whose threads copy X to cache lines, 0 for others.
std::uint64_t aligned_product(const MatmulOperands& op, std::int64_t pieces) {
  static std::atomic<std::uint64_t> products{0};
  return pays_to_align(op, std::min<std::int64_t>(pieces, num_threads())) ? ++products : 0;
}

}  // namespace

void matmul_cpu(const MatmulOperands& op) {
  const CsrPattern& pattern = op.a.pattern;
  const std::int64_t columns = op.cols * static_cast<std::int64_t>(op.x_batch.size());
  if (pattern.rows == 0 || columns == 0) return;
  const auto multiply = GOSSAMER_SIMD_FUNCTION(MatmulRows);
  const std::int64_t pieces = pieces_of(pattern, columns);
  visit_index(pattern.index_dtype, "A", [&](auto index) {
    using I = typename decltype(index)::type;
    const I* indptr = static_cast<const I*>(pattern.indptr);
    const auto begin_of = [&](std::int64_t piece) {
      return balanced_row(indptr, pattern.rows, piece, pieces);
    };
    const std::uint64_t product = aligned_product(op, pieces);
    const auto whole = [&](std::int64_t piece) {
      const std::int64_t begin = begin_of(piece), end = begin_of(piece + 1);
      if (product == 0) return multiply(op, begin, end);
      multiply(with_aligned_rows(op, product), begin, end);
    };
    if (pattern.nnz <= tuning::matmul_long_row) return parallel_for(pieces, whole);
    const LongRows<I> rows(pattern);
    if (rows.rows.empty()) return parallel_for(pieces, whole);
    visit_value(op.a.dtype, "A", [&](auto value) {
      using T = typename decltype(value)::type;
      // Sums of 16-bit values must not be rounded before they are whole.
      if constexpr (!std::is_same_v<T, Accumulator<T>>) {
        parallel_for(pieces, whole);
      } else {
        std::vector<T> sums(rows.offsets.size() * static_cast<std::size_t>(columns));
        const MatmulOperands parts = parts_of(op, rows, sums.data());
        const std::int64_t count = static_cast<std::int64_t>(rows.parts.size());
        parallel_for(count + pieces, [&](std::int64_t task) {
          if (task < count) {
            const std::int64_t part = rows.parts[static_cast<std::size_t>(task)].offset;
            return multiply(parts, part, part + 1);
          }
          std::int64_t i = begin_of(task - count);
          const std::int64_t end = begin_of(task - count + 1);
          for (auto next = std::ranges::lower_bound(rows.rows, i);
               next != rows.rows.end() && *next < end; ++next) {
            if (i < *next) multiply(op, i, *next);
            i = *next + 1;
          }
          if (i < end) multiply(op, i, end);
        });
        add_parts<T>(op, rows, parts);
      }
    });
  });
}

}  // namespace gossamer
#endif  // HWY_ONCE
