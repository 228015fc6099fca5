// SPDX-License-Identifier: Apache-2.0
#include "gossamer/spgemm.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>

#include "battery.hpp"
#include "error_bound.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::testing {
namespace {

/// A product's rows by column, exactly.
template <class T>
using ExactRows = std::vector<std::map<std::int64_t, ExactSum<T>>>;

template <class T, class I>
ExactRows<T> exact_product(const OwnedCsr<T, I>& a, const OwnedCsr<T, I>& b) {
  ExactRows<T> rows(static_cast<std::size_t>(a.rows));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (I p = a.indptr[i]; p < a.indptr[i + 1]; ++p) {
      const std::size_t k = static_cast<std::size_t>(a.indices[static_cast<std::size_t>(p)]);
      for (I q = b.indptr[k]; q < b.indptr[k + 1]; ++q) {
        rows[i][b.indices[static_cast<std::size_t>(q)]].add(a.values[static_cast<std::size_t>(p)],
                                                            b.values[static_cast<std::size_t>(q)]);
      }
    }
  }
  return rows;
}

template <class T, class I>
struct Product {
  std::vector<std::int64_t> indptr;
  std::vector<I> indices;
  std::vector<T> values;
};

template <class T, class I>
bool same_bits(const Product<T, I>& a, const Product<T, I>& b) {
  return a.indptr == b.indptr && a.indices == b.indices &&
         (a.values.empty() ||
          std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(T)) == 0);
}

template <class T, class I>
Product<T, I> multiply(const OwnedCsr<T, I>& a, const OwnedCsr<T, I>& b) {
  Product<T, I> c;
  c.indptr.resize(static_cast<std::size_t>(a.rows) + 1, -1);
  const std::int64_t nnz = spgemm_count(a.pattern(), b.pattern(), c.indptr.data());
  REQUIRE(nnz == c.indptr.back());
  c.indices.resize(static_cast<std::size_t>(nnz));
  c.values.resize(static_cast<std::size_t>(nnz));
  spgemm_fill(a.view(), b.view(), c.indptr.data(), dtype_v<I>, c.indices.data(), c.values.data());
  return c;
}

/// The same in one phase.
template <class T, class I>
Product<T, I> multiply_at_once(const OwnedCsr<T, I>& a, const OwnedCsr<T, I>& b) {
  Product<T, I> c;
  c.indptr.resize(static_cast<std::size_t>(a.rows) + 1, -1);
  SpgemmAtOnce product(a.view(), b.view(), c.indptr.data());
  // Doubles for their alignment, and not one more than it asks for.
  std::vector<double> workspace(static_cast<std::size_t>(product.workspace_bytes() + 7) / 8);
  const std::int64_t nnz = product.compute(workspace.data());
  REQUIRE(nnz == c.indptr.back());
  c.indices.resize(static_cast<std::size_t>(nnz));
  c.values.resize(static_cast<std::size_t>(nnz));
  product.collect(dtype_v<I>, c.indices.data(), c.values.data());
  return c;
}

template <class T, class I>
void check_product(const Product<T, I>& c, const ExactRows<T>& exact) {
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    std::size_t p = static_cast<std::size_t>(c.indptr[i]);
    REQUIRE(c.indptr[i + 1] - c.indptr[i] == static_cast<std::int64_t>(exact[i].size()));
    for (const auto& [column, sum] : exact[i]) {
      wrong += c.indices[p] != column || !within_bound(c.values[p], sum);
      ++p;
    }
  }
  CHECK(wrong == 0);
}

/// The products at the mask's positions, against the exact ones.
template <class T, class I>
void check_masked(const OwnedCsr<T, I>& a, const OwnedCsr<T, I>& b, const OwnedCsr<T, I>& mask,
                  const ExactRows<T>& exact, bool transpose_b) {
  std::vector<T> values(mask.indices.size(), make_value<T>(7, 7));
  spgemm_masked(a.view(), b.view(), mask.pattern(), values.data(), transpose_b);
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    for (I p = mask.indptr[i]; p < mask.indptr[i + 1]; ++p) {
      const auto found = exact[i].find(mask.indices[static_cast<std::size_t>(p)]);
      const ExactSum<T> sum = found == exact[i].end() ? ExactSum<T>() : found->second;
      wrong += !within_bound(values[static_cast<std::size_t>(p)], sum);
    }
  }
  CHECK(wrong == 0);
}

BatteryMatrix transposed(BatteryMatrix matrix) {
  std::swap(matrix.rows, matrix.cols);
  std::swap(matrix.row, matrix.col);
  return matrix;
}

template <class T, class I>
void check_spgemm(const BatteryMatrix& left, const BatteryMatrix& right) {
  const OwnedCsr<T, I> a(left), b(right);
  const ExactRows<T> exact = exact_product(a, b);
  INFO("matrix " << left.name << ", dtype " << name(dtype_v<T>));
  for_each_target([&] {
    INFO("target " << simd_target());
    const Product<T, I> first = multiply(a, b);
    check_product(first, exact);
    for_each_thread_count([&] {
      CHECK(same_bits(multiply(a, b), first));
      CHECK(same_bits(multiply_at_once(a, b), first));
    });
  });
}

/// Products of which A times its transpose consists.
double count_products(const BatteryMatrix& matrix) {
  std::vector<double> in_column(static_cast<std::size_t>(matrix.cols));
  for (std::int64_t j : matrix.col) ++in_column[static_cast<std::size_t>(j)];
  double products = 0;
  for (double count : in_column) products += count * count;
  return products;
}

}  // namespace

TEST_CASE("spgemm is canonical, within the error bound, and the same on any number of threads") {
  for (const BatteryMatrix& matrix : battery()) {
    if (count_products(matrix) > 3e5) continue;
#define GOSSAMER_CHECK(enumerator, type, ...) \
  check_spgemm<type, std::int32_t>(matrix, transposed(matrix));
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
    check_spgemm<float, std::int64_t>(matrix, transposed(matrix));
  }
}

TEST_CASE("spgemm of long and heavy rows") {
  for (const BatteryMatrix& matrix : battery()) {
    const double products = count_products(matrix);
    if (products <= 3e5 || products > 3e7) continue;
    check_spgemm<float, std::int32_t>(matrix, transposed(matrix));
    check_spgemm<double, std::int64_t>(matrix, transposed(matrix));
  }
}

// Element 2 n is 0 * -1 and element 2 n + 1 is 2 n, over 768 and 20,480 columns: marks of both
// kinds.
TEST_CASE("spgemm keeps elements that sum to -0") {
  for (const std::int64_t stride : {3, 80}) {
    const BatteryMatrix left{"two", 1, 2, {0, 0}, {0, 1}, {-1, 2}, {0, 0}};
    BatteryMatrix right{"zeros", 2, 256 * stride, {}, {}, {}, {}};
    for (std::int64_t p = 0; p < 512; ++p) {
      right.row.push_back(p / 256);
      right.col.push_back(p % 256 * stride + p / 256);
      right.real.push_back(p < 256 ? 0.0 : static_cast<double>(p - 256));
      right.imag.push_back(0);
    }
    const OwnedCsr<float, std::int32_t> a(left), b(right);
    for_each_target([&] {
      INFO("target " << simd_target() << ", stride " << stride);
      const auto c = multiply(a, b);
      REQUIRE(c.indices.size() == 512);
      std::int64_t wrong = 0;
      for (std::size_t n = 0; n < 256; ++n) {
        wrong += c.values[2 * n] != 0.0f || !std::signbit(c.values[2 * n]);
        wrong += c.values[2 * n + 1] != 2.0f * static_cast<float>(n);
        wrong += c.indices[2 * n] != b.indices[n] || c.indices[2 * n + 1] != b.indices[256 + n];
      }
      CHECK(wrong == 0);
      CHECK(same_bits(multiply_at_once(a, b), c));
    });
  }
}

// What is misaligned or overflows, UndefinedBehaviorSanitizer sees.
TEST_CASE("spgemm of odd products, and of the last column that int32 holds") {
  const BatteryMatrix left{"three", 1, 2, {0, 0}, {0, 1}, {1, 2}, {0, 0}};
  constexpr std::int64_t last = std::numeric_limits<std::int32_t>::max();
  const BatteryMatrix right{"last",    2,        last + 1, {0, 0, 1}, {last - 1, last, last},
                            {1, 2, 3}, {0, 0, 0}};
  check_spgemm<float, std::int32_t>(left, right);
  check_spgemm<float, std::int64_t>(left, right);
  // Too long for a group of rows: in a window, whose columns are walked eight at a time.
  BatteryMatrix wide{"window", 2, last + 1, {}, {}, {}, {}};
  for (std::int64_t p = 0; p < 300; ++p) {
    wide.row.push_back(p < 150 ? 0 : 1);
    wide.col.push_back(last - 450 + 3 * (p % 150) + (p == 149 ? 3 : 0));
    wide.real.push_back(static_cast<double>(p));
    wide.imag.push_back(0);
  }
  check_spgemm<float, std::int32_t>(left, wide);
  check_spgemm<float, std::int64_t>(left, wide);
}

TEST_CASE("spgemm at once converts columns, and counts where it does not compute") {
  const BatteryMatrix left{"two", 1, 2, {0, 0}, {0, 1}, {3, 2}, {0, 0}};
  const OwnedCsr<float, std::int32_t> a(left), b(transposed(left));
  std::int64_t indptr[3];
  SpgemmAtOnce product(b.view(), a.view(), indptr);
  CHECK(indptr[1] == 2);
  std::vector<double> workspace(static_cast<std::size_t>(product.workspace_bytes() + 7) / 8);
  CHECK(product.compute(workspace.data()) == 4);
  std::int64_t columns[4];
  float values[4];
  product.collect(DType::int64, columns, values);
  CHECK((columns[0] == 0 && columns[1] == 1 && columns[2] == 0 && columns[3] == 1));
  CHECK((values[0] == 9 && values[1] == 6 && values[2] == 6 && values[3] == 4));
  CHECK_THROWS_AS(product.count(), InvalidArgument);
  SpgemmAtOnce counted(a.view(), b.view(), indptr);
  CHECK(counted.count() == 1);
  CHECK(indptr[1] == 1);
  CHECK_THROWS_AS(counted.count(), InvalidArgument);
  CHECK_THROWS_AS(counted.collect(DType::int32, columns, values), InvalidArgument);
  CHECK_THROWS_AS(SpgemmAtOnce(a.view(), a.view(), indptr), InvalidArgument);
}

// What is read beyond B's arrays, AddressSanitizer sees: they end where the heap's blocks do.
TEST_CASE("spgemm reads nothing behind B where B's last row is empty") {
  const BatteryMatrix a{"one row", 1, 2, {0, 0}, {0, 1}, {1, 1}, {0, 0}};
  const BatteryMatrix b{"last row empty", 2, 2, {0, 0}, {0, 1}, {3, 4}, {0, 0}};
  check_spgemm<double, std::int32_t>(a, b);
  check_spgemm<float, std::int64_t>(a, b);
}

// More rows than a table's tags, a row of more products and one of more entries than its list.
TEST_CASE("spgemm of many rows in few columns") {
  std::mt19937_64 random(5);
  BatteryMatrix a{"short rows", 8000, 700, {}, {}, {}, {}};
  BatteryMatrix b{"few columns", 700, 300, {}, {}, {}, {}};
  const auto add = [&](BatteryMatrix& matrix, std::int64_t i, std::int64_t j) {
    matrix.row.push_back(i);
    matrix.col.push_back(j);
    matrix.real.push_back(static_cast<double>(random() % 7) - 3);
    matrix.imag.push_back(static_cast<double>(random() % 7) - 3);
  };
  for (std::int64_t i = 0; i < a.rows; ++i) {
    const bool full = i == 1000, first_rows = i == 2000;
    for (std::int64_t j = 0; j < a.cols; ++j) {
      if (full || (first_rows && j < 600) || random() % 200 == 0) add(a, i, j);
    }
  }
  for (std::int64_t i = 0; i < b.rows; ++i) {
    const std::int64_t length = i % 97 == 0 ? 40 : i < 600 ? i % 2 : 8;
    for (std::int64_t p = 0; p < length; ++p) add(b, i, static_cast<std::int64_t>(random() % 300));
  }
  check_spgemm<float, std::int32_t>(a, b);
  check_spgemm<complex128, std::int64_t>(a, b);
}

// Every length that a group sorts, and some beyond; from one row of B to the other some columns
// repeat.
TEST_CASE("spgemm of scattered rows of every length") {
  std::mt19937_64 random(17);
  constexpr std::int64_t longest = 140;
  BatteryMatrix a{"lengths", longest, 2 * longest, {}, {}, {}, {}};
  for (const std::int64_t columns : {std::int64_t{100'000}, std::int64_t{1} << 30}) {
    BatteryMatrix b{"scattered", 2 * longest, columns, {}, {}, {}, {}};
    const auto add = [&](BatteryMatrix& matrix, std::int64_t i, std::int64_t j) {
      matrix.row.push_back(i);
      matrix.col.push_back(j);
      matrix.real.push_back(static_cast<double>(random() % 7) - 3);
      matrix.imag.push_back(static_cast<double>(random() % 7) - 3);
    };
    for (std::int64_t i = 0; i < longest; ++i) {
      for (std::int64_t k : {2 * i, 2 * i + 1}) {
        if (a.row.size() < 2 * static_cast<std::size_t>(longest)) add(a, i, k);
        for (std::int64_t p = k % 2; p <= i; p += 2) {
          const std::int64_t column = p / 2 * (columns / longest) + (p % 5 == 0 ? 0 : k % 2);
          add(b, k, column);
        }
      }
    }
    check_spgemm<float, std::int32_t>(a, b);
    check_spgemm<double, std::int32_t>(a, b);
    check_spgemm<complex64, std::int64_t>(a, b);
  }
}

// One row of B without gaps or with, first or later; products from too few to more than columns.
TEST_CASE("spgemm of rows that reach far among few columns") {
  std::mt19937_64 random(23);
  for (const std::int64_t columns : {1, 15, 16, 17, 511, 512, 513, 2000}) {
    BatteryMatrix a{"entries", 40, 40, {}, {}, {}, {}}, b{"far", 40, columns, {}, {}, {}, {}};
    const auto add = [&](BatteryMatrix& matrix, std::int64_t i, std::int64_t j) {
      matrix.row.push_back(i);
      matrix.col.push_back(j);
      matrix.real.push_back(static_cast<double>(random() % 7) - 3);
      matrix.imag.push_back(static_cast<double>(random() % 7) - 3);
    };
    for (std::int64_t i = 0; i < 40; ++i) {
      for (std::int64_t e = 0; e < i; ++e) add(a, i, (i + 7 * e) % 40);
      const std::int64_t length = i == 0 ? 0 : std::min<std::int64_t>(columns, i % 20 + 1);
      const std::int64_t step = i % 5 == 0 ? 1 : columns / length;
      for (std::int64_t p = 0; p < length; ++p) add(b, i, columns - 1 - (length - 1 - p) * step);
    }
    check_spgemm<float, std::int32_t>(a, b);
    check_spgemm<double, std::int32_t>(a, b);
    check_spgemm<complex64, std::int64_t>(a, b);
    // Not canonical: a column twice.
    add(b, 39, columns - 1);
    check_spgemm<float, std::int64_t>(a, b);
    check_spgemm<bfloat16, std::int32_t>(a, b);
  }
}

// 12 MB, from the workspace to arrays that begin and end anywhere in a cache line.
TEST_CASE("spgemm at once copies large results past the caches") {
  constexpr std::int64_t rows = 1003, columns = 997;
  BatteryMatrix left{"column", rows, 1, {}, {}, {}, {}}, right{"row", 1, columns, {}, {}, {}, {}};
  for (std::int64_t i = 0; i < rows; ++i) {
    left.row.push_back(i);
    left.col.push_back(0);
    left.real.push_back(static_cast<double>(i));
    left.imag.push_back(0);
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    right.row.push_back(0);
    right.col.push_back(j);
    right.real.push_back(static_cast<double>(j % 101));
    right.imag.push_back(0);
  }
  const OwnedCsr<double, std::int32_t> a(left), b(right);
  constexpr std::size_t nnz = rows * columns, shift = 3;
  for_each_target([&] {
    INFO("target " << simd_target());
    const auto c = multiply(a, b);
    for_each_thread_count([&] {
      std::vector<std::int64_t> indptr(rows + 1);
      SpgemmAtOnce product(a.view(), b.view(), indptr.data());
      std::vector<double> workspace(static_cast<std::size_t>(product.workspace_bytes() + 7) / 8);
      REQUIRE(product.compute(workspace.data()) == static_cast<std::int64_t>(nnz));
      std::vector<std::int32_t> indices(nnz + 2 * shift, -7);
      std::vector<double> values(nnz + 2 * shift, -7);
      product.collect(DType::int32, indices.data() + shift, values.data() + shift);
      CHECK(std::memcmp(indices.data() + shift, c.indices.data(), nnz * 4) == 0);
      CHECK(std::memcmp(values.data() + shift, c.values.data(), nnz * 8) == 0);
      for (std::size_t n = 0; n < shift; ++n) {
        CHECK((indices[n] == -7 && indices[shift + nnz + n] == -7));
        CHECK((values[n] == -7 && values[shift + nnz + n] == -7));
      }
    });
  });
}

// Rows of a few shapes, moved right or left, broken now and then: between grids as between bands.
TEST_CASE("spgemm of rows that repeat earlier ones") {
  struct Shapes {
    std::int64_t period, length, gap, step;
  };
  for (const auto& [period, length, gap, step] :
       {Shapes{1, 5, 3, 1}, Shapes{2, 3, 40, 1}, Shapes{4, 4, 9, 2}, Shapes{6, 3, 5, 1},
        Shapes{1, 20, 1, 1}, Shapes{3, 1, 1, 1}, Shapes{2, 6, 30, -1}, Shapes{2, 4, 0, 1},
        Shapes{1, 30, 2, 1}}) {
    std::mt19937_64 random(11);
    const std::int64_t rows = 700;
    BatteryMatrix a{"shapes", rows, 2 * rows, {}, {}, {}, {}};
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t moved = step * (i / period) + (step < 0 ? rows : 0);
      for (std::int64_t p = 0; p < length + i % period; ++p) {
        const std::int64_t broken = i % 97 == 0 ? static_cast<std::int64_t>(random() % 3) : 0;
        a.row.push_back(i);
        a.col.push_back((moved + p * gap + broken) % a.cols);
        a.real.push_back(static_cast<double>(random() % 7) - 3);
        a.imag.push_back(static_cast<double>(random() % 7) - 3);
      }
    }
    INFO("period " << period << ", length " << length << ", step " << step);
    check_spgemm<float, std::int32_t>(a, transposed(a));
    check_spgemm<complex64, std::int64_t>(transposed(a), a);
    BatteryMatrix square = a;
    square.rows = a.cols;
    check_spgemm<double, std::int64_t>(square, square);
    check_spgemm<float16, std::int32_t>(square, square);
  }
}

TEST_CASE("spgemm with columns that 32 bits cannot hold") {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (std::int64_t per_row : {1, 3, 40, 300, 5000}) {
    BatteryMatrix a{"wide", 20, 30, {}, {}, {}, {}};
    BatteryMatrix b{"wide", 30, std::int64_t{1} << 45, {}, {}, {}, {}};
    const auto add = [&](BatteryMatrix& matrix, std::int64_t i, std::int64_t j) {
      matrix.row.push_back(i);
      matrix.col.push_back(j);
      matrix.real.push_back(normal(random));
      matrix.imag.push_back(normal(random));
    };
    for (int p = 0; p < 60; ++p) {
      add(a, static_cast<std::int64_t>(random() % 20), static_cast<std::int64_t>(random() % 30));
    }
    for (std::int64_t i = 0; i < b.rows; ++i) {
      for (std::int64_t p = 0; p < per_row; ++p) {
        const std::uint64_t far = random() % 4 * (std::uint64_t{1} << 43);
        add(b, i, static_cast<std::int64_t>(far + random() % (p % 2 == 0 ? 1'000 : 1'000'000'000)));
      }
    }
    INFO("per row " << per_row);
    check_spgemm<float, std::int64_t>(a, b);
    check_spgemm<complex128, std::int64_t>(a, b);
  }
}

TEST_CASE("masked products") {
  for (const BatteryMatrix& matrix : battery()) {
    if (matrix.row.size() > 50'000 || count_products(matrix) > 3e5) continue;
    using T = float;
    using I = std::int32_t;
    const BatteryMatrix other = transposed(matrix);
    const OwnedCsr<T, I> a(matrix), b(other);
    const ExactRows<T> exact = exact_product(a, b);
    // A mask of square shape, unsorted and with duplicates: what the matrix has, folded.
    BatteryMatrix folded = matrix;
    folded.cols = folded.rows;
    for (std::int64_t& j : folded.col) j %= std::max<std::int64_t>(1, folded.rows);
    const OwnedCsr<T, I> mask(folded);
    INFO("matrix " << matrix.name);
    for_each_target([&] {
      for_each_thread_count([&] {
        check_masked(a, b, mask, exact, false);
        check_masked(a, a, mask, exact, true);
      });
    });
  }
}

TEST_CASE("spgemm's reference agrees with the exact product") {
  for (const BatteryMatrix& matrix : battery()) {
    if (count_products(matrix) > 3e5) continue;
    const OwnedCsr<double, std::int32_t> a(matrix), b(transposed(matrix));
    Product<double, std::int32_t> c;
    c.indptr.resize(static_cast<std::size_t>(a.rows) + 1);
    const std::int64_t nnz = reference::spgemm_count(a.pattern(), b.pattern(), c.indptr.data());
    c.indices.resize(static_cast<std::size_t>(nnz));
    c.values.resize(static_cast<std::size_t>(nnz));
    reference::spgemm_fill(a.view(), b.view(), c.indptr.data(), DType::int32, c.indices.data(),
                           c.values.data());
    INFO("matrix " << matrix.name);
    check_product(c, exact_product(a, b));
  }
}

TEST_CASE("spgemm refuses operands that do not fit") {
  const OwnedCsr<float, std::int32_t> a(battery().back());
  const OwnedCsr<float, std::int64_t> wide(battery().back());
  std::vector<std::int64_t> indptr(static_cast<std::size_t>(a.rows) + 1);
  REQUIRE(a.rows != a.cols);
  CHECK_THROWS_AS(spgemm_count(a.pattern(), a.pattern(), indptr.data()), InvalidArgument);
  CHECK_THROWS(spgemm_count(a.pattern(), wide.pattern(), indptr.data()));
}

}  // namespace gossamer::testing
