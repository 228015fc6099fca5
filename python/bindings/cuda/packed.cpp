// SPDX-License-Identifier: Apache-2.0
#include "gossamer/cuda/packed.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <optional>
#include <string>

#include "device_arrays.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::python {
namespace {

template <class T>
T* address(std::uintptr_t pointer) {
  return reinterpret_cast<T*>(pointer);
}

void make_packed(PackedView* view, const std::string& format, const std::string& dtype,
                 std::int64_t rows, std::int64_t cols, std::int64_t slots, std::uintptr_t values,
                 std::uintptr_t positions, const ArrayView& row_offsets, std::uintptr_t scales) {
  PackedView packed;
  packed.format = packed_format(format);
  packed.dtype = packed_dtype(dtype);
  packed_layout(packed.format, rows, cols, slots);
  packed.rows = rows;
  packed.cols = cols;
  packed.slots = slots;
  packed.values = address<void>(values);
  packed.positions = address<std::uint8_t>(positions);
  packed.offset_dtype = row_offsets.dtype;
  if (packed.offset_dtype != DType::int32 && packed.offset_dtype != DType::int64) {
    throw InvalidDType("row_offsets is " + std::string(name(packed.offset_dtype)) +
                       "; it must be int32 or int64");
  }
  packed.row_offsets = device_vector(row_offsets, rows + 1, packed.offset_dtype, "row_offsets");
  packed.scales = address<float>(scales);
  if (rows > 0 && has_scales(packed.dtype) != (packed.scales != nullptr)) {
    throw InvalidArgument(std::string("scales are ") + (packed.scales ? "given" : "missing") +
                          " for " + dtype + "; the 8-bit types alone have them");
  }
  new (view) PackedView(packed);
}

/// A packed matrix's arrays are written through the view that products read later.
PackedOutput output_of(const PackedView& packed) {
  PackedOutput output;
  output.format = packed.format;
  output.dtype = packed.dtype;
  output.offset_dtype = packed.offset_dtype;
  output.row_offsets = packed.row_offsets;
  output.scales = packed.scales;
  output.values = const_cast<void*>(packed.values);
  output.positions = const_cast<std::uint8_t*>(packed.positions);
  return output;
}

void bind_packing(nb::module_& m) {
  nb::class_<PackedView>(m, "PackedMatrix",
                         "A packed matrix in device memory. Keeps nothing alive; contents are not "
                         "checked.")
      .def("__init__", &make_packed, nb::arg("format"), nb::arg("dtype"), nb::arg("rows"),
           nb::arg("cols"), nb::arg("slots"), nb::arg("values"), nb::arg("positions"),
           nb::arg("row_offsets"), nb::arg("scales") = 0);
  m.def("packed_count_workspace", &cuda::count_packed_workspace, nb::arg("rows"));
  m.def(
      "packed_count",
      [](const ArrayView& dense, double threshold, const ArrayView& offsets,
         cuda::Workspace workspace, cuda::Stream stream) {
        const auto length = static_cast<std::int64_t>(packed_formats.size()) * (dense.shape[0] + 1);
        cuda::count_packed(
            dense, threshold,
            static_cast<std::int64_t*>(device_vector(offsets, length, DType::int64, "offsets")),
            workspace, stream);
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("offsets"), nb::arg("workspace"),
      nb::arg("stream"),
      "Write the row offsets as bitmap, gap4 and gap8 (int64, one axis of 3 x (rows + 1)).");
  m.def(
      "packed_scales",
      [](const ArrayView& dense, double threshold, const std::string& dtype,
         const ArrayView& scales, cuda::Stream stream) {
        cuda::row_scales(
            dense, threshold, packed_dtype(dtype),
            static_cast<float*>(device_vector(scales, dense.shape[0], DType::float32, "scales")),
            stream);
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("dtype"), nb::arg("scales"),
      nb::arg("stream"), "Write each row's scale, NaN for a row that is not finite.");
  m.def(
      "pack",
      [](const ArrayView& dense, double threshold, const PackedView& packed, cuda::Stream stream) {
        cuda::pack(dense, threshold, output_of(packed), packed.slots, stream);
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("packed"), nb::arg("stream"),
      "Write values and positions of a packed matrix whose row offsets and scales are there.");
  m.def(
      "unpack",
      [](const PackedView& packed, const ArrayView& dense, cuda::Stream stream, bool scaled) {
        cuda::unpack(packed, dense, stream, scaled);
      },
      nb::arg("packed"), nb::arg("dense"), nb::arg("stream"), nb::arg("scaled") = true,
      "Write the dense matrix, of 8-bit values with their scales or without.");
}

/// With its leading axes as one, or as two with the columns of matrices.
ArrayView folded(const ArrayView& array, bool columns) {
  if (!columns) {
    const std::int64_t length = array.shape[array.rank - 1];
    return ArrayView::contiguous(array.data, array.dtype, {product(array, array.rank - 1), length});
  }
  if (array.rank == 3) return array;
  ArrayView batch = array;
  batch.rank = 3;
  batch.shape = {1, array.shape[0], array.shape[1]};
  batch.strides = {0, array.strides[0], array.strides[1]};
  return batch;
}

std::size_t matmul(const cuda::Arrangement& a, nb::handle x, nb::handle y,
                   cuda::Workspace workspace, cuda::Stream stream,
                   std::optional<cuda::Workspace> copies, nb::handle bias,
                   std::optional<bool> overlap) {
  const bool columns = copies.has_value();
  if (columns && !bias.is_none()) {
    throw InvalidArgument("bias is added along the last axis of y, which has columns there");
  }
  const ArrayView from = folded(device_array(x, "x"), columns),
                  to = folded(device_array(y, "y"), columns);
  const std::size_t bytes =
      a.workspace_bytes(columns ? from.shape[0] * from.shape[2] : from.shape[0]);
  if (workspace.bytes < bytes) return bytes;
  if (columns) {
    cuda::matmul_columns(a, from, to, *copies, workspace, stream, overlap);
  } else {
    cuda::matmul(a, from, to, workspace, stream, overlap,
                 bias.is_none()
                     ? nullptr
                     : device_vector(device_array(bias, "bias"), to.shape[1], to.dtype, "bias"));
  }
  return 0;
}

}  // namespace

void bind_cuda_packed(nb::module_& m) {
  bind_packing(m);
  using cuda::Arrangement;
  nb::class_<Arrangement>(m, "Arrangement", "A packed matrix laid out for a kernel of products.")
      .def_prop_ro("nbytes", &Arrangement::bytes)
      .def(
          "fill",
          [](Arrangement& arrangement, const PackedView& packed, std::uintptr_t memory,
             cuda::Workspace workspace, cuda::Stream stream) {
            const nb::gil_scoped_release unlocked;
            arrangement.fill(packed, address<void>(memory), workspace, stream);
          },
          nb::arg("packed"), nb::arg("memory"), nb::arg("workspace"), nb::arg("stream"),
          "Write the arrangement into nbytes bytes of memory; waits for the stream.")
      .def("unpack", &Arrangement::unpack, nb::arg("dense"), nb::arg("stream"),
           nb::arg("scaled") = true, "Write the dense matrix.")
      .def("matmul", &matmul, nb::arg("x"), nb::arg("y"), nb::arg("workspace"), nb::arg("stream"),
           nb::arg("copies").none() = nb::none(), nb::arg("bias").none() = nb::none(),
           nb::arg("overlap").none() = nb::none(),
           "Write the product with each vector along the last axis of x into y, both C-contiguous. "
           "With copies, memory for as many elements as x and y together, the product with the "
           "columns of x (n, k) or (b, n, k), of any strides, which takes no bias. A bias is added "
           "along y's last axis. Without "
           "overlap it is overlapped with the kernel before where that pays. Returns 0, or how "
           "many bytes the workspace must have: then nothing was written.");
  m.def("delta_rows_workspace", &cuda::delta_rows_workspace, nb::arg("packed"));
  m.def("bitmap_tiles_workspace", &cuda::bitmap_tiles_workspace, nb::arg("packed"));
  m.def("arrange_delta_rows", &cuda::arrange_delta_rows, nb::arg("packed"), nb::arg("workspace"),
        nb::arg("stream"));
  m.def("arrange_bitmap_tiles", &cuda::arrange_bitmap_tiles, nb::arg("packed"),
        nb::arg("workspace"), nb::arg("stream"));
  m.def("has_bitmap_tiles", &cuda::has_bitmap_tiles, nb::arg("packed"), nb::arg("device"));
}

}  // namespace gossamer::python
