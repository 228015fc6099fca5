// SPDX-License-Identifier: Apache-2.0
#include "gossamer/structure.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "battery.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"
#include "ops/structure/structure_reference.hpp"
#include "positions.hpp"

namespace gossamer::testing {
namespace {

template <class I>
void check_conversion(const BatteryMatrix& m, bool sorted) {
  const OwnedCoo<I> coo(m);
  const std::int64_t nnz = coo.pattern().nnz;
  Positions<I> expected(m.rows, nnz);
  reference::coo_to_csr(coo.pattern(), sorted, expected.indptr.data(), expected.indices.data(),
                        expected.map.data());
  const PatternProperties known = reference::properties(expected.pattern(m.rows, m.cols));
  for_each_setting([&] {
    Positions<I> got(m.rows, nnz);
    const PatternProperties found =
        coo_to_csr(coo.pattern(), sorted, got.indptr.data(), got.indices.data(), got.map.data());
    CHECK(got == expected);
    CHECK((found.sorted_indices == known.sorted_indices || !(sorted || found.sorted_indices)));
    CHECK((found.canonical == known.canonical || !(sorted || found.canonical)));

    Positions<I> without_map(m.rows, nnz);
    coo_to_csr(coo.pattern(), sorted, without_map.indptr.data(), without_map.indices.data(),
               nullptr);
    CHECK(without_map.indptr == expected.indptr);
    CHECK(without_map.indices == expected.indices);
  });
}

/// Values that travel along arrive where the map says.
template <class T>
void check_moved_values(const BatteryMatrix& m) {
  using I = std::int32_t;
  const OwnedCoo<I> coo(m);
  const std::size_t nnz = m.row.size();
  std::vector<T> values(nnz), moved(nnz);
  for (std::size_t p = 0; p < nnz; ++p) values[p] = make_value<T>(m.real[p], m.imag[p]);
  Positions<I> with_map(m.rows, coo.pattern().nnz), got(m.rows, coo.pattern().nnz);
  const auto check = [&] {
    std::int64_t wrong = 0;
    for (std::size_t p = 0; p < nnz; ++p) {
      wrong += std::memcmp(&moved[p], &values[static_cast<std::size_t>(with_map.map[p])],
                           sizeof(T)) != 0;
    }
    CHECK(wrong == 0);
    CHECK(got.indptr == with_map.indptr);
    CHECK(got.indices == with_map.indices);
  };
  coo_to_csr(coo.pattern(), true, with_map.indptr.data(), with_map.indices.data(),
             with_map.map.data());
  coo_to_csr(CooView{coo.pattern(), dtype_v<T>, values.data()}, true, got.indptr.data(),
             got.indices.data(), moved.data());
  check();

  const OwnedCsr<T, I> a(m);
  values = a.values;
  with_map = got = Positions<I>(m.cols, coo.pattern().nnz);
  transpose(a.pattern(), with_map.indptr.data(), with_map.indices.data(), with_map.map.data());
  transpose(a.view(), got.indptr.data(), got.indices.data(), moved.data());
  check();

  with_map = got = Positions<I>(m.rows, coo.pattern().nnz);
  sort_indices(a.pattern(), with_map.indices.data(), with_map.map.data());
  for_each_setting([&] {
    moved.assign(nnz, make_value<T>(7, 7));
    sort_indices(a.view(), got.indices.data(), moved.data());
    check();
  });

  // The rows from the last to the first.
  std::vector<std::int64_t> rows(static_cast<std::size_t>(m.rows));
  std::iota(rows.rbegin(), rows.rend(), std::int64_t{0});
  with_map = Positions<I>(m.rows, coo.pattern().nnz);
  with_map.indptr[0] = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t row = static_cast<std::size_t>(rows[i]);
    with_map.indptr[i + 1] = with_map.indptr[i] + a.indptr[row + 1] - a.indptr[row];
  }
  got = with_map;
  select_rows(a.pattern(), rows.data(), m.rows, with_map.indptr.data(), with_map.indices.data(),
              with_map.map.data());
  for_each_setting([&] {
    moved.assign(nnz, make_value<T>(7, 7));
    select_rows(a.view(), rows.data(), m.rows, got.indptr.data(), got.indices.data(), moved.data());
    check();
  });
}

template <class I>
void check_transpose(const BatteryMatrix& m) {
  const OwnedCsr<float, I> a(m);
  const std::int64_t nnz = a.pattern().nnz;
  Positions<I> expected(m.cols, nnz);
  reference::transpose(a.pattern(), expected.indptr.data(), expected.indices.data(),
                       expected.map.data());
  for_each_setting([&] {
    Positions<I> got(m.cols, nnz);
    transpose(a.pattern(), got.indptr.data(), got.indices.data(), got.map.data());
    CHECK(got == expected);
  });
}

/// Sorting, the row of every entry, and summing duplicates.
template <class I>
void check_order(const BatteryMatrix& m) {
  const OwnedCsr<double, I> a(m);
  const std::int64_t nnz = a.pattern().nnz;
  Positions<I> expected(m.rows, nnz), distinct(m.rows, nnz);
  expected.indptr = a.indptr;
  reference::sort_indices(a.pattern(), expected.indices.data(), expected.map.data());
  const CsrPattern sorted = expected.pattern(m.rows, m.cols);
  std::vector<I> expected_rows(static_cast<std::size_t>(nnz));
  reference::csr_to_coo(sorted, expected_rows.data());
  const std::int64_t count = reference::count_distinct(sorted, distinct.indptr.data());
  distinct.indices.resize(static_cast<std::size_t>(count));
  std::vector<I> starts(static_cast<std::size_t>(count) + 1);
  reference::fill_distinct(sorted, distinct.indptr.data(), distinct.indices.data(), starts.data());
  const std::vector<double> ones(static_cast<std::size_t>(nnz), 1.0);
  for_each_setting([&] {
    Positions<I> got(m.rows, nnz);
    got.indptr = a.indptr;
    const PatternProperties found = sort_indices(a.pattern(), got.indices.data(), got.map.data());
    CHECK(got == expected);
    CHECK(found.sorted_indices);
    CHECK(found.canonical == (count == nnz));

    std::vector<I> rows(static_cast<std::size_t>(nnz));
    csr_to_coo(sorted, rows.data());
    CHECK(rows == expected_rows);

    Positions<I> summed(m.rows, count);
    std::vector<I> segments(static_cast<std::size_t>(count) + 1);
    CHECK(count_distinct(sorted, summed.indptr.data()) == count);
    CHECK(summed.indptr == distinct.indptr);
    fill_distinct(sorted, summed.indptr.data(), summed.indices.data(), segments.data());
    CHECK(summed.indices == distinct.indices);
    CHECK(segments == starts);
    std::vector<double> sums(static_cast<std::size_t>(count));
    fill_distinct(CsrView{sorted, DType::float64, ones.data()}, summed.indptr.data(),
                  summed.indices.data(), sums.data());
    CHECK(summed.indices == distinct.indices);
    std::int64_t wrong = 0;
    for (std::size_t s = 0; s < sums.size(); ++s) wrong += sums[s] != starts[s + 1] - starts[s];
    CHECK(wrong == 0);
  });
}

/// The message of the InvalidArgument that body throws.
template <class Body>
std::string refusal(Body&& body) {
  try {
    body();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_SUITE_BEGIN("structure");

TEST_CASE("COO to CSR") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    for (bool sorted : {false, true}) {
      check_conversion<std::int32_t>(m, sorted);
      check_conversion<std::int64_t>(m, sorted);
    }
  }
}

TEST_CASE("values travel along") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
#define GOSSAMER_CHECK(enumerator, type, ...) check_moved_values<type>(m);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  }
}

TEST_CASE("transpose") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    check_transpose<std::int32_t>(m);
    check_transpose<std::int64_t>(m);
  }
}

TEST_CASE("sorting and duplicates") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    check_order<std::int32_t>(m);
    check_order<std::int64_t>(m);
  }
}

TEST_CASE("validation describes what is right") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    const OwnedCsr<float, std::int32_t> a(m);
    const OwnedCoo<std::int64_t> coo(m);
    const PatternProperties csr_known = reference::properties(a.pattern());
    const PatternProperties coo_known = reference::properties(coo.pattern());
    for_each_setting([&] {
      const PatternProperties csr_found = validate(a.pattern()),
                              coo_found = validate(coo.pattern());
      CHECK(csr_found.sorted_indices == csr_known.sorted_indices);
      CHECK(csr_found.canonical == csr_known.canonical);
      CHECK(coo_found.sorted_indices == coo_known.sorted_indices);
      CHECK(coo_found.canonical == coo_known.canonical);
    });
  }
}

TEST_CASE("validation names what is wrong") {
  std::vector<int> indptr{0, 2, 4, 5}, indices{0, 7, 3, 4, 1}, row{0, 0, 1, 1, 2};
  const CsrPattern csr{3, 8, 5, DType::int32, indptr.data(), indices.data()};
  const CooPattern coo{3, 8, 5, DType::int32, row.data(), indices.data()};
  const auto with = [](int& element, int value, auto check) {
    const int before = element;
    element = value;
    const std::string text = refusal(check);
    element = before;
    return text;
  };
  const auto check_csr = [&] { validate(csr); };
  for_each_setting([&] {
    CHECK(refusal(check_csr).empty());
    CHECK(with(indices[3], 8, check_csr) ==
          "csr_array: indices[3] = 8 is out of range for 8 columns");
    CHECK(with(indices[0], -1, check_csr) ==
          "csr_array: indices[0] = -1 is out of range for 8 columns");
    CHECK(with(indices[3], 8, [&] { validate(csr, true); }) ==
          "csc_array: indices[3] = 8 is out of range for 8 rows");
    CHECK(with(indptr[0], 1, check_csr) == "csr_array: indptr[0] = 1 must be 0");
    CHECK(with(indptr[1], -3, check_csr) == "csr_array: indptr[1] = -3 is less than indptr[0] = 0");
    CHECK(with(indptr[2], 1, check_csr) == "csr_array: indptr[2] = 1 is less than indptr[1] = 2");
    CHECK(with(indptr[1], 9, check_csr) == "csr_array: indptr[2] = 4 is less than indptr[1] = 9");
    CHECK(with(indptr[3], 6, check_csr) ==
          "csr_array: indptr[3] = 6 must be the number of indices, 5");
    CHECK(with(row[4], 3, [&] { validate(coo); }) ==
          "coo_array: row[4] = 3 is out of range for 3 rows");
    CHECK(with(indices[1], 9, [&] { validate(coo); }) ==
          "coo_array: col[1] = 9 is out of range for 8 columns");
  });
}

TEST_CASE("what does not fit int32 is refused before anything is read") {
  const std::int64_t many = std::int64_t{1} << 31;
  CHECK_THROWS_AS(validate(CsrPattern{many, 1, 0, DType::int32, nullptr, nullptr}),
                  InvalidArgument);
  CHECK_THROWS_AS(validate(CsrPattern{1, many, 0, DType::int32, nullptr, nullptr}),
                  InvalidArgument);
  CHECK_THROWS_AS(validate(CooPattern{1, 1, many, DType::int32, nullptr, nullptr}),
                  InvalidArgument);
  CHECK_THROWS_AS(
      transpose(CsrPattern{1, many, 0, DType::int32, nullptr, nullptr}, nullptr, nullptr, nullptr),
      InvalidArgument);
  CHECK_THROWS_AS(coo_to_csr(CooPattern{many, 1, 0, DType::int32, nullptr, nullptr}, true, nullptr,
                             nullptr, nullptr),
                  InvalidArgument);
}

TEST_SUITE_END();

TEST_CASE("structural operations on several threads" * doctest::test_suite("threads")) {
  for (const BatteryMatrix& m : large_matrices()) {
    INFO("matrix " << m.name);
    check_conversion<std::int32_t>(m, true);
    check_transpose<std::int32_t>(m);
    check_order<std::int32_t>(m);
  }
}

template <class I>
void check_runs(const BatteryMatrix& matrix) {
  const OwnedCsr<float, I> a(matrix);
  std::vector<I> expected;
  const auto row = [&](std::int64_t i) {
    std::vector<std::int64_t> columns;
    for (I p = a.indptr[i]; p < a.indptr[i + 1]; ++p) {
      columns.push_back(a.indices[p] - i);
    }
    return columns;
  };
  for (std::int64_t i = 0; i < a.rows; ++i) {
    if (i == 0 || row(i) != row(i - 1)) expected.push_back(static_cast<I>(i));
  }
  const std::int64_t runs = static_cast<std::int64_t>(expected.size());
  expected.push_back(static_cast<I>(a.rows));
  INFO("matrix " << matrix.name);
  for_each_thread_count([&] {
    std::vector<I> starts(expected.size());
    CHECK(find_runs(a.pattern(), starts.data(), runs) == runs);
    CHECK(starts == expected);
    if (runs > 0) CHECK(find_runs(a.pattern(), starts.data(), runs - 1) == 0);
  });
}

TEST_SUITE_BEGIN("threads");

TEST_CASE("runs of rows that repeat the row before") {
  for (const BatteryMatrix& matrix : battery()) {
    check_runs<std::int32_t>(matrix);
    check_runs<std::int64_t>(matrix);
  }
  BatteryMatrix band{"band of several pieces", 90'000, 90'000, {}, {}, {}, {}};
  for (std::int64_t i = 0; i < band.rows; ++i) {
    for (std::int64_t j = std::max<std::int64_t>(0, i - 2); j < std::min(band.cols, i + 3); ++j) {
      band.row.push_back(i);
      band.col.push_back(j);
    }
  }
  band.real.resize(band.row.size());
  band.imag.resize(band.row.size());
  check_runs<std::int32_t>(band);
}

TEST_SUITE_END();

}  // namespace gossamer::testing
