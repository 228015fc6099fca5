// SPDX-License-Identifier: Apache-2.0
#include "gossamer/matmul.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <utility>

#include "battery.hpp"
#include "core/visit.hpp"
#include "dense_operand.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"
#include "positions.hpp"

namespace gossamer::testing {
namespace {

template <class T, class I>
void check_product(const BatteryMatrix& matrix, Layout of_x, Layout of_y, std::int64_t columns,
                   bool conjugate = false) {
  OwnedCsr<T, I> a(matrix);
  Dense<T> x(of_x, a.cols, columns), y(of_y, a.rows, columns);
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  for (T& value : x.data) value = make_value<T>(normal(random), normal(random));
  const std::vector<ExactSum<T>> exact = exact_product(a, x.view, conjugate);
  const std::vector<T> untouched = y.data;
  const auto check = [&](const CsrView& view) {
    INFO("matrix " << matrix.name << ", dtype " << name(dtype_v<T>) << ", layouts "
                   << static_cast<int>(of_x) << " and " << static_cast<int>(of_y) << ", columns "
                   << columns << ", target " << simd_target() << ", runs " << view.pattern.runs);
    y.data = untouched;
    matmul(view, x.view, y.view, conjugate);
    std::size_t next = 0;
    std::int64_t wrong = 0;
    for_each_column<T>(y.view, [&](void* data, std::int64_t stride) {
      for (std::int64_t i = 0; i < a.rows; ++i) {
        wrong += !within_bound(static_cast<const T*>(data)[i * stride], exact[next++]);
      }
    });
    CHECK(wrong == 0);

    // Any number of threads gives the same bits, and memory between the elements stays as it was.
    const std::vector<T> first = y.data;
    for_each_thread_count([&] {
      y.data = untouched;
      matmul(view, x.view, y.view, conjugate);
      CHECK(std::memcmp(first.data(), y.data.data(), first.size() * sizeof(T)) == 0);
    });
  };
  const auto check_both = [&] {
    check(a.view());
    if (a.rows > 0) check(a.view_with_runs());
  };
  const bool gathers = std::is_floating_point_v<T> && x.view.rank == 1;
  gathers ? for_each_target_and_gather(check_both) : for_each_target(check_both);
}

template <class T, class I>
void check_product(const BatteryMatrix& matrix, Layout layout, std::int64_t columns,
                   bool conjugate = false) {
  check_product<T, I>(matrix, layout, layout, columns, conjugate);
}

/// `length` positions at random in each row, of real values.
BatteryMatrix scattered(std::int64_t rows, std::int64_t cols, std::int64_t length) {
  BatteryMatrix matrix{"scattered", rows, cols, {}, {}, {}, {}};
  std::mt19937_64 random(11);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t p = 0; p < length; ++p) {
      matrix.row.push_back(i);
      matrix.col.push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(cols)));
      matrix.real.push_back(static_cast<double>(random() % 1000) / 999);
      matrix.imag.push_back(0);
    }
  }
  return matrix;
}

template <class T>
void check_all_layouts(const BatteryMatrix& matrix) {
  using I = std::int32_t;
  for (Layout layout : {Layout::vector, Layout::every_third, Layout::reversed}) {
    check_product<T, I>(matrix, layout, 1);
  }
  check_product<T, std::int64_t>(matrix, Layout::vector, 1);
  if (matrix.row.size() > 50'000) return check_product<T, I>(matrix, Layout::rows, 5);
  for (std::int64_t columns : {2, 4, 7, 8, 45}) {
    check_product<T, I>(matrix, Layout::rows, columns, is_complex<T> && columns % 2 == 1);
  }
  check_product<T, std::int64_t>(matrix, Layout::rows, 6);
  check_product<T, I>(matrix, Layout::columns, 11, is_complex<T>);
  check_product<T, I>(matrix, Layout::batch, 5);
  check_product<T, I>(matrix, Layout::batch_of_vectors, 3);
}

/// A.T times X without a transposed structure, against the exact product of the transposed matrix.
template <class T, class I>
void check_transposed_product(const BatteryMatrix& matrix, Layout layout, std::int64_t columns,
                              bool conjugate = false) {
  BatteryMatrix swapped = matrix;
  std::swap(swapped.rows, swapped.cols);
  std::swap(swapped.row, swapped.col);
  const OwnedCsr<T, I> a(matrix), transposed(swapped);
  Dense<T> x(layout, a.rows, columns), y(layout, a.cols, columns);
  std::mt19937 random(2);
  std::normal_distribution<double> normal;
  for (T& value : x.data) value = make_value<T>(normal(random), normal(random));
  const std::vector<ExactSum<T>> exact = exact_product(transposed, x.view, conjugate);
  const std::vector<T> untouched = y.data;
  for_each_target([&] {
    INFO("matrix " << matrix.name << ", dtype " << name(dtype_v<T>) << ", layout "
                   << static_cast<int>(layout) << ", target " << simd_target());
    const auto multiply = [&] {
      y.data = untouched;
      matmul_transposed(a.view(), row_pieces(a.view().pattern), x.view, y.view, conjugate);
    };
    multiply();
    std::size_t next = 0;
    std::int64_t wrong = 0;
    for_each_column<T>(y.view, [&](void* data, std::int64_t stride) {
      for (std::int64_t j = 0; j < a.cols; ++j) {
        wrong += !within_bound(static_cast<const T*>(data)[j * stride], exact[next++]);
      }
    });
    CHECK(wrong == 0);
    const std::vector<T> first = y.data;
    for_each_thread_count([&] {
      multiply();
      CHECK(std::memcmp(first.data(), y.data.data(), first.size() * sizeof(T)) == 0);
    });
  });
}

/// A times x by its entries, in the order of the battery; and the sums of its rows.
template <class T, class I>
void check_product_of_entries(const BatteryMatrix& matrix, Layout layout, bool conjugate = false) {
  const OwnedCoo<I> coo(matrix);
  std::vector<T> values;
  for (std::size_t p = 0; p < coo.row.size(); ++p) {
    values.push_back(make_value<T>(matrix.real[p], matrix.imag[p]));
  }
  const CooView a{coo.pattern(), dtype_v<T>, values.data()};
  Dense<T> x(layout, coo.cols, 1), y(layout, coo.rows, 1);
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  for (T& value : x.data) value = make_value<T>(normal(random), normal(random));
  const std::vector<ExactSum<T>> exact = exact_product(OwnedCsr<T, I>(matrix), x.view, conjugate);
  std::vector<ExactSum<T>> exact_sums(static_cast<std::size_t>(coo.rows));
  for (std::size_t p = 0; p < values.size(); ++p) {
    exact_sums[static_cast<std::size_t>(coo.row[p])].add(values[p], make_value<T>(1, 0));
  }
  const std::vector<T> untouched = y.data;
  for_each_target([&] {
    const auto multiply = [&] {
      y.data = untouched;
      matmul_coo(a, x.view, y.view, conjugate);
      std::vector<T> sums(exact_sums.size(), make_value<T>(7, 7));
      row_sums_coo(a, sums.data());
      return sums;
    };
    const std::vector<T> sums = multiply();
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const T* const got =
          static_cast<const T*>(y.view.data) + static_cast<std::int64_t>(i) * y.view.strides[0];
      wrong += !within_bound(*got, exact[i]) + !within_bound(sums[i], exact_sums[i]);
    }
    CHECK(wrong == 0);
    const std::vector<T> first = y.data;
    for_each_thread_count([&] {
      CHECK(same_bits(multiply(), sums));
      CHECK(same_bits(y.data, first));
    });
  });
}

}  // namespace

TEST_CASE("matmul is within the error bound on every path") {
  for (const BatteryMatrix& matrix : battery()) {
#define GOSSAMER_CHECK(enumerator, type, ...) check_all_layouts<type>(matrix);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  }
}

TEST_CASE("matmul multiplies by wide blocks of columns") {
  for (const BatteryMatrix& matrix : battery()) {
    if (matrix.row.size() > 5'000) continue;
    check_product<float, std::int32_t>(matrix, Layout::rows, 300);
    check_product<complex128, std::int32_t>(matrix, Layout::rows, 37, true);
    check_product<float, std::int32_t>(matrix, Layout::columns, 300);
    check_product<complex64, std::int32_t>(matrix, Layout::batch_of_vectors, 300, true);
    check_product<float, std::int32_t>(matrix, Layout::columns, Layout::rows, 150);
    check_product<double, std::int32_t>(matrix, Layout::rows, Layout::columns, 150);
  }
}

TEST_CASE("matmul copies strided columns in parts") {
  // 8 MiB hold 26 columns of the first; a cache line of the second's takes more.
  for (std::int64_t n : {40'000, 140'000}) {
    const BatteryMatrix matrix = scattered(n, n, 2);
    check_product<double, std::int32_t>(matrix, Layout::columns, Layout::rows, 41);
    check_product<double, std::int32_t>(matrix, Layout::columns, 18);
  }
}

TEST_CASE("matmul gives the same bits wherever the rows of X and Y begin") {
  const auto check = [&]<class T>(T) {
    constexpr std::int64_t line = 64 / sizeof(T);
    std::vector<BatteryMatrix> matrices = battery();
    matrices.push_back(scattered(300, 80, 30));  // each row of X is read often
    for (const BatteryMatrix& matrix : matrices) {
      if (matrix.row.size() > 10'000) continue;
      OwnedCsr<T, std::int32_t> a(matrix);
      for (std::int64_t columns : {line, 2 * line, 4 * line, 13 * line}) {
        const std::int64_t stride = columns + line;
        const auto room = [&](std::int64_t rows) {
          return std::vector<T>(static_cast<std::size_t>((rows + 2) * stride), T{7});
        };
        std::vector<T> x = room(a.cols), y = room(a.rows), expected;
        // Element `shift` past the first cache line of the memory.
        const auto placed = [&](std::vector<T>& data, std::int64_t rows, std::int64_t shift) {
          const auto past = reinterpret_cast<std::uintptr_t>(data.data()) % 64 / sizeof(T);
          ArrayView view =
              ArrayView::contiguous(data.data() + line - static_cast<std::int64_t>(past) + shift,
                                    dtype_v<T>, {rows, columns});
          view.strides[0] = stride;
          return view;
        };
        const auto same_bits = [&](const CsrView& view) {
          expected.clear();
          for (std::int64_t shift = 0; shift < line; ++shift) {
            // What lies around X must not be read into the sums.
            std::ranges::fill(x, std::numeric_limits<T>::quiet_NaN());
            const ArrayView x_view = placed(x, a.cols, shift);
            std::mt19937 random(4);
            for_each_column<T>(x_view, [&](void* column, std::int64_t step) {
              for (std::int64_t i = 0; i < a.cols; ++i) {
                static_cast<T*>(column)[i * step] = static_cast<T>(random() % 1000) / 999;
              }
            });
            std::ranges::fill(y, T{7});
            const ArrayView y_view = placed(y, a.rows, (3 * shift) % line);
            matmul(view, x_view, y_view);
            std::vector<T> product;
            for_each_column<T>(y_view, [&](void* column, std::int64_t step) {
              for (std::int64_t i = 0; i < a.rows; ++i) {
                T& element = static_cast<T*>(column)[i * step];
                product.push_back(std::exchange(element, T{7}));
              }
            });
            if (shift == 0) expected = product;
            INFO("matrix " << matrix.name << ", columns " << columns << ", shift " << shift
                           << ", target " << simd_target() << ", runs " << view.pattern.runs);
            const bool same = product.empty() || std::memcmp(product.data(), expected.data(),
                                                             product.size() * sizeof(T)) == 0;
            CHECK(same);
            CHECK(std::ranges::count(y, T{7}) == static_cast<std::ptrdiff_t>(y.size()));
          }
        };
        for_each_target([&] {
          same_bits(a.view());
          if (a.rows > 0) same_bits(a.view_with_runs());
        });
      }
    }
  };
  check(float{});
  check(double{});
}

// As expand() of PyTorch makes them: more bytes than 64 bits count, in the memory of one row; and
// one row, whose stride may be anything.
TEST_CASE("matmul counts rows of X that share memory, and strides of one row, without overflow") {
  std::vector<float> x(17, 3), y(32);
  const std::vector<std::int64_t> indptr{0, 2, 4}, indices(4);
  const std::vector<float> values(4, 1);
  for (const int power : {0, 56, 57, 58}) {
    INFO("2**" << power << " rows");
    const std::int64_t cols = std::int64_t{1} << power;
    const CsrPattern pattern{2, cols, 4, DType::int64, indptr.data(), indices.data()};
    ArrayView x_view = ArrayView::contiguous(x.data() + 1, DType::float32, {1, 16});
    x_view.shape[0] = cols;
    x_view.strides[0] = power == 0 ? std::int64_t{1} << 62 : 0;
    std::ranges::fill(y, 0.0f);
    matmul({pattern, DType::float32, values.data()}, x_view,
           ArrayView::contiguous(y.data(), DType::float32, {2, 16}));
    CHECK(y == std::vector<float>(32, 6));
  }
}

TEST_CASE("matmul_transposed is within the error bound for any number of threads") {
  for (const BatteryMatrix& matrix : battery()) {
#define GOSSAMER_CHECK(enumerator, type, ...)                                   \
  for (Layout layout : {Layout::vector, Layout::every_third, Layout::reversed}) \
    check_transposed_product<type, std::int32_t>(matrix, layout, 1);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
    check_transposed_product<double, std::int64_t>(matrix, Layout::vector, 1);
    check_transposed_product<complex64, std::int32_t>(matrix, Layout::vector, 1, true);
    if (matrix.row.size() > 50'000) continue;
    check_transposed_product<float, std::int32_t>(matrix, Layout::rows, 3);
    check_transposed_product<float, std::int32_t>(matrix, Layout::batch_of_vectors, 3);
  }
}

TEST_CASE("matmul_coo is within the error bound for any number of threads") {
  std::vector<BatteryMatrix> all = matrices();
  for (BatteryMatrix& matrix : all) {
    INFO("matrix " << matrix.name);
#define GOSSAMER_CHECK(enumerator, type, ...)                                   \
  for (Layout layout : {Layout::vector, Layout::every_third, Layout::reversed}) \
    check_product_of_entries<type, std::int32_t>(matrix, layout);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
    check_product_of_entries<double, std::int64_t>(matrix, Layout::vector);
    check_product_of_entries<complex64, std::int32_t>(matrix, Layout::vector, true);
  }
  const OwnedCoo<std::int32_t> coo(battery().back());
  const std::vector<float> values(coo.row.size());
  const CooView a{coo.pattern(), DType::float32, values.data()};
  Dense<float> x(Layout::rows, a.pattern.cols, 2), y(Layout::rows, a.pattern.rows, 2);
  CHECK_THROWS_AS(matmul_coo(a, x.view, y.view), InvalidArgument);
  Dense<float> longer(Layout::vector, a.pattern.cols + 1, 1),
      sum(Layout::vector, a.pattern.rows, 1);
  CHECK_THROWS_AS(matmul_coo(a, longer.view, sum.view), InvalidArgument);
  Dense<double> precise(Layout::vector, a.pattern.cols, 1);
  CHECK_THROWS_AS(matmul_coo(a, precise.view, sum.view), InvalidDType);
}

TEST_CASE("row_pieces cover every row, and their columns are few") {
  for (const BatteryMatrix& matrix : battery()) {
    const OwnedCsr<float, std::int32_t> a(matrix);
    const std::vector<RowPiece> pieces = row_pieces(a.view().pattern);
    INFO("matrix " << matrix.name << ", pieces " << pieces.size());
    std::int64_t next = 0, columns = 0;
    for (const RowPiece& piece : pieces) {
      CHECK(piece.begin == next);
      next = piece.end;
      columns += piece.last - piece.first;
      for (int p = a.indptr[static_cast<std::size_t>(piece.begin)];
           p < a.indptr[static_cast<std::size_t>(piece.end)]; ++p) {
        const int column = a.indices[static_cast<std::size_t>(p)];
        CHECK((piece.first <= column && column < piece.last));
      }
    }
    CHECK(next == a.rows);
    if (pieces.size() > 2) CHECK(2 * columns <= static_cast<std::int64_t>(a.indices.size()));
  }
}

TEST_CASE("row_pieces are not widened by rows without entries") {
  std::mt19937_64 random(7);
  BatteryMatrix matrix{"empty rows first", 60'000, 2'000'000, {}, {}, {}, {}};
  for (std::int64_t i = 40'000; i < matrix.rows; ++i) {
    for (std::int64_t p = 0; p < 20; ++p) {
      matrix.row.push_back(i);
      matrix.col.push_back(1000 * p + static_cast<std::int64_t>(random() % 1000));
      matrix.real.push_back(1);
      matrix.imag.push_back(0);
    }
  }
  const OwnedCsr<float, std::int32_t> a(matrix);
  const std::vector<RowPiece> pieces = row_pieces(a.view().pattern);
  CHECK(pieces.size() > 2);
  for (const RowPiece& piece : pieces) {
    CHECK((piece.first == piece.last || piece.last <= 20'000));
  }
}

TEST_CASE("matmul sums a long row in parts, which do not depend on the threads") {
  constexpr std::int64_t length = 200'000, part = 32'768;
  BatteryMatrix matrix{"arrow", 5, length, {}, {}, {}, {}};
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  const auto add = [&](std::int64_t row, std::int64_t column) {
    matrix.row.push_back(row);
    matrix.col.push_back(column);
    matrix.real.push_back(normal(random));
    matrix.imag.push_back(normal(random));
  };
  add(0, 7);
  for (std::int64_t row : {1, 3}) {
    for (std::int64_t column = 0; column < length; ++column) add(row, column);
  }
  add(4, 9);
  const auto check = [&]<class T>(T) {
    for (std::int64_t columns : {1, 3})
      check_product<T, std::int32_t>(matrix, Layout::rows, columns);
    check_product<T, std::int64_t>(matrix, Layout::batch, 2);

    // Row 3 is the sum of products with its parts, each a matrix of its own.
    OwnedCsr<T, std::int32_t> a(matrix);
    std::vector<T> x(static_cast<std::size_t>(length)), y(5);
    for (T& value : x) value = make_value<T>(normal(random), normal(random));
    const ArrayView x_view = ArrayView::contiguous(x.data(), dtype_v<T>, {length});
    matmul(a.view(), x_view, ArrayView::contiguous(y.data(), dtype_v<T>, {5}));
    T sum{};
    for (std::int64_t first = 0; first < length; first += part) {
      CsrView row = a.view();
      const std::vector<std::int32_t> offsets{
          0, static_cast<std::int32_t>(std::min(part, length - first))};
      const std::int64_t at = a.indptr[3] + first;
      row.pattern.rows = 1;
      row.pattern.nnz = offsets[1];
      row.pattern.indptr = offsets.data();
      row.pattern.indices = a.indices.data() + at;
      row.values = a.values.data() + at;
      T product{};
      matmul(row, x_view, ArrayView::contiguous(&product, dtype_v<T>, {1}));
      sum = first == 0 ? product : sum + product;
    }
    CHECK(sum == y[3]);
  };
  check(float{});
  check(double{});
  check(complex64{});
}

TEST_CASE("matmul multiplies long rows panel by panel, their columns in any order") {
  BatteryMatrix matrix{"long rows", 90, 25'000, {}, {}, {}, {}};
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  for (std::int64_t i = 0; i < matrix.rows; ++i) {
    // Rows end within a vector and within a group of them; some are short, one is much longer.
    const std::int64_t length = i == 40 ? 6'000 : i % 9 == 4 ? 8 * (i / 9) : 650 + random() % 100;
    std::vector<std::int64_t> columns;
    for (std::int64_t p = 0; p < length; ++p) columns.push_back(random() % matrix.cols);
    if (i % 7 != 0) std::ranges::sort(columns);
    if (i % 11 == 1) std::ranges::reverse(columns);
    for (const std::int64_t column : columns) {
      matrix.row.push_back(i);
      matrix.col.push_back(column);
      matrix.real.push_back(normal(random));
      matrix.imag.push_back(0);
    }
  }
  check_product<float, std::int32_t>(matrix, Layout::vector, 1);
  check_product<float, std::int64_t>(matrix, Layout::vector, 1);
  check_product<double, std::int32_t>(matrix, Layout::vector, 1);
}

TEST_CASE("matmul's reference is within the error bound") {
  for (const BatteryMatrix& matrix : battery()) {
    const OwnedCsr<float, std::int32_t> a(matrix);
    Dense<float> x(Layout::vector, a.cols, 1), y(Layout::vector, a.rows, 1);
    for (std::size_t j = 0; j < x.data.size(); ++j) x.data[j] = 1.0f / static_cast<float>(j + 1);
    reference::matmul(a.view(), x.view, y.view);
    for (std::int64_t i = 0; i < a.rows; ++i) {
      ExactSum<float> exact;
      const std::size_t row = static_cast<std::size_t>(i);
      for (int p = a.indptr[row]; p < a.indptr[row + 1]; ++p) {
        const std::size_t slot = static_cast<std::size_t>(p);
        exact.add(a.values[slot], x.data[static_cast<std::size_t>(a.indices[slot])]);
      }
      CHECK(within_bound(y.data[row], exact));
    }
  }
}

TEST_CASE("matmul refuses operands that do not fit") {
  const BatteryMatrix& matrix = battery().back();
  const OwnedCsr<float, std::int32_t> a(matrix);
  std::vector<float> memory(static_cast<std::size_t>(4 * (a.rows + a.cols)));
  const auto dense = [&](DType dtype, std::initializer_list<std::int64_t> shape) {
    return ArrayView::contiguous(memory.data(), dtype, shape);
  };
  const ArrayView x = dense(DType::float32, {a.cols}), y = dense(DType::float32, {a.rows});
  CHECK_THROWS_AS(matmul(a.view(), dense(DType::float32, {a.cols + 1}), y), InvalidArgument);
  CHECK_THROWS_AS(matmul(a.view(), x, dense(DType::float32, {a.rows - 1})), InvalidArgument);
  CHECK_THROWS_AS(matmul(a.view(), x, dense(DType::float32, {a.rows, 1})), InvalidArgument);
  CHECK_THROWS_AS(matmul(a.view(), dense(DType::float32, {}), y), InvalidArgument);
  CHECK_THROWS_AS(matmul(a.view(), dense(DType::float64, {a.cols}), y), InvalidDType);
}

}  // namespace gossamer::testing
