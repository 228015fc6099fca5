// SPDX-License-Identifier: Apache-2.0
// What the tests of structural operations share: matrices, and room for positions.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "battery.hpp"

namespace gossamer::testing {

/// Matrices of more than one bucket of the counting sort, and one that it sorts at once.
inline std::vector<BatteryMatrix> large_matrices() {
  std::vector<BatteryMatrix> all;
  std::mt19937 random(3);
  const auto add = [&](const char* name, std::int64_t rows, std::int64_t cols, int entries,
                       bool local) {
    BatteryMatrix m;
    m.name = name;
    m.rows = rows;
    m.cols = cols;
    for (int p = 0; p < entries; ++p) {
      const std::int64_t near = local ? p * rows / entries : static_cast<std::int64_t>(random());
      m.row.push_back((near + static_cast<std::int64_t>(random() % 3)) % rows);
      m.col.push_back(static_cast<std::int64_t>(random()) % cols);
      m.real.push_back(p);
      m.imag.push_back(-p);
    }
    all.push_back(m);
  };
  add("several blocks, sorted at once", 1'000, 700, 20'000, false);
  add("several buckets", 3'000, 2'000, 300'000, false);
  add("several buckets, rows nearly in order", 50'000, 100, 300'000, true);
  add("a row a bucket", 3, 90'000, 300'000, false);
  add("more rows than entries", 300'000, 300'000, 70'000, false);
  return all;
}

inline std::vector<BatteryMatrix> matrices() {
  std::vector<BatteryMatrix> all = battery(), large = large_matrices();
  all.insert(all.end(), large.begin(), large.end());
  return all;
}

template <class I>
struct OwnedCoo {
  explicit OwnedCoo(const BatteryMatrix& m)
      : rows(m.rows),
        cols(m.cols),
        row(m.row.begin(), m.row.end()),
        col(m.col.begin(), m.col.end()) {}

  CooPattern pattern() const {
    return {rows, cols, static_cast<std::int64_t>(row.size()), dtype_v<I>, row.data(), col.data()};
  }

  std::int64_t rows, cols;
  std::vector<I> row, col;
};

/// Room for the positions and the map of a CSR pattern.
template <class I>
struct Positions {
  Positions(std::int64_t rows, std::int64_t nnz)
      : indptr(static_cast<std::size_t>(rows) + 1, I(-7)),
        indices(static_cast<std::size_t>(nnz), I(-7)),
        map(static_cast<std::size_t>(nnz), I(-7)) {}

  CsrPattern pattern(std::int64_t rows, std::int64_t cols) const {
    return {rows,       cols,          static_cast<std::int64_t>(indices.size()),
            dtype_v<I>, indptr.data(), indices.data()};
  }
  bool operator==(const Positions&) const = default;

  std::vector<I> indptr, indices, map;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace gossamer::testing
