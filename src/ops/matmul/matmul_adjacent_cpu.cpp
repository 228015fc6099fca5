// SPDX-License-Identifier: Apache-2.0
// Copies of X from which a product reads less. Strided columns, as the vectors of a batch are,
// copied so that a row's elements are neighbours: each position of A then reads one block of X.
// Small rows that straddle cache lines, copied to lines.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/threads.hpp"
#include "core/visit.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_tuning.hpp"

namespace gossamer {
namespace {

constexpr std::int64_t line_bytes = 64;

/// Copies columns of X to rows of `columns` elements.
template <class T>
void copy_columns(const T* x, std::int64_t rows, std::int64_t row_stride, std::int64_t columns,
                  std::int64_t col_stride, T* copy) {
  // As many rows as share a cache line of a column are walked together.
  constexpr std::int64_t block = 64 / sizeof(T);
  const std::int64_t blocks_a_task =
      std::max<std::int64_t>(1, tuning::matmul_serial_work / (block * columns));
  parallel_ranges(rows, blocks_a_task * block, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += block) {
      const std::int64_t until = std::min(end, i + block);
      for (std::int64_t c = 0; c < columns; ++c) {
        const T* const column = x + c * col_stride;
        for (std::int64_t r = i; r < until; ++r) copy[r * columns + c] = column[r * row_stride];
      }
    }
  });
}

/// Columns of X that are copied at once; fewer than tuning::matmul_copied_columns_least where even
/// those are too large. Depends on the shapes alone, as the order of a sum's terms depends on it.
std::int64_t columns_at_once(const MatmulOperands& op) {
  const std::int64_t item = static_cast<std::int64_t>(item_size(op.a.dtype));
  const std::int64_t line = 64 / item, column = op.a.pattern.cols * item;
  const std::int64_t most = std::min(op.cols, tuning::matmul_copied_bytes / column);
  if (most >= line) {
    // Parts of about equal width, whole cache lines.
    const std::int64_t parts = (op.cols + most - 1) / most;
    return std::min(most, ((op.cols + parts - 1) / parts + line - 1) / line * line);
  }
  const std::int64_t hard = tuning::matmul_copied_bytes_most / column;
  std::int64_t width = line;
  while (width > hard) width /= 2;
  return std::min(op.cols, width);
}

}  // namespace

bool pays_to_copy(const MatmulOperands& op) {
  const std::int64_t longest = std::max(op.a.pattern.rows, op.a.pattern.cols);
  // Of one batch member: so it has the bits that it has alone.
  return op.x_col_stride != 1 && longest > 0 && op.cols >= tuning::matmul_copied_columns_least &&
         op.a.pattern.nnz / longest * op.cols >= tuning::matmul_copied_reads_least &&
         columns_at_once(op) >= tuning::matmul_copied_columns_least;
}

void matmul_adjacent_cpu(const MatmulOperands& op) {
  visit_value(op.a.dtype, "A", [&](auto value) {
    using T = typename decltype(value)::type;
    const std::int64_t rows = op.a.pattern.cols, most = columns_at_once(op);
    const auto copy = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(rows * most));
    MatmulOperands part = op;
    part.x = copy.get();
    part.x_col_stride = 1;
    part.x_batch = {0};
    for (std::size_t member = 0; member < op.x_batch.size(); ++member) {
      for (std::int64_t c = 0; c < op.cols; c += most) {
        part.cols = part.x_row_stride = std::min(most, op.cols - c);
        copy_columns(static_cast<const T*>(op.x) + op.x_batch[member] + c * op.x_col_stride, rows,
                     op.x_row_stride, part.cols, op.x_col_stride, copy.get());
        part.y_batch = {op.y_batch[member] + c * op.y_col_stride};
        matmul_cpu(part);
      }
    }
  });
}

bool pays_to_align(const MatmulOperands& op, std::int64_t threads) {
  const std::int64_t item = static_cast<std::int64_t>(item_size(op.a.dtype));
  const std::int64_t row = op.cols * item, lines = row / line_bytes;
  // Modulo 2**64: the stride of a single row may be anything.
  const auto bytes = [&](std::int64_t elements) {
    return static_cast<std::uint64_t>(elements) * static_cast<std::uint64_t>(item);
  };
  const bool straddles =
      bytes(op.x_row_stride) % line_bytes != 0 ||
      (reinterpret_cast<std::uintptr_t>(op.x) + bytes(op.x_batch[0])) % line_bytes != 0;
  // X whose rows share memory may have more of them than bytes can be counted.
  return straddles && op.x_batch.size() == 1 && op.x_col_stride == 1 && row % line_bytes == 0 &&
         op.a.pattern.cols <= tuning::matmul_near_x / row && op.a.pattern.runs == 0 &&
         op.a.pattern.nnz >= tuning::matmul_aligned_reads * threads * op.a.pattern.cols * lines;
}

MatmulOperands with_aligned_rows(const MatmulOperands& op, std::uint64_t product) {
  struct Rows {
    std::unique_ptr<std::byte[]> memory;
    std::size_t bytes = 0;
    std::uint64_t product = 0;
  };
  thread_local Rows rows;
  const std::size_t item = item_size(op.a.dtype), row = static_cast<std::size_t>(op.cols) * item;
  const std::size_t count = static_cast<std::size_t>(op.a.pattern.cols);
  if (rows.bytes < count * row) {
    rows.memory = std::make_unique_for_overwrite<std::byte[]>(count * row + line_bytes);
    rows.bytes = count * row;
  }
  const std::size_t past = reinterpret_cast<std::uintptr_t>(rows.memory.get()) % line_bytes;
  std::byte* const copy = rows.memory.get() + (line_bytes - past) % line_bytes;
  if (rows.product != product) {
    const std::byte* const x =
        static_cast<const std::byte*>(op.x) + op.x_batch[0] * static_cast<std::int64_t>(item);
    // Rows that follow each other in one piece: a call for each takes longer than its line.
    const std::size_t together = op.x_row_stride == op.cols ? count : 1;
    for (std::size_t i = 0; i < count; i += together) {
      const std::int64_t element = static_cast<std::int64_t>(i) * op.x_row_stride;
      std::memcpy(copy + i * row, x + element * static_cast<std::int64_t>(item), together * row);
    }
    rows.product = product;
  }
  MatmulOperands aligned = op;
  aligned.x = copy;
  aligned.x_batch = {0};
  aligned.x_row_stride = op.cols;
  return aligned;
}

}  // namespace gossamer
