// SPDX-License-Identifier: Apache-2.0
#include "gossamer/views.hpp"

#include "core/message.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {

ArrayView ArrayView::contiguous(void* data, DType dtype,
                                std::initializer_list<std::int64_t> shape) {
  if (shape.size() > static_cast<std::size_t>(max_rank)) {
    throw InvalidArgument(message("ArrayView: rank ", shape.size(), " exceeds ", max_rank));
  }
  ArrayView view;
  view.data = data;
  view.dtype = dtype;
  for (std::int64_t length : shape) {
    if (length < 0) throw InvalidArgument(message("ArrayView: shape holds ", length));
    view.shape[view.rank++] = length;
  }
  std::int64_t stride = 1;
  for (int axis = view.rank - 1; axis >= 0; --axis) {
    view.strides[axis] = stride;
    stride *= view.shape[axis];
  }
  return view;
}

ArrayView ArrayView::contiguous(const void* data, DType dtype,
                                std::initializer_list<std::int64_t> shape) {
  return contiguous(const_cast<void*>(data), dtype, shape);
}

}  // namespace gossamer
