// SPDX-License-Identifier: Apache-2.0
#include "gossamer/matmul.hpp"

#include <utility>
#include <vector>

#include "last_axes.hpp"
#include "module.hpp"
#include "patterns.hpp"

namespace gossamer::python {

void bind_matmul(nb::module_& m) {
  m.def(
      "matmul",
      [](const PyCsrPattern& pattern, const Input& values, const Input& x, const Output& y,
         bool conjugate, bool swapped) {
        const CsrView a = with_values(pattern, values, "data");
        ArrayView x_view = view(x, "x"), y_view = view(y, "y");
        if (swapped) {
          swap_last_axes(x_view);
          swap_last_axes(y_view);
        }
        run_engine(a.pattern.nnz + size_of(y_view), [&] { matmul(a, x_view, y_view, conjugate); });
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("x"), nb::arg("y"),
      nb::arg("conjugate") = false, nb::arg("swapped") = false,
      "Write A @ x, or conj(A) @ x, into y; shapes as gossamer::matmul takes them. Swapped: "
      "x and y have the last two axes exchanged.");
  m.def(
      "matmul_transposed",
      [](PyCsrPattern& pattern, const Input& values, const Input& x, const Output& y,
         bool conjugate) {
        const CsrView a = with_values(pattern, values, "data");
        const ArrayView x_view = view(x, "x"), y_view = view(y, "y");
        if (pattern.pieces.empty()) {
          std::vector<RowPiece> pieces;
          run_engine(a.pattern.nnz, [&] { pieces = row_pieces(a.pattern); });
          // Kept under the interpreter's lock, and not written again.
          if (pattern.pieces.empty()) pattern.pieces = std::move(pieces);
        }
        run_engine(a.pattern.nnz + size_of(y_view),
                   [&] { matmul_transposed(a, pattern.pieces, x_view, y_view, conjugate); });
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("x"), nb::arg("y"),
      nb::arg("conjugate") = false,
      "Write A.T @ x, or A.H @ x, into y, without a transposed structure.");
}

}  // namespace gossamer::python
