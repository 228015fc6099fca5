// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "battery.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/structure_reference.hpp"
#include "positions.hpp"

namespace gossamer::testing {
namespace {

template <class I>
void check_selection(const BatteryMatrix& m) {
  const OwnedCoo<I> coo(m);
  Positions<I> stored(m.rows, coo.pattern().nnz);
  reference::coo_to_csr(coo.pattern(), false, stored.indptr.data(), stored.indices.data(),
                        stored.map.data());
  const CsrPattern pattern = stored.pattern(m.rows, m.cols);
  // Every third row from the last, and the last one twice.
  std::vector<std::int64_t> rows;
  for (std::int64_t i = m.rows - 1; i >= 0; i -= 3) rows.push_back(i);
  if (m.rows > 0) rows.push_back(m.rows - 1);
  Positions<I> expected(static_cast<std::int64_t>(rows.size()), 0);
  expected.indptr[0] = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t row = static_cast<std::size_t>(rows[i]);
    expected.indptr[i + 1] = expected.indptr[i] + stored.indptr[row + 1] - stored.indptr[row];
  }
  expected.indices.resize(static_cast<std::size_t>(expected.indptr.back()));
  expected.map = expected.indices;
  const std::int64_t count = static_cast<std::int64_t>(rows.size());
  reference::select_rows(pattern, rows.data(), count, expected.indptr.data(),
                         expected.indices.data(), expected.map.data());
  for_each_setting([&] {
    Positions<I> got = expected;
    std::fill(got.indices.begin(), got.indices.end(), I(-7));
    std::fill(got.map.begin(), got.map.end(), I(-7));
    std::fill(got.indptr.begin(), got.indptr.end(), I(-7));
    CHECK(count_rows(pattern, rows.data(), count, got.indptr.data()) == expected.indptr.back());
    select_rows(pattern, rows.data(), count, got.indptr.data(), got.indices.data(), got.map.data());
    CHECK(got == expected);
  });
  for (const IndexRange& columns :
       {IndexRange{0, m.cols, 1}, IndexRange{m.cols / 3, m.cols - m.cols / 4, 1},
        IndexRange{m.cols / 5, m.cols, 3}, IndexRange{m.cols - 1, -1, -1},
        IndexRange{m.cols / 2, m.cols / 7, -2}, IndexRange{m.cols / 2, m.cols / 3, 1},
        IndexRange{0, m.cols, std::int64_t{1} << 32},
        IndexRange{m.cols - 1, -1, -(std::int64_t{1} << 32) - 1}}) {
    if (columns.begin < 0 || (columns.step < 0 && columns.begin >= m.cols)) continue;
    INFO("columns " << columns.begin << " to " << columns.end << " by " << columns.step);
    Positions<I> kept(m.rows, 0);
    const std::int64_t nnz = reference::count_columns(pattern, columns, kept.indptr.data());
    kept.indices.resize(static_cast<std::size_t>(nnz));
    kept.map.resize(static_cast<std::size_t>(nnz));
    reference::fill_columns(pattern, columns, kept.indptr.data(), kept.indices.data(),
                            kept.map.data());
    for_each_setting([&] {
      Positions<I> got(m.rows, nnz);
      CHECK(count_columns(pattern, columns, got.indptr.data()) == nnz);
      fill_columns(pattern, columns, got.indptr.data(), got.indices.data(), got.map.data());
      CHECK(got == kept);
    });
  }
}

/// Targets of columns by number: row c holds the numbers that column c gets.
template <class I>
Positions<I> targets_of(const std::vector<std::int64_t>& columns, std::int64_t cols) {
  Positions<I> targets(cols, static_cast<std::int64_t>(columns.size()));
  std::iota(targets.indices.begin(), targets.indices.end(), I(0));
  const auto column = [&](I number) { return columns[static_cast<std::size_t>(number)]; };
  std::stable_sort(targets.indices.begin(), targets.indices.end(),
                   [&](I a, I b) { return column(a) < column(b); });
  std::fill(targets.indptr.begin(), targets.indptr.end(), I(0));
  for (const std::int64_t c : columns) ++targets.indptr[static_cast<std::size_t>(c) + 1];
  std::partial_sum(targets.indptr.begin(), targets.indptr.end(), targets.indptr.begin());
  return targets;
}

template <class I>
void check_picked_columns(const BatteryMatrix& m) {
  const OwnedCoo<I> coo(m);
  Positions<I> stored(m.rows, coo.pattern().nnz);
  reference::coo_to_csr(coo.pattern(), false, stored.indptr.data(), stored.indices.data(),
                        stored.map.data());
  const CsrPattern pattern = stored.pattern(m.rows, m.cols);
  // None; every third, once, in order; some in reverse; some twice.
  std::vector<std::vector<std::int64_t>> selections(4);
  for (std::int64_t c = 0; c < m.cols; c += 1 + m.cols / 100) {
    if (c % 3 == 0) selections[1].push_back(c);
    if (c % 2 == 0) selections[2].insert(selections[2].begin(), c);
    selections[3].insert(selections[3].end(), static_cast<std::size_t>(c % 3), c);
  }
  for (const auto& columns : selections) {
    INFO(columns.size() << " columns");
    const Positions<I> numbers = targets_of<I>(columns, m.cols);
    const CsrPattern targets = numbers.pattern(m.cols, static_cast<std::int64_t>(columns.size()));
    Positions<I> kept(m.rows, 0);
    const std::int64_t nnz = reference::count_picked_columns(pattern, targets, kept.indptr.data());
    kept.indices.resize(static_cast<std::size_t>(nnz));
    kept.map.resize(static_cast<std::size_t>(nnz));
    reference::fill_picked_columns(pattern, targets, kept.indptr.data(), kept.indices.data(),
                                   kept.map.data());
    for_each_setting([&] {
      Positions<I> got(m.rows, nnz);
      CHECK(count_picked_columns(pattern, targets, got.indptr.data()) == nnz);
      fill_picked_columns(pattern, targets, got.indptr.data(), got.indices.data(), got.map.data());
      CHECK(got == kept);
    });
  }
}

}  // namespace

TEST_SUITE_BEGIN("structure");

TEST_CASE("selected rows and columns") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    check_selection<std::int32_t>(m);
    check_selection<std::int64_t>(m);
    check_picked_columns<std::int32_t>(m);
    check_picked_columns<std::int64_t>(m);
  }
  const Positions<std::int32_t> empty(1, 0);
  Positions<std::int32_t> got(1, 0);
  const CsrPattern pattern = empty.pattern(1, 4);
  for (const IndexRange& wrong : {IndexRange{0, 4, 0}, IndexRange{5, 5, 1}, IndexRange{4, -1, -1},
                                  IndexRange{0, 5, 1}, IndexRange{-1, 4, 1}}) {
    CHECK_THROWS_AS(count_columns(pattern, wrong, got.indptr.data()), InvalidArgument);
  }
  const CsrPattern few = empty.pattern(1, 1);  // a row, where the pattern has four columns
  CHECK_THROWS_AS(count_picked_columns(pattern, few, got.indptr.data()), InvalidArgument);
  // 2^16 duplicates in a column that is picked as often: 2^32 positions in one row, which int32
  // would count as none.
  Positions<std::int32_t> often(1, 1 << 16);
  often.indptr = {0, 1 << 16};
  std::ranges::fill(often.indices, 0);
  Positions<std::int32_t> numbers = often;
  std::iota(numbers.indices.begin(), numbers.indices.end(), 0);
  CHECK_THROWS_WITH_AS(
      count_picked_columns(often.pattern(1, 1), numbers.pattern(1, 1 << 16), got.indptr.data()),
      doctest::Contains("4294967296 positions do not fit int32"), InvalidArgument);
  // As many of a row that is picked as often: nothing is written.
  const std::vector<std::int64_t> rows(1 << 16, 0);
  Positions<std::int32_t> picked(1 << 16, 0);
  std::ranges::fill(picked.indptr, -7);
  CHECK(count_rows(often.pattern(1, 1), rows.data(), 1 << 16, picked.indptr.data()) ==
        std::int64_t{1} << 32);
  CHECK(std::ranges::count(picked.indptr, -7) == (1 << 16) + 1);
}

template <class I>
void check_matrix_of(std::int64_t rows, std::int64_t cols, const std::vector<Diagonal>& diagonals) {
  INFO(rows << " rows, " << cols << " columns, " << diagonals.size() << " diagonals");
  const std::int64_t nnz = count_diagonals(rows, cols, diagonals);
  Positions<I> expected(rows, nnz);
  reference::fill_diagonals(rows, cols, diagonals, dtype_v<I>, expected.indptr.data(),
                            expected.indices.data(), expected.map.data());
  REQUIRE(expected.indptr.back() == nnz);
  for_each_setting([&] {
    Positions<I> got(rows, nnz);
    fill_diagonals(rows, cols, diagonals, dtype_v<I>, got.indptr.data(), got.indices.data(),
                   got.map.data());
    CHECK(got == expected);
  });
}

TEST_CASE("matrices of diagonals") {
  for (const auto& [rows, cols] : {std::pair{0, 0},
                                   {0, 5},
                                   {5, 0},
                                   {1, 1},
                                   {4, 9},
                                   {9, 4},
                                   {7, 7},
                                   {300'000, 3},
                                   {300'000, 300'000}}) {
    std::vector<Diagonal> all;
    const std::int64_t before = std::min(rows, 12), after = std::min(cols, 12);
    for (std::int64_t k = 1 - before; k < after; k += 2) all.push_back({k, 100 * k + 5000, k % 3});
    check_matrix_of<std::int32_t>(rows, cols, all);
    check_matrix_of<std::int64_t>(rows, cols, all);
    check_matrix_of<std::int32_t>(rows, cols, {});
    if (rows == 0 || cols == 0) continue;
    check_matrix_of<std::int64_t>(rows, cols, {{1 - rows, 0, 1}});
    check_matrix_of<std::int64_t>(rows, cols, {{cols - 1, 7, 0}});
  }
  const std::vector<Diagonal> twice{{1, 0, 1}, {1, 3, 1}}, outside{{4, 0, 1}}, above{{-3, 0, 1}};
  for (const auto& wrong : {twice, outside, above}) {
    CHECK_THROWS_AS(count_diagonals(3, 4, wrong), InvalidArgument);
  }
  const std::vector<Diagonal> three{{-1, 0, 0}, {0, 0, 0}, {1, 0, 0}};
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_AS(count_diagonals(most, most, three), InvalidArgument);
  CHECK_THROWS_AS(count_diagonals(-most - 1, 4, three), InvalidArgument);
}

TEST_SUITE_END();

}  // namespace gossamer::testing
