// SPDX-License-Identifier: Apache-2.0
// Python arrays to views: NumPy through the buffer protocol, other libraries through DLPack.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "gossamer/views.hpp"

namespace gossamer::python {

namespace nb = nanobind;

using InputArray = nb::ndarray<nb::ro>;
using OutputArray = nb::ndarray<>;

/// The engine's name of an array's element type; NumPy's uint16 stands for the bits of bfloat16.
/// Throws InvalidDType naming the argument.
DType dtype_of(nb::dlpack::dtype dtype, const char* argument);

/// A view of any strided CPU array.
ArrayView view(const InputArray& array, const char* argument);
ArrayView view(const OutputArray& array, const char* argument);

/// The data of a contiguous rank-1 CPU array; checks its length and dtype.
const void* vector_data(const InputArray& array, std::int64_t length, DType dtype,
                        const char* argument);
void* vector_data(const OutputArray& array, std::int64_t length, DType dtype, const char* argument);

}  // namespace gossamer::python
