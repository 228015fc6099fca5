// SPDX-License-Identifier: Apache-2.0
#include "gossamer/spgemm.hpp"

#include <nanobind/stl/optional.h>

#include <optional>
#include <utility>

#include "gossamer/errors.hpp"
#include "module.hpp"
#include "patterns.hpp"

namespace gossamer::python {

namespace {

/// SpgemmAtOnce, with what it borrows.
struct PySpgemmAtOnce {
  PySpgemmAtOnce(PatternHandle a, const InputArray& a_values, PatternHandle b,
                 const InputArray& b_values, OutputArray indptr)
      : a(nb::borrow(a)),
        b(nb::borrow(b)),
        a_values(a_values),
        b_values(b_values),
        indptr(std::move(indptr)) {
    const CsrView a_view = with_values(pattern_of(a), a_values, "a_values");
    const CsrView b_view = with_values(pattern_of(b), b_values, "b_values");
    auto* offsets = static_cast<std::int64_t*>(
        vector_data(this->indptr, a_view.pattern.rows + 1, DType::int64, "indptr"));
    dtype = a_view.dtype;
    run_engine(a_view.pattern.nnz + a_view.pattern.rows,
               [&] { product.emplace(a_view, b_view, offsets); });
  }

  nb::object a, b;
  InputArray a_values, b_values;
  OutputArray indptr;
  std::optional<OutputArray> workspace;
  std::optional<SpgemmAtOnce> product;
  std::int64_t nnz = 0;
  DType dtype;
};

std::int64_t workspace_size(const PySpgemmAtOnce& self) {
  constexpr std::int64_t size = sizeof(std::int64_t);
  return (self.product->workspace_bytes() + size - 1) / size;
}

void bind_spgemm_at_once(nb::module_& m) {
  nb::class_<PySpgemmAtOnce>(m, "SpgemmAtOnce", "A @ B in one phase, by way of a workspace.")
      .def(nb::init<PatternHandle, const InputArray&, PatternHandle, const InputArray&,
                    OutputArray>(),
           nb::arg("a"), nb::arg("a_values"), nb::arg("b"), nb::arg("b_values"), nb::arg("indptr"))
      .def_prop_ro(
          "workspace_size", [](const PySpgemmAtOnce& self) { return workspace_size(self); },
          "Elements of int64 that compute needs.")
      .def(
          "compute",
          [](PySpgemmAtOnce& self, const OutputArray& workspace) {
            const std::int64_t size = workspace_size(self);
            void* const memory = vector_data(workspace, size, DType::int64, "workspace");
            self.workspace = workspace;
            run_engine(size, [&] { self.nnz = self.product->compute(memory); });
            return self.nnz;
          },
          nb::arg("workspace"), "Write the row offsets; returns the number of positions.")
      .def(
          "collect",
          [](const PySpgemmAtOnce& self, const OutputArray& indices, const OutputArray& values) {
            const DType index_dtype = dtype_of(indices.dtype(), "indices");
            void* const columns = vector_data(indices, self.nnz, index_dtype, "indices");
            void* const data = vector_data(values, self.nnz, self.dtype, "values");
            run_engine(self.nnz, [&] { self.product->collect(index_dtype, columns, data); });
          },
          nb::arg("indices"), nb::arg("values"), "Write the columns and values, after compute.")
      .def(
          "count",
          [](PySpgemmAtOnce& self) {
            return run_engine(workspace_size(self), [&] { return self.product->count(); });
          },
          "What spgemm_count does, instead of compute.");
}

}  // namespace

void bind_spgemm(nb::module_& m) {
  bind_spgemm_at_once(m);

  m.def(
      "spgemm_count",
      [](const PyCsrPattern& a, const PyCsrPattern& b, const OutputArray& indptr) {
        auto* offsets = static_cast<std::int64_t*>(
            vector_data(indptr, a.view.rows + 1, DType::int64, "indptr"));
        return run_engine(a.view.nnz + a.view.rows,
                          [&] { return spgemm_count(a.view, b.view, offsets); });
      },
      nb::arg("a"), nb::arg("b"), nb::arg("indptr"),
      "Write the row offsets of A @ B; returns its number of positions.");

  m.def(
      "spgemm_fill",
      [](const PyCsrPattern& a, const std::optional<InputArray>& a_values, const PyCsrPattern& b,
         const std::optional<InputArray>& b_values, const InputArray& indptr,
         const OutputArray& indices, const std::optional<OutputArray>& values) {
        CsrView a_view, b_view;
        a_view.pattern = a.view;
        b_view.pattern = b.view;
        const auto* offsets = static_cast<const std::int64_t*>(
            vector_data(indptr, a.view.rows + 1, DType::int64, "indptr"));
        const std::int64_t nnz = offsets[a.view.rows];
        void* data = nullptr;
        if (values) {
          if (!a_values || !b_values) {
            throw InvalidArgument("spgemm_fill: values without a_values and b_values");
          }
          a_view = with_values(a, *a_values, "a_values");
          b_view = with_values(b, *b_values, "b_values");
          data = vector_data(*values, nnz, a_view.dtype, "values");
        }
        const DType index_dtype = dtype_of(indices.dtype(), "indices");
        void* columns = vector_data(indices, nnz, index_dtype, "indices");
        run_engine(a.view.nnz + nnz,
                   [&] { spgemm_fill(a_view, b_view, offsets, index_dtype, columns, data); });
      },
      nb::arg("a"), nb::arg("a_values").none(), nb::arg("b"), nb::arg("b_values").none(),
      nb::arg("indptr"), nb::arg("indices"), nb::arg("values").none(),
      "Write the columns and values of A @ B; without values the columns only.");

  m.def(
      "spgemm_masked",
      [](const PyCsrPattern& a, const InputArray& a_values, const PyCsrPattern& b,
         const InputArray& b_values, const PyCsrPattern& mask, const OutputArray& values,
         bool transpose_b) {
        const CsrView a_view = with_values(a, a_values, "a_values");
        const CsrView b_view = with_values(b, b_values, "b_values");
        void* data = vector_data(values, mask.view.nnz, a_view.dtype, "values");
        run_engine(a.view.nnz + mask.view.nnz,
                   [&] { spgemm_masked(a_view, b_view, mask.view, data, transpose_b); });
      },
      nb::arg("a"), nb::arg("a_values"), nb::arg("b"), nb::arg("b_values"), nb::arg("mask"),
      nb::arg("values"), nb::arg("transpose_b") = false,
      "Write the values of A @ B, or of A @ B.T, at the positions of the mask.");
}

}  // namespace gossamer::python
