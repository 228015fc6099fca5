// SPDX-License-Identifier: Apache-2.0
#include "gossamer/reductions.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "battery.hpp"
#include "error_bound.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/matmul.hpp"
#include "positions.hpp"

namespace gossamer::testing {
namespace {

/// Equal, or both NaN; complex numbers by their parts.
template <class T>
bool same_element(T a, T b) {
  const auto x = widen(a), y = widen(b);
  return x == y || (x != x && y != y);
}

template <class T>
std::int64_t differences(const std::vector<T>& a, const std::vector<T>& b) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += !same_element(a[i], b[i]);
  return count;
}

/// Rows of up to 40 values; what is stored twice is for the extremes one more value.
template <class T, class I>
void check_extremes(const BatteryMatrix& m) {
  if (m.cols == 0) return;
  const OwnedCsr<T, I> a(m);
  for (const Extreme extreme : {Extreme::largest, Extreme::smallest}) {
    std::vector<T> expected(static_cast<std::size_t>(m.rows)), got(expected.size());
    reference::row_extremes(a.view(), extreme, expected.data());
    for_each_setting([&] {
      got.assign(got.size(), make_value<T>(7, 7));
      row_extremes(a.view(), extreme, got.data());
      CHECK(differences(got, expected) == 0);
    });
  }
}

template <class T, class I>
void check_diagonals(const BatteryMatrix& m) {
  OwnedCsr<T, I> a(m);
  const bool in_order = validate(a.pattern()).sorted_indices;
  for (const std::int64_t k :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{-2}, m.cols - 1, 1 - m.rows, m.cols}) {
    const std::size_t length = static_cast<std::size_t>(diagonal_length(a.pattern(), k));
    std::vector<ExactSum<T>> exact(length);
    for (std::size_t p = 0; p < m.row.size(); ++p) {
      if (m.col[p] - m.row[p] != k) continue;
      const std::int64_t first = std::max<std::int64_t>(0, -k);
      exact[static_cast<std::size_t>(m.row[p] - first)].add(make_value<T>(m.real[p], m.imag[p]),
                                                            make_value<T>(1, 0));
    }
    std::vector<T> expected(length);
    reference::diagonal(a.view(), k, expected.data());
    for (const bool sorted : {false, true}) {
      if (sorted && !in_order) continue;
      for_each_setting([&] {
        std::vector<T> got(length, make_value<T>(7, 7));
        diagonal(a.view(), k, sorted, got.data());
        std::int64_t wrong = 0;
        for (std::size_t n = 0; n < length; ++n) {
          wrong += exact[n].terms < 2 ? !same_element(got[n], expected[n])
                                      : !within_bound(got[n], exact[n]);
        }
        CHECK(wrong == 0);
      });
    }
  }
}

template <class T, class I>
void check_column_sums(const BatteryMatrix& m) {
  const OwnedCsr<T, I> a(m);
  std::vector<ExactSum<T>> exact(static_cast<std::size_t>(m.cols));
  for (std::size_t p = 0; p < a.values.size(); ++p) {
    exact[static_cast<std::size_t>(a.indices[p])].add(a.values[p], make_value<T>(1, 0));
  }
  std::vector<T> first;
  for_each_setting([&] {
    std::vector<T> sums(exact.size(), make_value<T>(7, 7));
    column_sums(a.view(), row_pieces(a.pattern()), sums.data());
    std::int64_t wrong = 0;
    for (std::size_t j = 0; j < exact.size(); ++j) wrong += !within_bound(sums[j], exact[j]);
    CHECK(wrong == 0);
    if (first.empty()) first = sums;
    CHECK(differences(sums, first) == 0);
  });
}

/// Rows of 0 to 70 values each, sorted; in one of them NaN, in a full one only negative values.
BatteryMatrix rows_of_all_lengths() {
  BatteryMatrix m{"rows of all lengths", 71, 70, {}, {}, {}, {}};
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < i; ++j) {
      m.row.push_back(i);
      m.col.push_back(j);
      m.real.push_back(i == 40 && j == 7 ? std::numeric_limits<double>::quiet_NaN()
                                         : static_cast<double>((i * j) % 17) - (i < 70 ? 8 : 30));
      m.imag.push_back(0);
    }
  }
  return m;
}

std::vector<BatteryMatrix> reduced() {
  std::vector<BatteryMatrix> all = matrices();
  all.push_back(rows_of_all_lengths());
  return all;
}

}  // namespace

TEST_CASE("largest and smallest elements of rows") {
  for (const BatteryMatrix& m : reduced()) {
    INFO("matrix " << m.name);
    check_extremes<float, std::int32_t>(m);
    check_extremes<double, std::int64_t>(m);
    check_extremes<float16, std::int32_t>(m);
    check_extremes<bfloat16, std::int32_t>(m);
  }
  const BatteryMatrix zeros{"stored zeros", 2, 3, {0, 1}, {0, 2}, {-0.0, 0.0}, {0, 0}};
  const OwnedCsr<float, std::int32_t> a(zeros);
  std::vector<float> got(2);
  for (const Extreme extreme : {Extreme::largest, Extreme::smallest}) {
    row_extremes(a.view(), extreme, got.data());
    CHECK(!std::signbit(got[0]));
    CHECK(!std::signbit(got[1]));
  }
}

TEST_CASE("diagonals") {
  for (const BatteryMatrix& m : reduced()) {
    INFO("matrix " << m.name);
    check_diagonals<float, std::int32_t>(m);
    check_diagonals<bfloat16, std::int32_t>(m);
    check_diagonals<complex128, std::int64_t>(m);
  }
}

TEST_CASE("diagonals far outside have no elements") {
  const OwnedCsr<float, std::int32_t> a(BatteryMatrix{"one", 1, 1, {0}, {0}, {1}, {0}});
  using Limits = std::numeric_limits<std::int64_t>;
  for (const std::int64_t k : {Limits::min(), Limits::max()}) {
    CHECK(diagonal_length(a.pattern(), k) == 0);
    float untouched = 7;
    diagonal(a.view(), k, true, &untouched);
    CHECK(untouched == 7);
  }
}

TEST_CASE("sums of columns") {
  for (const BatteryMatrix& m : reduced()) {
    INFO("matrix " << m.name);
#define GOSSAMER_CHECK(enumerator, type, ...) check_column_sums<type, std::int32_t>(m);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
    check_column_sums<double, std::int64_t>(m);
  }
}

TEST_CASE("an infinite complex value is summed as it is") {
  const double infinity = std::numeric_limits<double>::infinity();
  const BatteryMatrix m{"infinite", 1, 1, {0}, {0}, {infinity}, {2}};
  const OwnedCsr<complex128, std::int32_t> a(m);
  complex128 sum;
  column_sums(a.view(), row_pieces(a.pattern()), &sum);
  CHECK(sum == complex128(infinity, 2));
}

TEST_CASE("reductions that cannot be are refused") {
  const BatteryMatrix m{"one", 1, 1, {0}, {0}, {1}, {1}};
  const OwnedCsr<complex64, std::int32_t> a(m);
  complex64 out;
  CHECK_THROWS_AS(row_extremes(a.view(), Extreme::largest, &out), InvalidDType);
  const OwnedCsr<float, std::int32_t> none(BatteryMatrix{"no columns", 2, 0, {}, {}, {}, {}});
  CHECK_THROWS_AS(row_extremes(none.view(), Extreme::largest, &out), InvalidArgument);
}

TEST_CASE("reductions on several threads" * doctest::test_suite("threads")) {
  for (const BatteryMatrix& m : large_matrices()) {
    INFO("matrix " << m.name);
    check_extremes<float, std::int32_t>(m);
    check_diagonals<float, std::int32_t>(m);
    check_column_sums<float, std::int32_t>(m);
  }
}

}  // namespace gossamer::testing
