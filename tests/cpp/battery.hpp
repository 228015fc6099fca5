// SPDX-License-Identifier: Apache-2.0
// The matrices of tests/battery/battery.py, and CSR forms of them in any type.
#pragma once

#include <complex>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/scalar.hpp"
#include "gossamer/structure.hpp"
#include "gossamer/views.hpp"

namespace gossamer::testing {

/// Entries of a matrix in stored order.
struct BatteryMatrix {
  std::string name;
  std::int64_t rows = 0, cols = 0;
  std::vector<std::int64_t> row, col;
  std::vector<double> real, imag;
};

inline std::vector<BatteryMatrix> load_battery() {
  const char* path = std::getenv("GOSSAMER_BATTERY");
  if (path == nullptr) {
    throw std::runtime_error(
        "GOSSAMER_BATTERY is not set: run the tests by ctest, or write the file with "
        "tests/battery/battery.py --out FILE");
  }
  std::ifstream file(path, std::ios::binary);
  file.exceptions(std::ios::failbit | std::ios::badbit);
  const auto number = [&] {
    std::int64_t value = 0;
    file.read(reinterpret_cast<char*>(&value), sizeof(value));
    return value;
  };
  const auto fill = [&](auto& items, std::int64_t count) {
    items.resize(static_cast<std::size_t>(count));
    file.read(reinterpret_cast<char*>(items.data()),
              static_cast<std::streamsize>(items.size() * sizeof(items[0])));
  };
  std::vector<BatteryMatrix> matrices(static_cast<std::size_t>(number()));
  for (BatteryMatrix& m : matrices) {
    const std::int64_t name_length = number();
    m.rows = number();
    m.cols = number();
    const std::int64_t entries = number();
    fill(m.name, name_length);
    fill(m.row, entries);
    fill(m.col, entries);
    fill(m.real, entries);
    fill(m.imag, entries);
  }
  return matrices;
}

inline const std::vector<BatteryMatrix>& battery() {
  static const std::vector<BatteryMatrix> matrices = load_battery();
  return matrices;
}

template <class T>
T make_value(double real, double imag) {
  if constexpr (is_complex<T>) {
    using R = typename T::value_type;
    return T(static_cast<R>(real), static_cast<R>(imag));
  } else {
    return narrow<T>(static_cast<Accumulator<T>>(real));
  }
}

template <class T>
inline constexpr DType dtype_v = DType::int32;
#define GOSSAMER_DTYPE(enumerator, type, ...) \
  template <>                                 \
  inline constexpr DType dtype_v<type> = DType::enumerator;
GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_DTYPE)
#undef GOSSAMER_DTYPE
template <>
inline constexpr DType dtype_v<std::int64_t> = DType::int64;

/// A CSR matrix that owns its arrays: rows in order, entries of a row in stored order.
template <class T, class I>
struct OwnedCsr {
  explicit OwnedCsr(const BatteryMatrix& m)
      : rows(m.rows), cols(m.cols), indptr(static_cast<std::size_t>(m.rows) + 1) {
    for (std::int64_t i : m.row) ++indptr[static_cast<std::size_t>(i) + 1];
    for (std::size_t i = 1; i < indptr.size(); ++i) indptr[i] += indptr[i - 1];
    std::vector<I> next(indptr.begin(), indptr.end() - 1);
    indices.resize(m.row.size());
    values.resize(m.row.size());
    for (std::size_t p = 0; p < m.row.size(); ++p) {
      const std::size_t slot = static_cast<std::size_t>(next[static_cast<std::size_t>(m.row[p])]++);
      indices[slot] = static_cast<I>(m.col[p]);
      values[slot] = make_value<T>(m.real[p], m.imag[p]);
    }
  }

  CsrPattern pattern() const {
    return {rows,       cols,          static_cast<std::int64_t>(indices.size()),
            dtype_v<I>, indptr.data(), indices.data()};
  }
  CsrView view() const { return {pattern(), dtype_v<T>, values.data()}; }

  /// The same, knowing its runs of rows.
  CsrView view_with_runs() {
    CsrView view = this->view();
    run_starts.resize(static_cast<std::size_t>(rows) + 1);
    view.pattern.runs = find_runs(view.pattern, run_starts.data(), rows);
    view.pattern.run_starts = run_starts.data();
    return view;
  }

  std::int64_t rows, cols;
  std::vector<I> indptr, indices, run_starts;
  std::vector<T> values;
};

}  // namespace gossamer::testing
