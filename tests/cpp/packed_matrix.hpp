// SPDX-License-Identifier: Apache-2.0
// Packed matrices that own their arrays, made from dense ones.
#pragma once

#include <cstdint>
#include <vector>

#include "battery.hpp"
#include "core/scalar.hpp"
#include "gossamer/packed.hpp"

namespace gossamer::testing {

/// A C-contiguous dense matrix.
template <class T>
struct DenseMatrix {
  DenseMatrix(std::int64_t row_count, std::int64_t column_count)
      : rows(row_count), cols(column_count), data(static_cast<std::size_t>(rows * cols)) {}

  /// A battery matrix, duplicates summed.
  explicit DenseMatrix(const BatteryMatrix& m) : DenseMatrix(m.rows, m.cols) {
    std::vector<double> sums(data.size());
    for (std::size_t p = 0; p < m.row.size(); ++p) {
      sums[static_cast<std::size_t>(m.row[p] * cols + m.col[p])] += m.real[p];
    }
    for (std::size_t k = 0; k < sums.size(); ++k) data[k] = make_value<T>(sums[k], 0);
  }

  T& at(std::int64_t i, std::int64_t j) { return data[static_cast<std::size_t>(i * cols + j)]; }
  ArrayView view() { return ArrayView::contiguous(data.data(), dtype_v<T>, {rows, cols}); }

  std::int64_t rows, cols;
  std::vector<T> data;
};

/// A packed matrix with its arrays.
struct PackedMatrix {
  template <class Source, class... Transpose>
  PackedMatrix(const Source& source, std::int64_t rows, std::int64_t cols, PackedFormat format,
               PackedDType dtype, double threshold = 0, Transpose... transpose)
      : row_offsets(static_cast<std::size_t>(rows) + 1) {
    std::vector<std::int64_t> counts(packed_formats.size() * static_cast<std::size_t>(rows));
    count_packed(source, threshold, counts.data(), transpose...);
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
      row_offsets[i + 1] =
          row_offsets[i] +
          static_cast<std::int32_t>(
              counts[static_cast<std::size_t>(format) * static_cast<std::size_t>(rows) + i]);
    }
    const PackedLayout layout = packed_layout(format, rows, cols, row_offsets.back());
    values.assign(static_cast<std::size_t>(layout.values) * item_size(dtype), 0xee);
    positions.assign(static_cast<std::size_t>(layout.positions), 0xee);
    if (has_scales(dtype)) {
      scales.resize(static_cast<std::size_t>(rows));
      row_scales(source, threshold, dtype, scales.data(), transpose...);
    }
    view.format = format;
    view.dtype = dtype;
    view.rows = rows;
    view.cols = cols;
    pack(source, threshold,
         {format, dtype, DType::int32, row_offsets.data(),
          has_scales(dtype) ? scales.data() : nullptr, values.data(), positions.data()},
         transpose...);
    refresh();
  }

  /// Points the view to the arrays again, as after a copy.
  const PackedView& refresh() {
    view.slots = row_offsets.back();
    view.values = values.data();
    view.positions = positions.data();
    view.row_offsets = row_offsets.data();
    view.scales = has_scales(view.dtype) ? scales.data() : nullptr;
    return view;
  }

  std::vector<std::int32_t> row_offsets;
  std::vector<std::uint8_t> values, positions;
  std::vector<float> scales;
  PackedView view;
};

inline constexpr PackedDType packed_dtypes[] = {PackedDType::float32, PackedDType::float16,
                                                PackedDType::bfloat16, PackedDType::int8,
                                                PackedDType::float8_e4m3};

}  // namespace gossamer::testing
