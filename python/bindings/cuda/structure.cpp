// SPDX-License-Identifier: Apache-2.0
#include "gossamer/cuda/structure.hpp"

#include <nanobind/stl/tuple.h>

#include <tuple>

#include "device_arrays.hpp"
#include "device_pattern.hpp"
#include "gossamer/cuda/spgemm.hpp"

namespace gossamer::python {
namespace {

using Scan = std::tuple<bool, bool, bool>;

Scan as_tuple(const cuda::PatternScan& found) {
  return {found.valid, found.properties.sorted_indices, found.properties.canonical};
}

CooPattern coo_pattern(std::int64_t rows, std::int64_t cols, const ArrayView& row,
                       const ArrayView& col) {
  const std::int64_t nnz = row.shape[0];
  return {rows,
          cols,
          nnz,
          row.dtype,
          device_vector(row, nnz, row.dtype, "row"),
          device_vector(col, nnz, row.dtype, "col")};
}

/// Outputs of the pattern's index dtype.
struct Outputs {
  const CsrPattern& like;

  void* operator()(const ArrayView& view, std::int64_t length, const char* argument) const {
    return device_vector(view, length, like.index_dtype, argument);
  }
};

void bind_scans(nb::module_& m) {
  m.def(
      "scan_csr",
      [](const DeviceCsrPattern& self, cuda::Workspace workspace, cuda::Stream stream) {
        return as_tuple(cuda::scan(self.pattern, workspace, stream));
      },
      nb::arg("pattern"), nb::arg("workspace"), nb::arg("stream"),
      "Look at every offset and index; return (valid, sorted, canonical). Waits for the stream.");
  m.def(
      "scan_coo",
      [](std::int64_t rows, std::int64_t cols, const ArrayView& row, const ArrayView& col,
         cuda::Workspace workspace, cuda::Stream stream) {
        return as_tuple(cuda::scan(coo_pattern(rows, cols, row, col), workspace, stream));
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("row"), nb::arg("col"), nb::arg("workspace"),
      nb::arg("stream"));
}

void bind_orders(nb::module_& m) {
  m.def(
      "sort_workspace",
      [](const ArrayView& indices) {
        return cuda::sort_workspace(indices.shape[0], indices.dtype);
      },
      nb::arg("indices"), "Bytes for coo_to_csr, transpose and sort_indices of as many positions.");
  m.def(
      "coo_to_csr",
      [](std::int64_t rows, std::int64_t cols, const ArrayView& row, const ArrayView& col,
         const ArrayView& indptr, const ArrayView& indices, const ArrayView& map,
         cuda::Workspace workspace, cuda::Stream stream) {
        const CooPattern coo = coo_pattern(rows, cols, row, col);
        const DType dtype = coo.index_dtype;
        cuda::coo_to_csr(coo, true, device_vector(indptr, rows + 1, dtype, "indptr"),
                         device_vector(indices, coo.nnz, dtype, "indices"),
                         device_vector(map, coo.nnz, dtype, "map"), workspace, stream);
      },
      nb::arg("rows"), nb::arg("cols"), nb::arg("row"), nb::arg("col"), nb::arg("indptr"),
      nb::arg("indices"), nb::arg("map"), nb::arg("workspace"), nb::arg("stream"),
      "Write the CSR positions of a COO pattern, rows sorted, and their index map.");
  m.def(
      "transpose",
      [](const DeviceCsrPattern& self, const ArrayView& indptr, const ArrayView& indices,
         const ArrayView& map, cuda::Workspace workspace, cuda::Stream stream) {
        const CsrPattern& p = self.pattern;
        const Outputs out{p};
        cuda::transpose(p, out(indptr, p.cols + 1, "indptr"), out(indices, p.nnz, "indices"),
                        out(map, p.nnz, "map"), workspace, stream);
      },
      nb::arg("pattern"), nb::arg("indptr"), nb::arg("indices"), nb::arg("map"),
      nb::arg("workspace"), nb::arg("stream"),
      "Write the positions of the transpose and their index map.");
  m.def(
      "sort_indices",
      [](const DeviceCsrPattern& self, const ArrayView& indices, const ArrayView& map,
         cuda::Workspace workspace, cuda::Stream stream) {
        const CsrPattern& p = self.pattern;
        const Outputs out{p};
        cuda::sort_indices(p, out(indices, p.nnz, "indices"), out(map, p.nnz, "map"), workspace,
                           stream);
      },
      nb::arg("pattern"), nb::arg("indices"), nb::arg("map"), nb::arg("workspace"),
      nb::arg("stream"), "Write each row's columns in order and their index map.");
  m.def(
      "csr_to_coo",
      [](const DeviceCsrPattern& self, const ArrayView& row, cuda::Stream stream) {
        cuda::csr_to_coo(self.pattern, Outputs{self.pattern}(row, self.pattern.nnz, "row"), stream);
      },
      nb::arg("pattern"), nb::arg("row"), nb::arg("stream"), "Write the row of every position.");
}

void bind_distinct(nb::module_& m) {
  m.def("count_distinct_workspace", [](const DeviceCsrPattern& sorted) {
    return cuda::count_distinct_workspace(sorted.pattern);
  });
  m.def(
      "count_distinct",
      [](const DeviceCsrPattern& sorted, const ArrayView& indptr, cuda::Workspace workspace,
         cuda::Stream stream) {
        const CsrPattern& p = sorted.pattern;
        return cuda::count_distinct(p, Outputs{p}(indptr, p.rows + 1, "indptr"), workspace, stream);
      },
      nb::arg("pattern"), nb::arg("indptr"), nb::arg("workspace"), nb::arg("stream"),
      "Write the row offsets of the distinct positions; return their number. Waits for the "
      "stream.");
  m.def(
      "fill_distinct",
      [](const DeviceCsrPattern& sorted, const ArrayView& indptr, const ArrayView& indices,
         const ArrayView& segments, cuda::Stream stream) {
        const CsrPattern& p = sorted.pattern;
        const Outputs out{p};
        const std::int64_t count = indices.shape[0];
        cuda::fill_distinct(p, out(indptr, p.rows + 1, "indptr"), out(indices, count, "indices"),
                            out(segments, count + 1, "segments"), stream);
      },
      nb::arg("pattern"), nb::arg("indptr"), nb::arg("indices"), nb::arg("segments"),
      nb::arg("stream"));
}

void bind_nonzeros(nb::module_& m) {
  m.def(
      "count_nonzeros_workspace",
      [](const ArrayView& dense, const ArrayView& indptr) {
        return cuda::count_nonzeros_workspace(dense, indptr.dtype);
      },
      nb::arg("dense"), nb::arg("indptr"));
  m.def(
      "count_nonzeros",
      [](const ArrayView& dense, double threshold, const ArrayView& indptr,
         cuda::Workspace workspace, cuda::Stream stream) {
        void* const offsets = device_vector(indptr, dense.shape[0] + 1, indptr.dtype, "indptr");
        return cuda::count_nonzeros(dense, threshold, indptr.dtype, offsets, workspace, stream);
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("indptr"), nb::arg("workspace"),
      nb::arg("stream"),
      "Write the row offsets of the elements beyond the threshold; return their number. Waits for "
      "the stream.");
  m.def(
      "fill_nonzeros",
      [](const ArrayView& dense, double threshold, const ArrayView& indptr,
         const ArrayView& indices, const ArrayView& values, cuda::Stream stream) {
        const std::int64_t nnz = indices.shape[0];
        cuda::fill_nonzeros(dense, threshold, indptr.dtype,
                            device_vector(indptr, dense.shape[0] + 1, indptr.dtype, "indptr"),
                            device_vector(indices, nnz, indptr.dtype, "indices"),
                            device_vector(values, nnz, dense.dtype, "values"), stream);
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("indptr"), nb::arg("indices"),
      nb::arg("values"), nb::arg("stream"), "Write their columns and values.");
}

void bind_sparse_products(nb::module_& m) {
  m.def(
      "spgemm_workspace",
      [](const DeviceCsrPattern& a, const DeviceCsrPattern& b) {
        return cuda::spgemm_workspace(a.pattern, b.pattern);
      },
      nb::arg("a"), nb::arg("b"));
  m.def(
      "spgemm_count",
      [](const DeviceCsrPattern& a, const DeviceCsrPattern& b, const ArrayView& indptr,
         cuda::Workspace workspace, cuda::Stream stream) {
        void* const offsets = device_vector(indptr, a.pattern.rows + 1, DType::int64, "indptr");
        return cuda::spgemm_count(a.pattern, b.pattern, static_cast<std::int64_t*>(offsets),
                                  workspace, stream);
      },
      nb::arg("a"), nb::arg("b"), nb::arg("indptr"), nb::arg("workspace"), nb::arg("stream"),
      "Write the row offsets (int64) of A B; return its positions. Waits for the stream.");
  m.def(
      "spgemm_fill",
      [](const DeviceCsrPattern& a, const DeviceCsrPattern& b, const ArrayView& indptr,
         const ArrayView& indices, cuda::Workspace workspace, cuda::Stream stream) {
        const void* const offsets =
            device_vector(indptr, a.pattern.rows + 1, DType::int64, "indptr");
        cuda::spgemm_fill(
            a.pattern, b.pattern, static_cast<const std::int64_t*>(offsets), indices.dtype,
            device_vector(indices, indices.shape[0], indices.dtype, "indices"), workspace, stream);
      },
      nb::arg("a"), nb::arg("b"), nb::arg("indptr"), nb::arg("indices"), nb::arg("workspace"),
      nb::arg("stream"), "Write the sorted columns of A B.");
}

}  // namespace

void bind_cuda_structure(nb::module_& m) {
  bind_scans(m);
  bind_orders(m);
  bind_distinct(m);
  bind_nonzeros(m);
  bind_sparse_products(m);
}

}  // namespace gossamer::python
