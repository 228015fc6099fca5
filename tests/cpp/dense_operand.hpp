// SPDX-License-Identifier: Apache-2.0
// Dense operands of products in every layout, and the exact result.
#pragma once

#include <cstdint>
#include <vector>

#include "battery.hpp"
#include "error_bound.hpp"
#include "gossamer/views.hpp"

namespace gossamer::testing {

/// How the elements of X and Y lie in memory.
enum class Layout { vector, every_third, reversed, rows, columns, batch, batch_of_vectors };

/// A dense operand with its memory: `length` rows, laid out as asked.
template <class T>
struct Dense {
  Dense(Layout layout, std::int64_t length, std::int64_t columns) {
    std::int64_t stride = 1;
    const auto axis = [&](std::int64_t extent, std::int64_t step) {
      view.shape[view.rank] = extent;
      view.strides[view.rank++] = step;
    };
    switch (layout) {
      case Layout::vector:
      case Layout::every_third:
      case Layout::reversed:
        stride = layout == Layout::every_third ? 3 : 1;
        axis(length, layout == Layout::reversed ? -1 : stride);
        break;
      case Layout::rows:
        axis(length, columns + 1);
        axis(columns, 1);
        break;
      case Layout::columns:
        axis(length, 1);
        axis(columns, length);
        break;
      case Layout::batch:
        axis(2, 2 * length * columns);
        axis(2, length * columns);
        axis(length, columns);
        axis(columns, 1);
        break;
      case Layout::batch_of_vectors:
        axis(columns, length);
        axis(length, 1);
        axis(1, 1);
        break;
    }
    data.resize(static_cast<std::size_t>((length + 1) * (4 * columns + 4)), make_value<T>(7, 7));
    view.dtype = dtype_v<T>;
    view.data = data.data() + (layout == Layout::reversed && length > 0 ? length - 1 : 0);
  }

  std::vector<T> data;
  ArrayView view;
};

template <class T, class Body>
void for_each_column(const ArrayView& array, Body&& body) {
  if (array.rank == 1) return body(array.data, array.strides[0]);
  const int rows = array.rank - 2;
  std::vector<std::int64_t> index(static_cast<std::size_t>(array.rank), 0);
  const auto walk = [&](auto&& self, int axis, std::int64_t offset) -> void {
    if (axis == rows) return self(self, axis + 1, offset);
    if (axis == array.rank) {
      return body(static_cast<T*>(array.data) + offset, array.strides[rows]);
    }
    for (std::int64_t i = 0; i < array.shape[axis]; ++i) {
      self(self, axis + 1, offset + i * array.strides[axis]);
    }
  };
  walk(walk, 0, 0);
}

/// The exact sums of A times every column of X, row by row within a column.
template <class T, class I>
std::vector<ExactSum<T>> exact_product(const OwnedCsr<T, I>& a, const ArrayView& x,
                                       bool conjugate) {
  std::vector<ExactSum<T>> sums;
  for_each_column<T>(x, [&](void* data, std::int64_t stride) {
    for (std::int64_t i = 0; i < a.rows; ++i) {
      ExactSum<T>& sum = sums.emplace_back();
      const std::size_t row = static_cast<std::size_t>(i);
      for (I p = a.indptr[row]; p < a.indptr[row + 1]; ++p) {
        const std::size_t slot = static_cast<std::size_t>(p);
        sum.add(conjugate ? conjugate_if<true>(a.values[slot]) : a.values[slot],
                static_cast<const T*>(data)[a.indices[slot] * stride]);
      }
    }
  });
  return sums;
}

}  // namespace gossamer::testing
