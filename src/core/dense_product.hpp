// SPDX-License-Identifier: Apache-2.0
// What products of a matrix with dense arrays of any rank share: the row axis is the only one of
// rank 1 and else the last but one; the axes before it count the batch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gossamer/views.hpp"

namespace gossamer {

inline int row_axis(const ArrayView& array) { return array.rank == 1 ? 0 : array.rank - 2; }

/// Whether x has `x_rows` and y `y_rows` along their row axes, and all else alike. x.rank >= 1.
bool shapes_fit(const ArrayView& x, std::int64_t x_rows, const ArrayView& y, std::int64_t y_rows);

/// Offsets of the batch members: every index over the axes before the last two, in C order.
std::vector<std::int64_t> batch_offsets(const ArrayView& array);

/// Offsets of the columns of all batch members: every index over all axes but the row axis, in C
/// order.
std::vector<std::int64_t> column_offsets(const ArrayView& array);

/// The shape as Python writes it.
std::string shape_text(const ArrayView& array);

}  // namespace gossamer
