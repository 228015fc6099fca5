// SPDX-License-Identifier: Apache-2.0
#include "gossamer/reductions.hpp"

#include "gossamer/errors.hpp"
#include "module.hpp"
#include "patterns.hpp"

namespace gossamer::python {

void bind_reductions(nb::module_& m) {
  m.def(
      "row_extremes",
      [](const PyCsrPattern& pattern, const Input& values, bool largest, const Output& out) {
        const CsrView a = with_values(pattern, values, "values");
        void* const extremes = vector_data(view(out, "out"), a.pattern.rows, a.dtype, "out");
        const Extreme extreme = largest ? Extreme::largest : Extreme::smallest;
        run_engine(a.pattern.nnz + a.pattern.rows, [&] { row_extremes(a, extreme, extremes); });
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("largest"), nb::arg("out"),
      "Write the largest or smallest element of every row of a canonical matrix.");
  m.def(
      "diagonal",
      [](const PyCsrPattern& pattern, const Input& values, std::int64_t k, bool sorted,
         const Output& out) {
        const CsrView a = with_values(pattern, values, "values");
        void* const elements =
            vector_data(view(out, "out"), diagonal_length(a.pattern, k), a.dtype, "out");
        run_engine(a.pattern.nnz + a.pattern.rows, [&] { diagonal(a, k, sorted, elements); });
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("k"), nb::arg("sorted"), nb::arg("out"),
      "Write the elements (i, i + k); sorted: each row's columns are known to be in order.");
}

}  // namespace gossamer::python
