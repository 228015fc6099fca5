// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "battery.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/structure.hpp"
#include "ops/structure/structure_reference.hpp"
#include "positions.hpp"

namespace gossamer::testing {
namespace {

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

}  // namespace

TEST_SUITE_BEGIN("structure");

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

TEST_CASE("dense matrices that do not fit are refused") {
  const OwnedCsr<float, std::int32_t> a(battery().back());
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
  const ArrayView wide = ArrayView::contiguous(static_cast<void*>(nullptr), DType::float32,
                                               {0, std::int64_t{1} << 31});
  CHECK_THROWS_AS(count_nonzeros(wide, 0, DType::int32, nullptr), InvalidArgument);
}

TEST_SUITE_END();

}  // namespace gossamer::testing
