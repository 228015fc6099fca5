// SPDX-License-Identifier: Apache-2.0
// Patterns made of several: unions, intersections, and matrices side by side.
#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "battery.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/structure_reference.hpp"
#include "positions.hpp"

namespace gossamer::testing {
namespace {

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

/// The positions that two patterns share, and products of values there.
template <class I>
void check_intersection(const BatteryMatrix& m, std::int64_t shift) {
  const Positions<I> left = canonical_pattern<I>(m, 0), right = canonical_pattern<I>(m, shift);
  const CsrPattern a = left.pattern(m.rows, m.cols), b = right.pattern(m.rows, m.cols);
  Positions<I> expected(m.rows, 0);
  const std::int64_t count = reference::count_intersection(a, b, expected.indptr.data());
  const std::size_t size = static_cast<std::size_t>(count);
  expected.indices.resize(size);
  expected.map.resize(size);
  std::vector<I> expected_b(size);
  reference::fill_intersection(a, b, expected.indptr.data(), expected.indices.data(),
                               expected.map.data(), expected_b.data());
  // Values that tell their position: small integers, whose products are exact.
  std::vector<double> of_a(static_cast<std::size_t>(a.nnz)), of_b(static_cast<std::size_t>(b.nnz));
  std::iota(of_a.begin(), of_a.end(), 1);
  std::iota(of_b.begin(), of_b.end(), 1000);
  std::vector<double> expected_products(size);
  for (std::size_t s = 0; s < size; ++s) {
    expected_products[s] = of_a[static_cast<std::size_t>(expected.map[s])] *
                           of_b[static_cast<std::size_t>(expected_b[s])];
  }
  for_each_setting([&] {
    Positions<I> got(m.rows, count);
    CHECK(count_intersection(a, b, got.indptr.data()) == count);
    std::vector<I> from_b(size, I(-7)), columns(size, I(-7));
    fill_intersection(a, b, got.indptr.data(), got.indices.data(), got.map.data(), from_b.data());
    CHECK(got == expected);
    CHECK(from_b == expected_b);
    std::vector<double> products(size, -7);
    fill_intersection(CsrView{a, DType::float64, of_a.data()},
                      CsrView{b, DType::float64, of_b.data()}, got.indptr.data(), columns.data(),
                      products.data());
    CHECK(columns == expected.indices);
    CHECK(products == expected_products);
  });
}

/// The matrix, a part of it, and itself again, side by side.
template <class I>
void check_hstack(const BatteryMatrix& m) {
  const OwnedCsr<float, I> a(m);
  BatteryMatrix half = m;
  half.cols = m.cols + 3;
  for (auto* list : {&half.row, &half.col}) list->resize(list->size() / 2);
  const OwnedCsr<float, I> b(half);
  const std::vector<CsrPattern> blocks{a.pattern(), b.pattern(), a.pattern()};
  const std::vector<CsrView> matrices{a.view(), b.view(), a.view()};
  const std::int64_t nnz = 2 * a.pattern().nnz + b.pattern().nnz;
  Positions<I> expected(m.rows, nnz);
  reference::hstack(blocks, expected.indptr.data(), expected.indices.data(), expected.map.data());
  std::vector<float> values = a.values, moved_as_mapped;
  values.insert(values.end(), b.values.begin(), b.values.end());
  values.insert(values.end(), a.values.begin(), a.values.end());
  for (I from : expected.map) moved_as_mapped.push_back(values[static_cast<std::size_t>(from)]);
  for_each_setting([&] {
    Positions<I> got(m.rows, nnz), again(m.rows, nnz);
    hstack(blocks, got.indptr.data(), got.indices.data(), got.map.data());
    CHECK(got == expected);
    std::vector<float> moved(static_cast<std::size_t>(nnz), -7);
    hstack(matrices, again.indptr.data(), again.indices.data(), moved.data());
    CHECK(again.indptr == expected.indptr);
    CHECK(again.indices == expected.indices);
    CHECK(same_bits(moved, moved_as_mapped));
  });
}

/// The matrix times a few of its entries, and these times the matrix.
template <class I>
void check_kron(const BatteryMatrix& m) {
  BatteryMatrix few{"few", 3, 2, {0, 0, 2}, {1, 0, 1}, {2, -3, 0.5}, {0, 0, 0}};
  const OwnedCsr<float, I> large(m), small(few);
  for (const bool swapped : {false, true}) {
    const OwnedCsr<float, I>&a = swapped ? small : large, &b = swapped ? large : small;
    const CsrPattern left = a.pattern(), right = b.pattern();
    const std::int64_t rows = left.rows * right.rows, nnz = left.nnz * right.nnz;
    Positions<I> expected(rows, nnz);
    reference::kron(left, right, expected.indptr.data(), expected.indices.data(),
                    expected.map.data());
    std::vector<float> products;
    for (I pair : expected.map) {
      products.push_back(a.values[static_cast<std::size_t>(pair / right.nnz)] *
                         b.values[static_cast<std::size_t>(pair % right.nnz)]);
    }
    for_each_setting([&] {
      Positions<I> got(rows, nnz), again(rows, nnz);
      kron(left, right, got.indptr.data(), got.indices.data(), got.map.data());
      CHECK(got == expected);
      std::vector<float> found(products.size(), -7);
      kron(a.view(), b.view(), again.indptr.data(), again.indices.data(), found.data());
      CHECK(again.indptr == expected.indptr);
      CHECK(again.indices == expected.indices);
      CHECK(same_bits(found, products));
    });
  }
}

}  // namespace

TEST_SUITE_BEGIN("structure");

TEST_CASE("union") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    for (std::int64_t shift : {0, 1}) check_union<std::int32_t>(m, shift);
    check_union<std::int64_t>(m, 2);
  }
}

TEST_CASE("intersection") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    for (std::int64_t shift : {0, 1}) check_intersection<std::int32_t>(m, shift);
    check_intersection<std::int64_t>(m, 2);
  }
}

TEST_CASE("matrices side by side") {
  for (const BatteryMatrix& m : matrices()) {
    INFO("matrix " << m.name);
    check_hstack<std::int32_t>(m);
    check_hstack<std::int64_t>(m);
  }
}

TEST_CASE("Kronecker products") {
  for (const BatteryMatrix& m : battery()) {
    if (m.row.size() > 2'000 || m.rows > 2'000) continue;  // the reference compares all pairs
    INFO("matrix " << m.name);
    check_kron<std::int32_t>(m);
    check_kron<std::int64_t>(m);
  }
}

TEST_CASE("patterns that do not fit each other are refused") {
  const OwnedCsr<float, std::int32_t> a(battery().back());
  const OwnedCsr<float, std::int64_t> wide(battery().back());
  const OwnedCsr<double, std::int32_t> precise(battery().back());
  std::vector<std::int32_t> indptr(static_cast<std::size_t>(a.rows + 1));
  CHECK_THROWS_AS(count_union(a.pattern(), wide.pattern(), indptr.data()), InvalidDType);
  CHECK_THROWS_AS(count_intersection(a.pattern(), wide.pattern(), indptr.data()), InvalidDType);
  CsrPattern wider = a.pattern();
  ++wider.cols;
  CHECK_THROWS_AS(count_union(a.pattern(), wider, indptr.data()), InvalidArgument);
  CHECK_THROWS_AS(count_intersection(a.pattern(), wider, indptr.data()), InvalidArgument);
  CHECK_THROWS_AS(fill_intersection(a.view(), precise.view(), nullptr, nullptr, nullptr),
                  InvalidDType);
  const auto stack = [](const std::vector<CsrPattern>& blocks) {
    hstack(blocks, nullptr, nullptr, nullptr);
  };
  CsrPattern higher = a.pattern(), longest = a.pattern();
  ++higher.rows;
  longest.cols = std::int64_t{1} << 30;
  CHECK_THROWS_AS(stack({}), InvalidArgument);
  CHECK_THROWS_AS(stack({a.pattern(), higher}), InvalidArgument);
  CHECK_THROWS_AS(stack({a.pattern(), wide.pattern()}), InvalidDType);
  CHECK_THROWS_AS(stack({longest, longest}), InvalidArgument);
  CsrPattern tall = longest;
  tall.rows = std::int64_t{1} << 40;
  CHECK_THROWS_AS(kron(longest, longest, nullptr, nullptr, nullptr), InvalidArgument);
  CHECK_THROWS_AS(kron(tall, tall, nullptr, nullptr, nullptr), InvalidArgument);
  CHECK_THROWS_AS(kron(a.pattern(), wide.pattern(), nullptr, nullptr, nullptr), InvalidDType);
  CHECK_THROWS_AS(kron(a.view(), precise.view(), nullptr, nullptr, nullptr), InvalidDType);
  const std::vector<CsrView> mixed{a.view(), precise.view()};
  CHECK_THROWS_AS(hstack(mixed, nullptr, nullptr, nullptr), InvalidDType);
}

TEST_SUITE_END();

TEST_CASE("combinations on several threads" * doctest::test_suite("threads")) {
  for (const BatteryMatrix& m : large_matrices()) {
    INFO("matrix " << m.name);
    check_union<std::int32_t>(m, 1);
    check_intersection<std::int32_t>(m, 1);
    check_hstack<std::int32_t>(m);
  }
}

}  // namespace gossamer::testing
