// SPDX-License-Identifier: Apache-2.0
#include "gossamer/structure.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "battery.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/simd.hpp"
#include "gossamer/threads.hpp"
#include "ops/structure/structure_reference.hpp"

namespace gossamer::testing {
namespace {

/// Runs body for every instruction set that runs here, and with 1, 2 and 4 threads.
template <class Body>
void for_each_setting(Body&& body) {
  const std::string target_before = simd_target();
  const int threads_before = num_threads();
  for (const std::string& target : supported_simd_targets()) {
    set_simd_target(target);
    for (int threads : {1, 2, 4}) {
      set_num_threads(threads);
      INFO("target " << target << ", threads " << threads);
      body();
    }
  }
  set_simd_target(target_before);
  set_num_threads(threads_before);
}

/// Matrices of more than one bucket of the counting sort.
std::vector<BatteryMatrix> large_matrices() {
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
  add("several buckets", 3'000, 2'000, 150'000, false);
  add("several buckets, rows nearly in order", 50'000, 100, 150'000, true);
  add("a row a bucket", 3, 90'000, 120'000, false);
  add("more rows than entries", 300'000, 300'000, 70'000, false);
  return all;
}

std::vector<BatteryMatrix> matrices() {
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

/// The canonical pattern of a matrix whose columns are moved by `shift`.
template <class I>
Positions<I> canonical_pattern(const BatteryMatrix& m, std::int64_t shift) {
  OwnedCoo<I> coo(m);
  for (I& col : coo.col) col = static_cast<I>((col + shift) % m.cols);
  Positions<I> sorted(m.rows, coo.pattern().nnz), canonical(m.rows, 0);
  reference::coo_to_csr(coo.pattern(), true, sorted.indptr.data(), sorted.indices.data(), nullptr);
  const CsrPattern pattern = sorted.pattern(m.rows, m.cols);
  const std::int64_t count = reference::count_distinct(pattern, canonical.indptr.data());
  canonical.indices.resize(static_cast<std::size_t>(count));
  std::vector<I> starts(static_cast<std::size_t>(count) + 1);
  reference::fill_distinct(pattern, canonical.indptr.data(), canonical.indices.data(),
                           starts.data());
  return canonical;
}

template <class I>
void check_union(const BatteryMatrix& m, std::int64_t shift) {
  const Positions<I> left = canonical_pattern<I>(m, 0), right = canonical_pattern<I>(m, shift);
  const CsrPattern a = left.pattern(m.rows, m.cols), b = right.pattern(m.rows, m.cols);
  Positions<I> expected(m.rows, 0), got(m.rows, 0);
  const std::int64_t count = reference::count_union(a, b, expected.indptr.data());
  const std::size_t size = static_cast<std::size_t>(count);
  expected.indices.resize(size);
  expected.map.resize(size);
  std::vector<I> expected_b(size);
  reference::fill_union(a, b, expected.indptr.data(), expected.indices.data(), expected.map.data(),
                        expected_b.data());
  for_each_setting([&] {
    CHECK(count_union(a, b, got.indptr.data()) == count);
    got.indices.assign(size, I(-7));
    got.map.assign(size, I(-7));
    std::vector<I> from_b(size, I(-7));
    fill_union(a, b, got.indptr.data(), got.indices.data(), got.map.data(), from_b.data());
    CHECK(got == expected);
    CHECK(from_b == expected_b);
  });
  // Values that tell their position: small integers, whose sums are exact.
  const auto values = [](std::int64_t nnz, float first) {
    std::vector<float> made(static_cast<std::size_t>(nnz));
    std::iota(made.begin(), made.end(), first);
    return made;
  };
  const std::vector<float> of_a = values(a.nnz, 1), of_b = values(b.nnz, 100'000);
  for (const bool subtract : {false, true}) {
    std::vector<float> sums(size);
    for (std::size_t s = 0; s < size; ++s) {
      const auto value = [&](const std::vector<float>& from, I p) {
        return p < 0 ? 0.0f : from[static_cast<std::size_t>(p)];
      };
      const float right = value(of_b, expected_b[s]);
      sums[s] = value(of_a, expected.map[s]) + (subtract ? -right : right);
    }
    for_each_setting([&] {
      std::vector<I> columns(size);
      std::vector<float> found(size, -7);
      fill_union(CsrView{a, DType::float32, of_a.data()}, CsrView{b, DType::float32, of_b.data()},
                 subtract, expected.indptr.data(), columns.data(), found.data());
      CHECK(columns == expected.indices);
      CHECK(found == sums);
    });
  }
}

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

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// A dense matrix in memory by rows, by columns, or with gaps and backwards.
enum class Order { rows, columns, gaps };

template <class T>
struct DenseMatrix {
  DenseMatrix(std::int64_t rows, std::int64_t cols, Order order)
      : memory(static_cast<std::size_t>(2 * rows * (cols + 1) + 1), make_value<T>(9, 9)) {
    view = ArrayView::contiguous(memory.data(), dtype_v<T>, {rows, cols});
    if (order == Order::columns) view.strides = {1, rows};
    if (order == Order::gaps) {
      view.strides = {2 * (cols + 1), -2};
      view.data = memory.data() + 2 * cols;
    }
  }

  std::vector<T> memory;
  ArrayView view;
};

template <class T, class I>
void check_dense(const BatteryMatrix& m, Order order) {
  if (m.rows * m.cols > 100'000) return;  // the reference is slow
  const OwnedCsr<T, I> a(m);
  DenseMatrix<T> expected(m.rows, m.cols, order), got(m.rows, m.cols, order);
  reference::todense(a.view(), expected.view);
  for_each_setting([&] {
    std::fill(got.memory.begin(), got.memory.end(), make_value<T>(9, 9));
    todense(a.view(), got.view);
    CHECK(same_bits(got.memory, expected.memory));
  });
  for (double threshold : {0.0, 0.3, 1.0, 65504.0, std::numeric_limits<double>::infinity()}) {
    Positions<I> want(m.rows, 0), found(m.rows, 0);
    const std::int64_t count =
        reference::count_nonzeros(expected.view, threshold, dtype_v<I>, want.indptr.data());
    const std::size_t size = static_cast<std::size_t>(count);
    std::vector<T> want_values(size), values(size);
    want.indices.resize(size);
    found.indices.resize(size);
    reference::fill_nonzeros(expected.view, threshold, dtype_v<I>, want.indptr.data(),
                             want.indices.data(), want_values.data());
    for_each_setting([&] {
      INFO("threshold " << threshold);
      CHECK(count_nonzeros(expected.view, threshold, dtype_v<I>, found.indptr.data()) == count);
      CHECK(found.indptr == want.indptr);
      fill_nonzeros(expected.view, threshold, dtype_v<I>, found.indptr.data(), found.indices.data(),
                    values.data());
      CHECK(found == want);
      CHECK(same_bits(values, want_values));
    });
  }
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

TEST_CASE("union") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    for (std::int64_t shift : {0, 1}) check_union<std::int32_t>(m, shift);
    check_union<std::int64_t>(m, 2);
  }
}

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
}

TEST_CASE("dense matrices") {
  for (const BatteryMatrix& m : battery()) {
    INFO("matrix " << m.name);
    for (Order order : {Order::rows, Order::columns, Order::gaps}) {
#define GOSSAMER_CHECK(enumerator, type, ...) check_dense<type, std::int32_t>(m, order);
      GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
    }
    check_dense<float, std::int64_t>(m, Order::rows);
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
  const ArrayView wide =
      ArrayView::contiguous(static_cast<void*>(nullptr), DType::float32, {0, many});
  CHECK_THROWS_AS(count_nonzeros(wide, 0, DType::int32, nullptr), InvalidArgument);
}

TEST_CASE("operands that do not fit are refused") {
  const OwnedCsr<float, std::int32_t> a(battery().back());
  const OwnedCsr<float, std::int64_t> wide(battery().back());
  std::vector<float> memory(static_cast<std::size_t>((a.rows + 1) * (a.cols + 1)));
  std::vector<std::int32_t> indptr(memory.size());
  const auto dense = [&](DType dtype, std::initializer_list<std::int64_t> shape) {
    return ArrayView::contiguous(memory.data(), dtype, shape);
  };
  CHECK_THROWS_AS(todense(a.view(), dense(DType::float32, {a.rows, a.cols + 1})), InvalidArgument);
  CHECK_THROWS_AS(todense(a.view(), dense(DType::float32, {a.rows * a.cols})), InvalidArgument);
  CHECK_THROWS_AS(todense(a.view(), dense(DType::float64, {a.rows, a.cols})), InvalidDType);
  CHECK_THROWS_AS(count_nonzeros(dense(DType::float32, {4}), 0, DType::int32, indptr.data()),
                  InvalidArgument);
  CHECK_THROWS_AS(count_nonzeros(dense(DType::float32, {2, 2}), -1, DType::int32, indptr.data()),
                  InvalidArgument);
  CHECK_THROWS_AS(
      count_nonzeros(dense(DType::float32, {2, 2}), std::numeric_limits<double>::quiet_NaN(),
                     DType::int32, indptr.data()),
      InvalidArgument);
  CHECK_THROWS_AS(count_union(a.pattern(), wide.pattern(), indptr.data()), InvalidDType);
  CsrPattern wider = a.pattern();
  ++wider.cols;
  CHECK_THROWS_AS(count_union(a.pattern(), wider, indptr.data()), InvalidArgument);
}

TEST_SUITE_END();

TEST_CASE("structural operations on several threads" * doctest::test_suite("threads")) {
  for (const BatteryMatrix& m : large_matrices()) {
    INFO("matrix " << m.name);
    check_conversion<std::int32_t>(m, true);
    check_transpose<std::int32_t>(m);
    check_order<std::int32_t>(m);
    check_union<std::int32_t>(m, 1);
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
