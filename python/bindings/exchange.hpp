// SPDX-License-Identifier: Apache-2.0
// What arrays of other libraries tell of themselves in C, on any device.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>

#include "gossamer/dtype.hpp"

namespace gossamer::python {

namespace nb = nanobind;

/// What DLPack's exchange API tells about an array, or nothing where its framework has no such API.
/// Shape and strides are the array's own.
std::optional<nb::dlpack::dltensor> described(nb::handle array) noexcept;

/// The engine's name of an array's element type; NumPy's uint16 stands for the bits of bfloat16.
/// Throws InvalidDType naming the argument.
DType dtype_of(nb::dlpack::dtype dtype, const char* argument);

}  // namespace gossamer::python
