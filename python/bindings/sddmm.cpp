// SPDX-License-Identifier: Apache-2.0
#include "gossamer/sddmm.hpp"

#include "module.hpp"
#include "patterns.hpp"

namespace gossamer::python {

void bind_sddmm(nb::module_& m) {
  m.def(
      "sddmm",
      [](const PyCsrPattern& pattern, const Input& u, const Input& v, const Output& values,
         bool conjugate) {
        const ArrayView u_view = view(u, "u"), v_view = view(v, "v");
        const CsrPattern positions = pattern.view;
        void* data = vector_data(view(values, "values"), positions.nnz, u_view.dtype, "values");
        run_engine(positions.nnz + size_of(u_view),
                   [&] { sddmm(positions, u_view, v_view, data, conjugate); });
      },
      nb::arg("pattern"), nb::arg("u"), nb::arg("v"), nb::arg("values"),
      nb::arg("conjugate") = false,
      "Write the values of u @ v.T, or of u @ v.conj().T, at the stored positions; shapes as "
      "gossamer::sddmm takes them.");
}

}  // namespace gossamer::python
