// SPDX-License-Identifier: Apache-2.0
// Whether tensors are what they seem, asked before every product: in Python it takes three times as
// long.
#include <nanobind/nanobind.h>

#include <optional>

#include "exchange.hpp"
#include "module.hpp"

namespace gossamer::python {
namespace {

/// Whether a method without arguments returns True.
bool answers_yes(nb::handle tensor, PyObject* method) {
  const nb::object answer = nb::steal(PyObject_CallMethodNoArgs(tensor.ptr(), method));
  if (!answer.is_valid()) throw nb::python_error();
  return answer.ptr() == Py_True;
}

bool are_plain(nb::tuple tensors, nb::tuple types) {
  static PyObject* const is_neg = PyUnicode_InternFromString("is_neg");
  static PyObject* const is_conj = PyUnicode_InternFromString("is_conj");
  std::optional<nb::dlpack::device> device;
  for (nb::handle tensor : tensors) {
    if (tensor.is_none()) continue;
    bool is_known = false;
    for (nb::handle type : types) is_known |= tensor.type().is(type);
    if (!is_known) return false;
    // What transformations leave behind wraps a tensor, and has no memory to describe.
    const std::optional<nb::dlpack::dltensor> found = described(tensor);
    if (!found) return false;
    const bool is_complex =
        found->dtype.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Complex);
    if (answers_yes(tensor, is_neg) || (is_complex && answers_yes(tensor, is_conj))) return false;
    if (!device) device = found->device;
    if (found->device.device_type != device->device_type ||
        found->device.device_id != device->device_id) {
      return false;
    }
  }
  return true;
}

}  // namespace

void bind_plain(nb::module_& m) {
  m.def("are_plain", &are_plain, nb::arg("tensors"), nb::arg("types"),
        "Whether tensors that describe themselves in C, None aside, are of exactly these types, on "
        "one device, and neither wrappers nor conjugated or negated by a flag.");
}

}  // namespace gossamer::python
