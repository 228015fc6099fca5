// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "gossamer/views.hpp"
#include "ops/structure/payload.hpp"
#include "ops/structure/scratch.hpp"

namespace gossamer {

/// Rows of entries to be written in column order, stable, with what travels along.
///
/// Row i holds the positions [offsets[i], offsets[i + 1]), the last one up to `end`. Position p is
/// read at index p − base of the inputs and written at index p of the outputs, which must be other
/// memory.
struct RowSort {
  DType index_dtype;
  std::int64_t rows;
  const void* offsets;  ///< one a row
  std::int64_t end;
  std::int64_t base;
  const void* columns;
  void* out_columns;
  Payload payload;
};

/// Room for the longest row, used by radix sort; a thread keeps one from task to task.
class RowSortScratch {
 public:
  void reserve(std::int64_t length, std::size_t index_size, std::size_t payload_size) {
    if (length <= length_) return;
    length_ = std::max(length, 2 * length_);
    columns_ = make_scratch<std::byte>(static_cast<std::size_t>(length_) * index_size);
    payload_ = make_scratch<std::byte>(static_cast<std::size_t>(length_) * payload_size);
  }
  void* columns() const { return columns_.get(); }
  void* payload() const { return payload_.get(); }

 private:
  std::int64_t length_ = 0;
  Scratch<std::byte> columns_, payload_;
};

/// Sorts the rows; returns whether no row holds a column twice.
bool sort_rows(const RowSort& job, RowSortScratch& scratch);

/// Sorts all rows of a pattern, on all threads; returns whether no row holds a column twice.
bool sort_pattern(const CsrPattern& pattern, void* indices, const Payload& payload);

}  // namespace gossamer
