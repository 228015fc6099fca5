// SPDX-License-Identifier: Apache-2.0
#include "gossamer/matmul.hpp"

#include <utility>
#include <vector>

#include "gossamer/errors.hpp"
#include "last_axes.hpp"
#include "module.hpp"
#include "patterns.hpp"

namespace gossamer::python {
namespace {

/// empty(shape, dtype), which is np.empty; None where that takes more than `most_bytes`.
nb::object empty_result(const nb::object& empty, const ArrayView& shape, nb::handle dtype,
                        std::int64_t most_bytes) {
  std::int64_t bytes = static_cast<std::int64_t>(item_size(shape.dtype));
  nb::object axes = nb::steal(PyTuple_New(shape.rank));
  if (!axes.is_valid()) throw nb::python_error();
  for (int axis = 0; axis < shape.rank; ++axis) {
    if (__builtin_mul_overflow(bytes, shape.shape[axis], &bytes)) return nb::none();
    PyObject* const length = PyLong_FromLongLong(shape.shape[axis]);
    if (length == nullptr) throw nb::python_error();
    PyTuple_SetItem(axes.ptr(), axis, length);
  }
  if (bytes > most_bytes) return nb::none();
  return empty(axes, dtype);
}

/// A @ x into a new array of NumPy's: in Python what leads to the engine takes longer than a small
/// product.
nb::object product(const nb::object& empty, const PyCsrPattern& pattern, const Input& values,
                   const Input& x, nb::handle dtype, bool conjugate, std::int64_t most_bytes) {
  const CsrView a = with_values(pattern, values, "data");
  const ArrayView x_view = view(x, "x");
  ArrayView shape = x_view;
  if (shape.rank == 0) throw InvalidArgument("x has no axes");
  shape.shape[shape.rank == 1 ? 0 : shape.rank - 2] = a.pattern.rows;
  nb::object y = empty_result(empty, shape, dtype, most_bytes);
  if (y.is_none()) return y;
  Output output;
  if (!output.buffer.take(y, true)) throw InvalidDType("product: dtype must be that of values");
  const ArrayView y_view = view(output, "y");
  run_engine(a.pattern.nnz + size_of(y_view), [&] { matmul(a, x_view, y_view, conjugate); });
  return y;
}

/// Finds the pieces of a pattern for its first transposed product.
void find_pieces(PyCsrPattern& pattern) {
  if (!pattern.pieces.empty()) return;
  std::vector<RowPiece> pieces;
  run_engine(pattern.view.nnz, [&, view = pattern.view] { pieces = row_pieces(view); });
  // Kept under the interpreter's lock, and not written again.
  if (pattern.pieces.empty()) pattern.pieces = std::move(pieces);
}

/// Entries with a value for each.
CooView entries(const CooPattern& pattern, const Input& values) {
  const ArrayView data = view(values, "data");
  return {pattern, data.dtype, vector_data(data, pattern.nnz, data.dtype, "data")};
}

}  // namespace

void bind_matmul(nb::module_& m) {
  // np.empty is handed in: an import here would want NumPy where the module is built.
  m.def("product", &product, nb::arg("empty"), nb::arg("pattern"), nb::arg("values"), nb::arg("x"),
        nb::arg("dtype"), nb::arg("conjugate"), nb::arg("most_bytes"),
        "A @ x, or conj(A) @ x, as a new array of the values' dtype by empty(shape, dtype), which "
        "is numpy.empty; None if that has more than most_bytes.");
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
        find_pieces(pattern);
        run_engine(a.pattern.nnz + size_of(y_view),
                   [&] { matmul_transposed(a, pattern.pieces, x_view, y_view, conjugate); });
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("x"), nb::arg("y"),
      nb::arg("conjugate") = false,
      "Write A.T @ x, or A.H @ x, into y, without a transposed structure.");
  m.def(
      "column_sums",
      [](PyCsrPattern& pattern, const Input& values, const Output& out) {
        const CsrView a = with_values(pattern, values, "data");
        void* const sums = vector_data(view(out, "out"), a.pattern.cols, a.dtype, "out");
        find_pieces(pattern);
        run_engine(a.pattern.nnz + a.pattern.cols, [&] { column_sums(a, pattern.pieces, sums); });
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("out"),
      "Write the sum of every column, without a transposed structure.");
  m.def(
      "matmul_coo",
      [](std::int64_t rows, std::int64_t cols, const InputArray& row, const InputArray& col,
         const Input& values, const Input& x, const Output& y, bool conjugate) {
        const CooView a = entries(coo_pattern(rows, cols, row, col), values);
        const ArrayView x_view = view(x, "x"), y_view = view(y, "y");
        run_engine(a.pattern.nnz + rows, [&] { matmul_coo(a, x_view, y_view, conjugate); });
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("row"), nb::arg("col"), nb::arg("values"),
      nb::arg("x"), nb::arg("y"), nb::arg("conjugate") = false,
      "Write A @ x, or conj(A) @ x, of entries in any order and a vector into y.");
  m.def(
      "row_sums_coo",
      [](std::int64_t rows, std::int64_t cols, const InputArray& row, const InputArray& col,
         const Input& values, const Output& out) {
        const CooView a = entries(coo_pattern(rows, cols, row, col), values);
        void* const sums = vector_data(view(out, "out"), rows, a.dtype, "out");
        run_engine(a.pattern.nnz + rows, [&] { row_sums_coo(a, sums); });
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("row"), nb::arg("col"), nb::arg("values"),
      nb::arg("out"), "Write the sum of every row of entries in any order.");
}

}  // namespace gossamer::python
