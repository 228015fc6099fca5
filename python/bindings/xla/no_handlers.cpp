// SPDX-License-Identifier: Apache-2.0
// Stands in for handlers.cpp where jaxlib's headers were not found: JAX calls back into Python.
#include "../module.hpp"

namespace gossamer::python {

void bind_xla(nanobind::module_& m) {
  m.def("xla_session", [] { return 0; }, "Number of this process in programs that XLA compiles.");
  m.def(
      "xla_handlers", [] { return nanobind::dict(); },
      "Operations as capsules for jax.ffi.register_ffi_target; empty if this build has none.");
}

}  // namespace gossamer::python
