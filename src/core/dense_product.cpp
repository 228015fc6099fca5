// SPDX-License-Identifier: Apache-2.0
#include "core/dense_product.hpp"

namespace gossamer {
namespace {

/// Adds every index over one axis to every offset.
std::vector<std::int64_t> over_axis(const std::vector<std::int64_t>& offsets,
                                    const ArrayView& array, int axis) {
  std::vector<std::int64_t> result;
  result.reserve(offsets.size() * static_cast<std::size_t>(array.shape[axis]));
  for (const std::int64_t offset : offsets) {
    for (std::int64_t i = 0; i < array.shape[axis]; ++i) {
      result.push_back(offset + i * array.strides[axis]);
    }
  }
  return result;
}

}  // namespace

bool shapes_fit(const ArrayView& x, std::int64_t x_rows, const ArrayView& y, std::int64_t y_rows) {
  if (y.rank != x.rank) return false;
  for (int axis = 0; axis < x.rank; ++axis) {
    const bool fits = axis == row_axis(x) ? x.shape[axis] == x_rows && y.shape[axis] == y_rows
                                          : x.shape[axis] == y.shape[axis];
    if (!fits) return false;
  }
  return true;
}

std::vector<std::int64_t> batch_offsets(const ArrayView& array) {
  std::vector<std::int64_t> offsets{0};
  for (int axis = 0; axis < array.rank - 2; ++axis) offsets = over_axis(offsets, array, axis);
  return offsets;
}

std::vector<std::int64_t> column_offsets(const ArrayView& array) {
  std::vector<std::int64_t> offsets = batch_offsets(array);
  return array.rank == 1 ? offsets : over_axis(offsets, array, array.rank - 1);
}

std::string shape_text(const ArrayView& array) {
  std::string text = "(";
  for (int axis = 0; axis < array.rank; ++axis) {
    text += std::to_string(array.shape[axis]) + (axis + 1 < array.rank ? ", " : "");
  }
  return text + (array.rank == 1 ? ",)" : ")");
}

}  // namespace gossamer
