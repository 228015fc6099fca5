// SPDX-License-Identifier: Apache-2.0
// Columns that are strided, as the vectors of a batch are, copied so that a row's elements are
// neighbours: each position of A then reads one block of X. Of X and Y only what is strided.
#include <algorithm>
#include <memory>

#include "core/threads.hpp"
#include "core/visit.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_tuning.hpp"

namespace gossamer {
namespace {

/// Calls body(element, place) for `columns` of an operand, `place` where a copy has the element.
template <class T, class Body>
void for_each_element(T* data, std::int64_t rows, std::int64_t row_stride, std::int64_t columns,
                      std::int64_t col_stride, Body body) {
  // As many rows as share a cache line of a column are walked together.
  constexpr std::int64_t block = 64 / sizeof(T);
  const std::int64_t blocks_a_task =
      std::max<std::int64_t>(1, tuning::matmul_serial_work / (block * columns));
  parallel_ranges(rows, blocks_a_task * block, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += block) {
      const std::int64_t until = std::min(end, i + block);
      for (std::int64_t c = 0; c < columns; ++c) {
        T* const column = data + c * col_stride;
        for (std::int64_t r = i; r < until; ++r) body(column[r * row_stride], r * columns + c);
      }
    }
  });
}

}  // namespace

bool pays_to_copy(const MatmulOperands& op) {
  const std::int64_t longest = std::max(op.a.pattern.rows, op.a.pattern.cols);
  const bool are_neighbours = op.x_col_stride == 1 && op.y_col_stride == 1;
  // Of one batch member: so it has the bits that it has alone.
  return !are_neighbours && longest > 0 && op.cols >= tuning::matmul_copied_columns_least &&
         op.a.pattern.nnz / longest * op.cols >= tuning::matmul_copied_reads_least;
}

void matmul_adjacent_cpu(const MatmulOperands& op) {
  const CsrPattern& pattern = op.a.pattern;
  visit_value(op.a.dtype, "A", [&](auto value) {
    using T = typename decltype(value)::type;
    const std::int64_t rows_of_x = op.x_col_stride == 1 ? 0 : pattern.cols;
    const std::int64_t rows_of_y = op.y_col_stride == 1 ? 0 : pattern.rows;
    const std::int64_t bytes = (rows_of_x + rows_of_y) * static_cast<std::int64_t>(sizeof(T));
    constexpr std::int64_t line = 64 / sizeof(T);
    const std::int64_t most =
        std::min(op.cols, std::clamp(tuning::matmul_copied_bytes / bytes / line * line, line,
                                     tuning::matmul_copied_columns_most));
    const auto size = [&](std::int64_t rows) { return static_cast<std::size_t>(rows * most); };
    const auto x = std::make_unique_for_overwrite<T[]>(size(rows_of_x));
    const auto y = std::make_unique_for_overwrite<T[]>(size(rows_of_y));
    for (std::size_t member = 0; member < op.x_batch.size(); ++member) {
      for (std::int64_t c = 0; c < op.cols; c += most) {
        const std::int64_t columns = std::min(most, op.cols - c);
        const T* const from =
            static_cast<const T*>(op.x) + op.x_batch[member] + c * op.x_col_stride;
        T* const to = static_cast<T*>(op.y) + op.y_batch[member] + c * op.y_col_stride;
        for_each_element(from, rows_of_x, op.x_row_stride, columns, op.x_col_stride,
                         [&](const T& element, std::int64_t place) { x[place] = element; });
        MatmulOperands part{op.a,    from, to,  op.x_row_stride, op.y_row_stride, 1, 1,
                            columns, {0},  {0}, op.conjugate};
        if (rows_of_x > 0) {
          part.x = x.get();
          part.x_row_stride = columns;
        }
        if (rows_of_y > 0) {
          part.y = y.get();
          part.y_row_stride = columns;
        }
        matmul_cpu(part);
        for_each_element(to, rows_of_y, op.y_row_stride, columns, op.y_col_stride,
                         [&](T& element, std::int64_t place) { element = y[place]; });
      }
    }
  });
}

}  // namespace gossamer
