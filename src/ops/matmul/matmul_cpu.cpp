// SPDX-License-Identifier: Apache-2.0
// Three row walks, by the layout of X: one contiguous vector, contiguous columns, anything else.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/matmul_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

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

void matmul_cpu(const MatmulOperands& op) {
  const CsrPattern& pattern = op.a.pattern;
  const std::int64_t columns = op.cols * static_cast<std::int64_t>(op.x_batch.size());
  if (pattern.rows == 0 || columns == 0) return;
  const auto rows = GOSSAMER_SIMD_FUNCTION(MatmulRows);
  const std::int64_t cost = pattern.nnz + pattern.rows;
  const std::int64_t serial =
      columns == 1 ? tuning::matmul_serial_vector_work : tuning::matmul_serial_work / columns;
  std::int64_t pieces = 1;
  if (num_threads() > 1 && cost >= serial) {
    pieces = num_threads() * tuning::matmul_pieces_per_thread;
  }
  if (columns > tuning::matmul_single_pass_columns) {
    pieces = std::max(pieces, cost / tuning::matmul_piece_cost);
  }
  pieces = std::min(pieces, pattern.rows);
  visit_index(pattern.index_dtype, "A", [&](auto index) {
    const auto* indptr = static_cast<const typename decltype(index)::type*>(pattern.indptr);
    parallel_for(pieces, [&](std::int64_t piece) {
      rows(op, balanced_row(indptr, pattern.rows, piece, pieces),
           balanced_row(indptr, pattern.rows, piece + 1, pieces));
    });
  });
}

}  // namespace gossamer
#endif  // HWY_ONCE
