// SPDX-License-Identifier: Apache-2.0
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>

#include "../last_axes.hpp"
#include "device_arrays.hpp"
#include "device_pattern.hpp"
#include "gossamer/cuda/sddmm.hpp"
#include "gossamer/cuda/spgemm.hpp"
#include "gossamer/cuda/values.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::python {
namespace {

void gather(const ArrayView& values, const ArrayView& map, const ArrayView& out,
            cuda::Stream stream) {
  const std::int64_t count = map.shape[0];
  cuda::gather(values.dtype, device_vector(values, values.shape[0], values.dtype, "values"),
               map.dtype, device_vector(map, count, map.dtype, "map"), count,
               device_vector(out, count, values.dtype, "out"), stream);
}

std::size_t matmul(const DeviceCsrPattern& a, nb::handle values, nb::handle x, nb::handle y,
                   bool swapped, cuda::Stream stream, std::optional<cuda::Workspace> workspace,
                   const std::optional<ArrayView>& map, nb::handle bias,
                   std::optional<bool> overlap) {
  ArrayView x_view = device_array(x, "x"), y_view = device_array(y, "y");
  if (swapped) {
    swap_last_axes(x_view);
    swap_last_axes(y_view);
  }
  const cuda::Workspace given = workspace.value_or(cuda::Workspace{});
  const std::size_t bytes =
      cuda::matmul_workspace(a.pattern, a.schedule, x_view, y_view, map.has_value());
  if (given.bytes < bytes) return bytes;
  const void* const index_map =
      map ? device_vector(*map, a.pattern.nnz, a.pattern.index_dtype, "map") : nullptr;
  const void* const added = bias.is_none() ? nullptr
                                           : device_vector(device_array(bias, "bias"),
                                                           a.pattern.rows, y_view.dtype, "bias");
  cuda::matmul(a.with_values(device_array(values, "values")), a.schedule, x_view, y_view, false,
               given, stream, overlap, index_map, added);
  return 0;
}

void bind_patterns(nb::module_& m) {
  nb::class_<DeviceCsrPattern>(m, "CsrPattern",
                               "Row offsets and column indices in device memory, whose contents "
                               "are not checked. It keeps nothing alive.")
      .def(nb::init<std::int64_t, std::int64_t, const ArrayView&, const ArrayView&>(),
           nb::arg("rows"), nb::arg("cols"), nb::arg("indptr"), nb::arg("indices"))
      .def(
          "plan",
          [](DeviceCsrPattern& self, cuda::Workspace workspace, cuda::Stream stream) {
            self.schedule = cuda::plan_rows(self.pattern, workspace, stream);
            return self.schedule.elements();
          },
          nb::arg("workspace"), nb::arg("stream"),
          "Find how products deal out the rows; return how many indices the schedule takes, 0 for "
          "none. Waits for the stream.")
      .def("schedule_workspace",
           [](const DeviceCsrPattern& self) { return cuda::row_schedule_workspace(self.pattern); })
      .def(
          "schedule",
          [](DeviceCsrPattern& self, const ArrayView& memory, cuda::Workspace workspace,
             cuda::Stream stream) {
            void* const data =
                device_vector(memory, self.schedule.elements(), self.pattern.index_dtype, "memory");
            cuda::fill_row_schedule(self.pattern, self.schedule, data, workspace, stream);
            self.schedule.memory = data;
          },
          nb::arg("memory"), nb::arg("workspace"), nb::arg("stream"),
          "Write the schedule into memory, which products read from then on.")
      .def("matmul", &matmul, nb::arg("values"), nb::arg("x"), nb::arg("y"), nb::arg("swapped"),
           nb::arg("stream"), nb::arg("workspace").none() = nb::none(),
           nb::arg("map").none() = nb::none(), nb::arg("bias").none() = nb::none(),
           nb::arg("overlap").none() = nb::none(),
           "Write A @ x into y; shapes as gossamer::matmul takes them, swapped: of x and y with "
           "their last two axes exchanged. With a map A's values are values[map]. A bias has an "
           "element for each row of A. "
           "Without overlap it is overlapped with the kernel before where that pays. Returns 0, "
           "or how many bytes the workspace must have: then nothing was written.")
      .def(
          "sddmm_workspace",
          [](const DeviceCsrPattern& self, const ArrayView& u, const ArrayView& v) {
            return cuda::sddmm_workspace(self.pattern, u, v);
          },
          nb::arg("u"), nb::arg("v"))
      .def(
          "sddmm",
          [](const DeviceCsrPattern& self, const ArrayView& u, const ArrayView& v,
             const ArrayView& values, bool conjugate, std::optional<cuda::Workspace> workspace,
             cuda::Stream stream) {
            void* const out = device_vector(values, self.pattern.nnz, u.dtype, "values");
            cuda::sddmm(self.pattern, u, v, out, conjugate, workspace.value_or(cuda::Workspace{}),
                        stream);
          },
          nb::arg("u"), nb::arg("v"), nb::arg("values"), nb::arg("conjugate"),
          nb::arg("workspace").none(), nb::arg("stream"),
          "Write the values of U Vᵀ at the positions.");
}

}  // namespace

void bind_cuda_csr(nb::module_& m) {
  bind_patterns(m);
  m.def("gather", &gather, nb::arg("values"), nb::arg("map"), nb::arg("out"), nb::arg("stream"),
        "Write values[map[i]], or zero where map[i] is -1.");
  m.def(
      "spgemm_masked",
      [](const DeviceCsrPattern& a, const ArrayView& a_values, const DeviceCsrPattern& b,
         const ArrayView& b_values, const DeviceCsrPattern& mask, const ArrayView& values,
         bool transpose_b, cuda::Stream stream) {
        void* const out = device_vector(values, mask.pattern.nnz, a_values.dtype, "values");
        cuda::spgemm_masked(a.with_values(a_values), b.with_values(b_values), mask.pattern, out,
                            transpose_b, stream);
      },
      nb::arg("a"), nb::arg("a_values"), nb::arg("b"), nb::arg("b_values"), nb::arg("mask"),
      nb::arg("values"), nb::arg("transpose_b"), nb::arg("stream"),
      "Write the values of A B, or A Bᵀ, at the mask's positions; B is canonical.");
  m.def(
      "spgemm_values",
      [](const DeviceCsrPattern& a, const ArrayView& a_values, const DeviceCsrPattern& b,
         const ArrayView& b_values, const DeviceCsrPattern& c, const ArrayView& values,
         cuda::Stream stream) {
        void* const out = device_vector(values, c.pattern.nnz, a_values.dtype, "values");
        cuda::spgemm_values(a.with_values(a_values), b.with_values(b_values), c.pattern, out,
                            stream);
      },
      nb::arg("a"), nb::arg("a_values"), nb::arg("b"), nb::arg("b_values"), nb::arg("c"),
      nb::arg("values"), nb::arg("stream"),
      "Write the values of A B at C's positions; B and C are "
      "canonical.");
  m.def(
      "segment_sum",
      [](const ArrayView& values, const std::optional<ArrayView>& map, const ArrayView& segments,
         const ArrayView& out, cuda::Stream stream) {
        const std::int64_t count = out.shape[0];
        const std::int64_t length = map ? map->shape[0] : values.shape[0];
        const DType index_dtype = segments.dtype;
        cuda::segment_sum(
            values.dtype, device_vector(values, values.shape[0], values.dtype, "values"),
            index_dtype, map ? device_vector(*map, length, index_dtype, "map") : nullptr, length,
            device_vector(segments, count + 1, index_dtype, "segments"), count,
            device_vector(out, count, values.dtype, "out"), stream);
      },
      nb::arg("values"), nb::arg("map").none(), nb::arg("segments"), nb::arg("out"),
      nb::arg("stream"), "Write the sum of values[map[p]], or values[p], over each segment of p.");
}

}  // namespace gossamer::python
