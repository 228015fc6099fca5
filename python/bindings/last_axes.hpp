// SPDX-License-Identifier: Apache-2.0
// Vectors that are the rows of an array: its view with the last two axes exchanged.
#pragma once

#include <cstddef>
#include <utility>

#include "gossamer/views.hpp"

namespace gossamer::python {

/// Exchanges the last two axes of a view; one of lower rank stays as it is.
inline void swap_last_axes(ArrayView& view) {
  if (view.rank < 2) return;
  const auto last = static_cast<std::size_t>(view.rank) - 1;
  std::swap(view.shape[last], view.shape[last - 1]);
  std::swap(view.strides[last], view.strides[last - 1]);
}

}  // namespace gossamer::python
