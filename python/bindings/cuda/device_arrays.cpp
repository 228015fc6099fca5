// SPDX-License-Identifier: Apache-2.0
#include "device_arrays.hpp"

#include <string>

#include "../exchange.hpp"
#include "../last_axes.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::python {
namespace {

DType dtype_named(const char* wanted) {
#define GOSSAMER_CASE(enumerator, ...) \
  if (std::strcmp(wanted, #enumerator) == 0) return DType::enumerator;
  GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CASE)
  GOSSAMER_FOR_EACH_INDEX_DTYPE(GOSSAMER_CASE)
#undef GOSSAMER_CASE
  throw InvalidDType(std::string("dtype = '") + wanted +
                     "' is not one that the engine knows; supported are float16, bfloat16, "
                     "float32, float64, complex64, complex128, int32 and int64");
}

void check_memory(const ArrayView& view, const char* argument) {
  const std::int64_t elements = product(view, view.rank);
  if (view.data == nullptr && elements > 0) {
    throw InvalidArgument(std::string(argument) + " has " + std::to_string(elements) +
                          " elements and no memory: its storage was given up");
  }
}

std::int64_t integer(nb::handle value, const char* argument) {
  std::int64_t integer = 0;
  if (!nb::try_cast(value, integer)) {
    throw InvalidDType(std::string("View: ") + argument + " holds a " +
                       nb::type_name(value.type()).c_str() + "; it must hold integers");
  }
  return integer;
}

void make_view(ArrayView* view, std::uintptr_t pointer, const char* dtype, nb::tuple shape,
               nb::tuple strides, bool swapped) {
  if (shape.size() != strides.size() ||
      shape.size() > static_cast<std::size_t>(ArrayView::max_rank)) {
    throw InvalidArgument("View: shape has " + std::to_string(shape.size()) + " axes and strides " +
                          std::to_string(strides.size()) + "; both must have the same, at most " +
                          std::to_string(ArrayView::max_rank));
  }
  new (view) ArrayView;
  view->data = reinterpret_cast<void*>(pointer);
  view->dtype = dtype_named(dtype);
  view->rank = static_cast<int>(shape.size());
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    view->shape[axis] = integer(shape[axis], "shape");
    view->strides[axis] = integer(strides[axis], "strides");
  }
  check_memory(*view, "View: array");
  if (swapped) swap_last_axes(*view);
}

ArrayView view_of(nb::handle tensor, const char* argument) {
  const std::optional<nb::dlpack::dltensor> found = described(tensor);
  if (!found || found->ndim > ArrayView::max_rank) {
    throw InvalidArgument(std::string(argument) + " is a " + nb::type_name(tensor.type()).c_str() +
                          "; it must be a View, or a tensor that has DLPack's exchange API in C "
                          "and at most " +
                          std::to_string(ArrayView::max_rank) + " axes");
  }
  if (found->device.device_type != nb::device::cuda::value) {
    throw InvalidArgument(std::string(argument) + " is not on a GPU");
  }
  ArrayView view;
  view.data = static_cast<char*>(found->data) + found->byte_offset;
  view.dtype = dtype_of(found->dtype, argument);
  view.rank = found->ndim;
  for (int axis = 0; axis < view.rank; ++axis) {
    view.shape[axis] = found->shape[axis];
    view.strides[axis] = found->strides[axis];
  }
  check_memory(view, argument);
  return view;
}

void view_tensor(ArrayView* view, nb::handle tensor, bool swapped) {
  new (view) ArrayView(view_of(tensor, "View: tensor"));
  if (swapped) swap_last_axes(*view);
}

}  // namespace

ArrayView device_array(nb::handle array, const char* argument) {
  return nb::isinstance<ArrayView>(array) ? *nb::inst_ptr<ArrayView>(array)
                                          : view_of(array, argument);
}

void* device_vector(const ArrayView& view, std::int64_t length, DType dtype, const char* argument) {
  if (view.rank != 1 || view.shape[0] != length || (length > 1 && view.strides[0] != 1)) {
    throw InvalidArgument(std::string(argument) + " has rank " + std::to_string(view.rank) +
                          " and " + std::to_string(view.shape[0]) +
                          " elements in its first axis; it must be one contiguous axis of " +
                          std::to_string(length));
  }
  if (view.dtype != dtype) {
    throw InvalidDType(std::string(argument) + " is " + std::string(name(view.dtype)) +
                       "; it must be " + std::string(name(dtype)));
  }
  return view.data;
}

std::int64_t product(const ArrayView& array, int axes) {
  std::int64_t size = 1;
  for (int axis = 0; axis < axes; ++axis) size *= array.shape[axis];
  return size;
}

void bind_device_arrays(nb::module_& m) {
  nb::class_<ArrayView>(m, "View",
                        "A strided array in device memory; strides count elements. swapped: with "
                        "its last two axes exchanged. It keeps nothing alive.")
      .def("__init__", &make_view, nb::arg("pointer"), nb::arg("dtype"), nb::arg("shape"),
           nb::arg("strides"), nb::arg("swapped") = false)
      .def("__init__", &view_tensor, nb::arg("tensor"), nb::arg("swapped") = false);
  nb::class_<cuda::Stream>(m, "Stream", "A stream of a device, by the handle of the runtime.")
      .def(
          "__init__",
          [](cuda::Stream* stream, int device, std::uintptr_t handle) {
            new (stream) cuda::Stream{device, reinterpret_cast<void*>(handle)};
          },
          nb::arg("device"), nb::arg("handle"));
  nb::class_<cuda::Workspace>(m, "Workspace", "Device memory for an operation's own use.")
      .def(
          "__init__",
          [](cuda::Workspace* workspace, std::uintptr_t pointer, std::size_t bytes) {
            new (workspace) cuda::Workspace{reinterpret_cast<void*>(pointer), bytes};
          },
          nb::arg("pointer"), nb::arg("bytes"));
}

}  // namespace gossamer::python
