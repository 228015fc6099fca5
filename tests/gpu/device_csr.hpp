// SPDX-License-Identifier: Apache-2.0
// Matrices of the battery in device memory.
#pragma once

#include "battery.hpp"
#include "device_memory.hpp"

namespace gossamer::testing {

/// The battery without what takes a sanitizer minutes, and rows that are cut into pieces.
inline std::vector<BatteryMatrix> reduced_battery() {
  std::vector<BatteryMatrix> reduced;
  for (const BatteryMatrix& m : battery()) {
    if (m.row.size() <= 5'000) reduced.push_back(m);
  }
  BatteryMatrix cut;
  cut.name = "rows of every class";
  cut.rows = 40;
  cut.cols = 12'300;
  for (std::int64_t row : {1, 2, 3, 5, 9, 17, 30, 39}) {
    for (std::int64_t col = 0; col < cut.cols; col += row * row) {
      cut.row.push_back(row);
      cut.col.push_back(col);
      cut.real.push_back(1.0 / static_cast<double>(col + 1));
      cut.imag.push_back(static_cast<double>(row));
    }
  }
  reduced.push_back(cut);
  return reduced;
}

template <class T, class I>
struct DeviceCsr {
  explicit DeviceCsr(const OwnedCsr<T, I>& host)
      : rows(host.rows),
        cols(host.cols),
        indptr(host.indptr),
        indices(host.indices),
        values(host.values) {}

  CsrPattern pattern() const {
    return {rows,       cols,          static_cast<std::int64_t>(indices.size()),
            dtype_v<I>, indptr.data(), indices.data()};
  }
  CsrView view() const { return {pattern(), dtype_v<T>, values.data()}; }

  std::int64_t rows, cols;
  DeviceMemory<I> indptr, indices;
  DeviceMemory<T> values;
};

}  // namespace gossamer::testing
