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

/// The data of a contiguous rank-1 view; checks its length and dtype.
void* device_vector(const ArrayView& view, std::int64_t length, DType dtype, const char* argument);

void bind_device_arrays(nb::module_& m);
void bind_cuda_csr(nb::module_& m);
void bind_cuda_packed(nb::module_& m);
void bind_cuda_structure(nb::module_& m);

}  // namespace gossamer::python
