// SPDX-License-Identifier: Apache-2.0
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "device_arrays.hpp"
#include "gossamer/cuda.hpp"

namespace nb = nanobind;
using namespace gossamer;

NB_MODULE(_cuda, m) {
  m.doc() = "The engine's CUDA half: operations on views of device arrays that Python owns.";

  // gossamer._engine, imported before, translates the engine's own exceptions.
  nb::exception<cuda::CudaError>(m, "CudaError", PyExc_RuntimeError);

  m.def("unavailable", &cuda::unavailable, "Why no CUDA device can be used; empty if one can.");
  m.def("device_count", &cuda::device_count, "Number of CUDA devices.");
  m.def(
      "device_name", [](int device) { return cuda::device_properties(device).name; },
      nb::arg("device"));

  python::bind_device_arrays(m);
  python::bind_cuda_csr(m);
  python::bind_cuda_graphs(m);
  python::bind_cuda_packed(m);
  python::bind_cuda_structure(m);
}
