// SPDX-License-Identifier: Apache-2.0
#include "gossamer/packed.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>
#include <utility>

#include "gossamer/errors.hpp"
#include "last_axes.hpp"
#include "module.hpp"
#include "patterns.hpp"

namespace gossamer::python {
namespace {

/// Checks a contiguous rank-1 CPU array of `length` items of `bytes` bytes, whatever their type.
template <class Array>
void check_buffer(const Array& array, std::int64_t length, std::size_t bytes,
                  const char* argument) {
  if (array.device_type() != nb::device::cpu::value) {
    throw InvalidArgument(std::string(argument) + " is not in the memory of the CPU");
  }
  if (array.ndim() != 1 || static_cast<std::int64_t>(array.shape(0)) != length ||
      (length > 1 && array.stride(0) != 1)) {
    throw InvalidArgument(std::string(argument) + " has rank " + std::to_string(array.ndim()) +
                          " and " + std::to_string(array.size()) +
                          " elements; it must be one contiguous axis of " + std::to_string(length));
  }
  if (array.itemsize() != bytes) {
    throw InvalidDType(std::string(argument) + " has elements of " +
                       std::to_string(array.itemsize()) + " bytes; they must have " +
                       std::to_string(bytes));
  }
}

/// The scales' data; checks that they are there exactly where the dtype has them.
const float* scales_data(const std::optional<InputArray>& scales, PackedDType dtype,
                         std::int64_t rows) {
  if (scales.has_value() != has_scales(dtype)) {
    throw InvalidArgument(std::string("scales are ") + (scales ? "given" : "missing") + " for " +
                          std::string(name(dtype)) + "; the 8-bit types alone have them");
  }
  if (!scales) return nullptr;
  return static_cast<const float*>(vector_data(*scales, rows, DType::float32, "scales"));
}

/// A packed matrix that keeps its arrays alive. Lengths and types are checked, contents are not.
struct PyPacked {
  PyPacked(const std::string& format, const std::string& dtype, std::int64_t rows,
           std::int64_t cols, InputArray values_array, InputArray positions_array,
           InputArray row_offsets_array, std::optional<InputArray> scales_array)
      : values(std::move(values_array)),
        positions(std::move(positions_array)),
        row_offsets(std::move(row_offsets_array)),
        scales(std::move(scales_array)) {
    view.format = packed_format(format);
    view.dtype = packed_dtype(dtype);
    view.rows = rows;
    view.cols = cols;
    packed_layout(view.format, rows, cols, 0);
    view.offset_dtype = dtype_of(row_offsets.dtype(), "row_offsets");
    view.row_offsets = vector_data(row_offsets, rows + 1, view.offset_dtype, "row_offsets");
    if (view.offset_dtype == DType::int32) {
      view.slots = static_cast<const std::int32_t*>(view.row_offsets)[rows];
    } else if (view.offset_dtype == DType::int64) {
      view.slots = static_cast<const std::int64_t*>(view.row_offsets)[rows];
    } else {
      throw InvalidDType("row_offsets is " + std::string(name(view.offset_dtype)) +
                         "; it must be int32 or int64");
    }
    const PackedLayout layout = packed_layout(view.format, rows, cols, view.slots);
    check_buffer(values, layout.values, item_size(view.dtype), "values");
    check_buffer(positions, layout.positions, 1, "positions");
    view.values = values.data();
    view.positions = static_cast<const std::uint8_t*>(positions.data());
    view.scales = scales_data(scales, view.dtype, rows);
  }

  InputArray values, positions, row_offsets;
  std::optional<InputArray> scales;
  PackedView view;
};

PackedOutput output_of(std::int64_t rows, std::int64_t cols, const std::string& format,
                       const std::string& dtype, const InputArray& row_offsets,
                       const OutputArray& values, const OutputArray& positions,
                       const std::optional<InputArray>& scales) {
  // The contents of row_offsets are checked row by row while packing; the last one sizes the
  // arrays.
  PyPacked packed(format, dtype, rows, cols, InputArray(values), InputArray(positions), row_offsets,
                  scales);
  PackedOutput output;
  output.format = packed.view.format;
  output.dtype = packed.view.dtype;
  output.offset_dtype = packed.view.offset_dtype;
  output.row_offsets = packed.view.row_offsets;
  output.scales = packed.view.scales;
  output.values = values.data();
  output.positions = static_cast<std::uint8_t*>(positions.data());
  return output;
}

std::int64_t* counts_data(const OutputArray& counts, std::int64_t rows) {
  const auto length = static_cast<std::int64_t>(packed_formats.size()) * rows;
  return static_cast<std::int64_t*>(vector_data(counts, length, DType::int64, "counts"));
}

std::int64_t rows_of(const ArrayView& dense) {
  if (dense.rank != 2) {
    throw InvalidArgument("dense has rank " + std::to_string(dense.rank) + "; it must be 2");
  }
  return dense.shape[0];
}

void bind_matrix(nb::module_& m) {
  nb::class_<PyPacked>(
      m, "PackedMatrix",
      "A packed matrix over arrays that it keeps alive: values (any type of the dtype's size), "
      "positions (uint8), row_offsets (int32 or int64), scales (float32, 8-bit dtypes only). "
      "Lengths are checked, contents by packed_validate.")
      .def(nb::init<const std::string&, const std::string&, std::int64_t, std::int64_t, InputArray,
                    InputArray, InputArray, std::optional<InputArray>>(),
           nb::arg("format"), nb::arg("dtype"), nb::arg("rows"), nb::arg("cols"), nb::arg("values"),
           nb::arg("positions"), nb::arg("row_offsets"), nb::arg("scales") = nb::none())
      .def_prop_ro(
          "address", [](const PyPacked& p) { return reinterpret_cast<std::intptr_t>(&p.view); },
          "Where the engine's view is, for as long as this object lives.");

  m.def(
      "packed_layout",
      [](const std::string& format, std::int64_t rows, std::int64_t cols, std::int64_t slots) {
        const PackedLayout layout = packed_layout(packed_format(format), rows, cols, slots);
        return std::pair(layout.values, layout.positions);
      },
      nb::arg("format"), nb::arg("rows"), nb::arg("cols"), nb::arg("slots"),
      "Elements of values and bytes of positions for that many slots.");

  m.def(
      "packed_validate",
      [](const PyPacked& packed) {
        const nb::gil_scoped_release unlocked;
        return validate(packed.view);
      },
      nb::arg("packed"), "Check all contents; return the stored nonzeros (slots less fillers).");
}

void bind_counts(nb::module_& m) {
  m.def(
      "packed_count",
      [](const InputArray& dense, double threshold, const OutputArray& counts) {
        const ArrayView from = view(dense, "dense");
        std::int64_t* to = counts_data(counts, rows_of(from));
        const nb::gil_scoped_release unlocked;
        count_packed(from, threshold, to);
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("counts"),
      "Write the slots of each row as bitmap, gap4 and gap8 into counts (int64, one axis of 3 x "
      "rows).");
  m.def(
      "packed_count_csr",
      [](const PyCsrPattern& pattern, const InputArray& values, double threshold,
         const OutputArray& counts, bool transpose) {
        const CsrView from = with_values(pattern, values, "data");
        std::int64_t* to = counts_data(counts, transpose ? from.pattern.cols : from.pattern.rows);
        const nb::gil_scoped_release unlocked;
        count_packed(from, threshold, to, transpose);
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("threshold"), nb::arg("counts"),
      nb::arg("transpose") = false,
      "The same for a CSR matrix with sorted rows and no duplicates, or for its transpose.");

  m.def(
      "packed_scales",
      [](const InputArray& dense, double threshold, const std::string& dtype,
         const OutputArray& scales) {
        const ArrayView from = view(dense, "dense");
        void* to = vector_data(scales, rows_of(from), DType::float32, "scales");
        const nb::gil_scoped_release unlocked;
        row_scales(from, threshold, packed_dtype(dtype), static_cast<float*>(to));
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("dtype"), nb::arg("scales"),
      "Write the scales that map each row's largest magnitude to that of an 8-bit dtype.");
  m.def(
      "packed_scales_csr",
      [](const PyCsrPattern& pattern, const InputArray& values, double threshold,
         const std::string& dtype, const OutputArray& scales, bool transpose) {
        const CsrView from = with_values(pattern, values, "data");
        const std::int64_t rows = transpose ? from.pattern.cols : from.pattern.rows;
        void* to = vector_data(scales, rows, DType::float32, "scales");
        const nb::gil_scoped_release unlocked;
        row_scales(from, threshold, packed_dtype(dtype), static_cast<float*>(to), transpose);
      },
      nb::arg("pattern"), nb::arg("values"), nb::arg("threshold"), nb::arg("dtype"),
      nb::arg("scales"), nb::arg("transpose") = false,
      "The same for a CSR matrix or its transpose.");
}

void bind_pack(nb::module_& m) {
  m.def(
      "pack",
      [](const InputArray& dense, double threshold, const std::string& format,
         const std::string& dtype, const InputArray& row_offsets, const OutputArray& values,
         const OutputArray& positions, const std::optional<InputArray>& scales) {
        const ArrayView from = view(dense, "dense");
        const std::int64_t rows = rows_of(from);
        const PackedOutput to =
            output_of(rows, from.shape[1], format, dtype, row_offsets, values, positions, scales);
        const nb::gil_scoped_release unlocked;
        pack(from, threshold, to);
      },
      nb::arg("dense"), nb::arg("threshold"), nb::arg("format"), nb::arg("dtype"),
      nb::arg("row_offsets"), nb::arg("values"), nb::arg("positions"),
      nb::arg("scales") = nb::none(),
      "Write values and positions of the elements whose magnitude exceeds threshold; row_offsets "
      "are the running sums of the format's counts.");
  m.def(
      "pack_csr",
      [](const PyCsrPattern& pattern, const InputArray& data, double threshold,
         const std::string& format, const std::string& dtype, const InputArray& row_offsets,
         const OutputArray& values, const OutputArray& positions,
         const std::optional<InputArray>& scales, bool transpose) {
        const CsrView from = with_values(pattern, data, "data");
        auto [rows, cols] = std::pair(from.pattern.rows, from.pattern.cols);
        if (transpose) std::swap(rows, cols);
        const PackedOutput to =
            output_of(rows, cols, format, dtype, row_offsets, values, positions, scales);
        const nb::gil_scoped_release unlocked;
        pack(from, threshold, to, transpose);
      },
      nb::arg("pattern"), nb::arg("data"), nb::arg("threshold"), nb::arg("format"),
      nb::arg("dtype"), nb::arg("row_offsets"), nb::arg("values"), nb::arg("positions"),
      nb::arg("scales") = nb::none(), nb::arg("transpose") = false,
      "The same for a CSR matrix or its transpose.");
}

void bind_unpack(nb::module_& m) {
  m.def(
      "unpack",
      [](const PyPacked& packed, const OutputArray& dense) {
        const ArrayView to = view(dense, "dense");
        const nb::gil_scoped_release unlocked;
        unpack(packed.view, to);
      },
      nb::arg("packed"), nb::arg("dense"),
      "Write the whole matrix into dense (float32, float16 or bfloat16).");
  m.def(
      "unpack_count",
      [](const PyPacked& packed, const OutputArray& indptr) {
        const DType dtype = dtype_of(indptr.dtype(), "indptr");
        void* to = vector_data(indptr, packed.view.rows + 1, dtype, "indptr");
        const nb::gil_scoped_release unlocked;
        return count_unpacked(packed.view, dtype, to);
      },
      nb::arg("packed"), nb::arg("indptr"),
      "Write the CSR row offsets of the stored nonzeros, fillers dropped; return their number.");
  m.def(
      "unpack_csr",
      [](const PyPacked& packed, const InputArray& indptr, const OutputArray& indices,
         const OutputArray& values) {
        const DType index_dtype = dtype_of(indptr.dtype(), "indptr");
        const void* offsets = vector_data(indptr, packed.view.rows + 1, index_dtype, "indptr");
        const auto nnz = static_cast<std::int64_t>(indices.size());
        void* columns = vector_data(indices, nnz, index_dtype, "indices");
        const DType dtype = dtype_of(values.dtype(), "values");
        void* data = vector_data(values, nnz, dtype, "values");
        const nb::gil_scoped_release unlocked;
        unpack(packed.view, index_dtype, offsets, columns, dtype, data);
      },
      nb::arg("packed"), nb::arg("indptr"), nb::arg("indices"), nb::arg("values"),
      "Write columns and values (float32, float16 or bfloat16) under the offsets of unpack_count.");
}

void bind_product(nb::module_& m) {
  m.def(
      "packed_matmul",
      [](const PyPacked& packed, const Input& x, const Output& y, bool transpose, bool swapped) {
        ArrayView x_view = view(x, "x"), y_view = view(y, "y");
        if (swapped) swap_last_axes(x_view), swap_last_axes(y_view);
        run_engine(packed.view.slots + size_of(y_view),
                   [&] { packed_matmul(packed.view, x_view, y_view, transpose); });
      },
      nb::arg("packed"), nb::arg("x"), nb::arg("y"), nb::arg("transpose") = false,
      nb::arg("swapped") = false,
      "Write P @ x, or P.T @ x, into y; x and y are float32, float16 or bfloat16 of rank 1 or "
      "more. Swapped, their last two axes come the other way round.");
}

}  // namespace

void bind_packed(nb::module_& m) {
  bind_matrix(m);
  bind_counts(m);
  bind_pack(m);
  bind_unpack(m);
  bind_product(m);
}

}  // namespace gossamer::python
