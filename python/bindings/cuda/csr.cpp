// SPDX-License-Identifier: Apache-2.0
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>

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
      .def(
          "matmul_workspace",
          [](const DeviceCsrPattern& self, const ArrayView& x, const ArrayView& y) {
            return cuda::matmul_workspace(self.pattern, self.schedule, x, y);
          },
          nb::arg("x"), nb::arg("y"))
      .def(
          "matmul",
          [](const DeviceCsrPattern& self, const ArrayView& values, const ArrayView& x,
             const ArrayView& y, bool conjugate, std::optional<cuda::Workspace> workspace,
             cuda::Stream stream, const std::optional<ArrayView>& map,
             const std::optional<ArrayView>& moved, std::optional<bool> overlap) {
            if (map) gather(values, *map, moved.value(), stream);
            cuda::matmul(self.with_values(map ? *moved : values), self.schedule, x, y, conjugate,
                         workspace.value_or(cuda::Workspace{}), stream, overlap);
          },
          nb::arg("values"), nb::arg("x"), nb::arg("y"), nb::arg("conjugate"),
          nb::arg("workspace").none(), nb::arg("stream"), nb::arg("map").none() = nb::none(),
          nb::arg("moved").none() = nb::none(), nb::arg("overlap").none() = nb::none(),
          "Write A @ x, or conj(A) @ x, into y; shapes as gossamer::matmul takes them. With a map "
          "A's values are values[map], which are written into moved. Without overlap it is "
          "overlapped with the kernel before where that pays.")
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
