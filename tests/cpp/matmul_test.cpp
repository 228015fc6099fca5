// SPDX-License-Identifier: Apache-2.0
#include "gossamer/matmul.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "battery.hpp"
#include "core/visit.hpp"
#include "error_bound.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/simd.hpp"
#include "gossamer/threads.hpp"

namespace gossamer::testing {
namespace {

/// How the elements of X and Y lie in memory.
enum class Layout { vector, every_third, reversed, rows, columns, batch, batch_of_vectors };

/// A dense operand with its memory: `length` rows, laid out as asked.
template <class T>
struct Dense {
  Dense(Layout layout, std::int64_t length, std::int64_t columns) {
    std::int64_t stride = 1;
    const auto axis = [&](std::int64_t extent, std::int64_t step) {
      view.shape[view.rank] = extent;
      view.strides[view.rank++] = step;
    };
    switch (layout) {
      case Layout::vector:
      case Layout::every_third:
      case Layout::reversed:
        stride = layout == Layout::every_third ? 3 : 1;
        axis(length, layout == Layout::reversed ? -1 : stride);
        break;
      case Layout::rows:
        axis(length, columns + 1);
        axis(columns, 1);
        break;
      case Layout::columns:
        axis(length, 1);
        axis(columns, length);
        break;
      case Layout::batch:
        axis(2, 2 * length * columns);
        axis(2, length * columns);
        axis(length, columns);
        axis(columns, 1);
        break;
      case Layout::batch_of_vectors:
        axis(columns, length);
        axis(length, 1);
        axis(1, 1);
        break;
    }
    data.resize(static_cast<std::size_t>((length + 1) * (4 * columns + 4)), make_value<T>(7, 7));
    view.dtype = dtype_v<T>;
    view.data = data.data() + (layout == Layout::reversed && length > 0 ? length - 1 : 0);
  }

  std::vector<T> data;
  ArrayView view;
};

template <class T, class Body>
void for_each_column(const ArrayView& array, Body&& body) {
  if (array.rank == 1) return body(array.data, array.strides[0]);
  const int rows = array.rank - 2;
  std::vector<std::int64_t> index(static_cast<std::size_t>(array.rank), 0);
  const auto walk = [&](auto&& self, int axis, std::int64_t offset) -> void {
    if (axis == rows) return self(self, axis + 1, offset);
    if (axis == array.rank) {
      return body(static_cast<T*>(array.data) + offset, array.strides[rows]);
    }
    for (std::int64_t i = 0; i < array.shape[axis]; ++i) {
      self(self, axis + 1, offset + i * array.strides[axis]);
    }
  };
  walk(walk, 0, 0);
}

/// Runs body for every instruction set that runs here.
template <class Body>
void for_each_target(Body&& body) {
  const std::string before = simd_target();
  for (const std::string& target : supported_simd_targets()) {
    set_simd_target(target);
    body();
  }
  set_simd_target(before);
}

/// The exact sums of A times every column of X, row by row within a column.
template <class T, class I>
std::vector<ExactSum<T>> exact_product(const OwnedCsr<T, I>& a, const ArrayView& x,
                                       bool conjugate) {
  std::vector<ExactSum<T>> sums;
  for_each_column<T>(x, [&](void* data, std::int64_t stride) {
    for (std::int64_t i = 0; i < a.rows; ++i) {
      ExactSum<T>& sum = sums.emplace_back();
      const std::size_t row = static_cast<std::size_t>(i);
      for (I p = a.indptr[row]; p < a.indptr[row + 1]; ++p) {
        const std::size_t slot = static_cast<std::size_t>(p);
        sum.add(conjugate ? conjugate_if<true>(a.values[slot]) : a.values[slot],
                static_cast<const T*>(data)[a.indices[slot] * stride]);
      }
    }
  });
  return sums;
}

template <class T, class I>
void check_product(const BatteryMatrix& matrix, Layout layout, std::int64_t columns,
                   bool conjugate = false) {
  const OwnedCsr<T, I> a(matrix);
  Dense<T> x(layout, a.cols, columns), y(layout, a.rows, columns);
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  for (T& value : x.data) value = make_value<T>(normal(random), normal(random));
  const std::vector<ExactSum<T>> exact = exact_product(a, x.view, conjugate);
  const std::vector<T> untouched = y.data;
  for_each_target([&] {
    INFO("matrix " << matrix.name << ", dtype " << name(dtype_v<T>) << ", layout "
                   << static_cast<int>(layout) << ", columns " << columns << ", target "
                   << simd_target());
    y.data = untouched;
    matmul(a.view(), x.view, y.view, conjugate);
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
    const int before = num_threads();
    for (int threads : {1, 4}) {
      y.data = untouched;
      set_num_threads(threads);
      matmul(a.view(), x.view, y.view, conjugate);
      CHECK(std::memcmp(first.data(), y.data.data(), first.size() * sizeof(T)) == 0);
    }
    set_num_threads(before);
  });
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
  }
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
