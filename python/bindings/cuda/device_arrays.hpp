// SPDX-License-Identifier: Apache-2.0
// Device arrays of Python as views. They come as pointers or describe themselves in C, and not
// through DLPack's exchange in Python, which costs more than a product's launch and may order
// streams.
#pragma once

#include <nanobind/nanobind.h>

#include "gossamer/cuda.hpp"
#include "gossamer/views.hpp"

namespace gossamer::python {

namespace nb = nanobind;

/// An operand of a call: a View, or a tensor that describes itself in C, which is quicker. Throws
/// InvalidArgument, InvalidDType that name the argument.
ArrayView device_array(nb::handle array, const char* argument);

/// The data of a contiguous rank-1 view; checks its length and dtype.
void* device_vector(const ArrayView& view, std::int64_t length, DType dtype, const char* argument);

/// Product of the lengths of the first axes.
std::int64_t product(const ArrayView& array, int axes);

void bind_device_arrays(nb::module_& m);
void bind_cuda_csr(nb::module_& m);
void bind_cuda_graphs(nb::module_& m);
void bind_cuda_packed(nb::module_& m);
void bind_cuda_structure(nb::module_& m);

}  // namespace gossamer::python
