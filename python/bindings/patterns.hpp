// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "arrays.hpp"
#include "gossamer/matmul.hpp"

namespace gossamer::python {

/// A CSR pattern that keeps its index arrays alive. A CSC container holds one of its transpose.
struct PyCsrPattern {
  PyCsrPattern(std::int64_t rows, std::int64_t cols, InputArray indptr, InputArray indices);

  /// Keeps what find_runs wrote, `runs` of them.
  void use_runs(InputArray starts, std::int64_t runs);

  InputArray indptr, indices, run_starts;
  std::vector<RowPiece> pieces;  ///< of the first transposed product
  CsrPattern view;  ///< to be copied before the interpreter's lock is released: use_runs writes it
};

/// A pattern in a list, where a pointer could be None, or one that is kept.
using PatternHandle = nb::handle_t<PyCsrPattern>;

inline const PyCsrPattern& pattern_of(nb::handle pattern) {
  return nb::cast<const PyCsrPattern&>(pattern);
}

/// Entries by their rows and columns. Throws for a negative shape, and lengths or dtypes that
/// differ.
CooPattern coo_pattern(std::int64_t rows, std::int64_t cols, const InputArray& row,
                       const InputArray& col);

/// A CSR view over the pattern; checks that there is one value for each position.
CsrView with_values(const PyCsrPattern& pattern, const ArrayView& values, const char* argument);

template <class Array>
CsrView with_values(const PyCsrPattern& pattern, const Array& values, const char* argument) {
  return with_values(pattern, view(values, argument), argument);
}

/// Runs body, without the interpreter's lock where it is so long that other threads should run
/// meanwhile.
template <class Body>
auto run_engine(std::int64_t work, Body&& body) {
  constexpr std::int64_t shortest = 20'000;
  if (work <= shortest) return body();
  const nb::gil_scoped_release unlocked;
  return body();
}

}  // namespace gossamer::python
