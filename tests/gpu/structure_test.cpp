// SPDX-License-Identifier: Apache-2.0
#include "gossamer/cuda/structure.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "device_csr.hpp"
#include "gossamer/cuda/spgemm.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/spgemm.hpp"
#include "ops/structure/structure_reference.hpp"

namespace gossamer::testing {
namespace {

const cuda::Stream stream;

template <class I>
struct Positions {
  Positions(std::int64_t rows, std::int64_t nnz)
      : indptr(static_cast<std::size_t>(rows + 1)),
        indices(static_cast<std::size_t>(nnz)),
        map(static_cast<std::size_t>(nnz)) {}

  std::vector<I> indptr, indices, map;
};

template <class I>
struct DevicePositions {
  DevicePositions(std::int64_t rows, std::int64_t nnz)
      : indptr(static_cast<std::size_t>(rows + 1)),
        indices(static_cast<std::size_t>(nnz)),
        map(static_cast<std::size_t>(nnz)) {}

  void check_equal(const Positions<I>& expected) const {
    CHECK(indptr.host() == expected.indptr);
    CHECK(indices.host() == expected.indices);
    CHECK(map.host() == expected.map);
  }

  DeviceMemory<I> indptr, indices, map;
};

template <class I>
void check_matrix(const BatteryMatrix& matrix) {
  INFO("matrix " << matrix.name << ", indices " << name(dtype_v<I>));
  const OwnedCsr<float, I> a(matrix);
  const DeviceCsr<float, I> device(a);
  const CsrPattern pattern = a.pattern();
  const DeviceMemory<char> scratch(cuda::sort_workspace(pattern.nnz, pattern.index_dtype));

  Positions<I> expected(a.cols, pattern.nnz);
  reference::transpose(pattern, expected.indptr.data(), expected.indices.data(),
                       expected.map.data());
  const DevicePositions<I> transposed(a.cols, pattern.nnz);
  cuda::transpose(device.pattern(), transposed.indptr.data(), transposed.indices.data(),
                  transposed.map.data(), scratch.workspace(), stream);
  transposed.check_equal(expected);

  const std::vector<I> row(matrix.row.begin(), matrix.row.end());
  const std::vector<I> col(matrix.col.begin(), matrix.col.end());
  const DeviceMemory<I> device_row(row), device_col(col);
  for (bool sorted : {false, true}) {
    Positions<I> compressed(a.rows, pattern.nnz);
    reference::coo_to_csr({a.rows, a.cols, pattern.nnz, dtype_v<I>, row.data(), col.data()}, sorted,
                          compressed.indptr.data(), compressed.indices.data(),
                          compressed.map.data());
    const DevicePositions<I> found(a.rows, pattern.nnz);
    cuda::coo_to_csr(
        {a.rows, a.cols, pattern.nnz, dtype_v<I>, device_row.data(), device_col.data()}, sorted,
        found.indptr.data(), found.indices.data(), found.map.data(), scratch.workspace(), stream);
    found.check_equal(compressed);
  }

  const DeviceMemory<I> rows(row.size());
  cuda::csr_to_coo(device.pattern(), rows.data(), stream);
  std::vector<I> expected_rows(row.size());
  reference::csr_to_coo(pattern, expected_rows.data());
  CHECK(rows.host() == expected_rows);

  Positions<I> ordered(a.rows, pattern.nnz);
  ordered.indptr = a.indptr;
  reference::sort_indices(pattern, ordered.indices.data(), ordered.map.data());
  const DeviceMemory<I> indices(row.size()), map(row.size());
  cuda::sort_indices(device.pattern(), indices.data(), map.data(), scratch.workspace(), stream);
  CHECK(indices.host() == ordered.indices);
  CHECK(map.host() == ordered.map);

  CsrPattern sorted = pattern, device_sorted = device.pattern();
  sorted.indices = ordered.indices.data();
  device_sorted.indices = indices.data();
  std::vector<I> offsets(a.indptr.size());
  const std::int64_t count = reference::count_distinct(sorted, offsets.data());
  const DeviceMemory<I> device_offsets(offsets.size());
  const DeviceMemory<char> space(cuda::count_distinct_workspace(device_sorted));
  REQUIRE(cuda::count_distinct(device_sorted, device_offsets.data(), space.workspace(), stream) ==
          count);
  CHECK(device_offsets.host() == offsets);
  std::vector<I> columns(static_cast<std::size_t>(count)), segments(columns.size() + 1);
  reference::fill_distinct(sorted, offsets.data(), columns.data(), segments.data());
  const DeviceMemory<I> device_columns(columns.size()), device_segments(segments.size());
  cuda::fill_distinct(device_sorted, device_offsets.data(), device_columns.data(),
                      device_segments.data(), stream);
  CHECK(device_columns.host() == columns);
  CHECK(device_segments.host() == segments);
}

template <class I>
void check_scan(const BatteryMatrix& matrix) {
  INFO("matrix " << matrix.name << ", indices " << name(dtype_v<I>));
  const OwnedCsr<float, I> a(matrix);
  const DeviceCsr<float, I> device(a);
  const DeviceMemory<char> scratch(256);
  const auto agree = [](const cuda::PatternScan& found, const PatternProperties& expected) {
    CHECK(found.valid);
    CHECK(found.properties.sorted_indices == expected.sorted_indices);
    CHECK(found.properties.canonical == expected.canonical);
  };
  agree(cuda::scan(device.pattern(), scratch.workspace(), stream), validate(a.pattern()));
  const std::vector<I> row(matrix.row.begin(), matrix.row.end());
  const std::vector<I> col(matrix.col.begin(), matrix.col.end());
  const DeviceMemory<I> device_row(row), device_col(col);
  const auto nnz = static_cast<std::int64_t>(row.size());
  agree(
      cuda::scan(CooPattern{a.rows, a.cols, nnz, dtype_v<I>, device_row.data(), device_col.data()},
                 scratch.workspace(), stream),
      validate(CooPattern{a.rows, a.cols, nnz, dtype_v<I>, row.data(), col.data()}));
  for (const I wrong : {I{-1}, static_cast<I>(matrix.cols)}) {
    if (nnz == 0) continue;
    std::vector<I> indices = a.indices, offsets = a.indptr;
    indices[indices.size() / 2] = wrong;
    const DeviceMemory<I> changed(indices);
    CsrPattern pattern = device.pattern();
    pattern.indices = changed.data();
    CHECK_FALSE(cuda::scan(pattern, scratch.workspace(), stream).valid);
    CHECK_FALSE(
        cuda::scan(CooPattern{a.rows, a.cols, nnz, dtype_v<I>, device_row.data(), changed.data()},
                   scratch.workspace(), stream)
            .valid);
    offsets[offsets.size() / 2] = static_cast<I>(nnz + 1);
    const DeviceMemory<I> moved(offsets);
    pattern = device.pattern();
    pattern.indptr = moved.data();
    CHECK_FALSE(cuda::scan(pattern, scratch.workspace(), stream).valid);
  }
}

/// The nonzeros of a dense matrix, row-major and column-major, as the host finds them.
template <class T, class I>
void check_nonzeros(double threshold) {
  const std::int64_t rows = 45, cols = 77;
  std::vector<T> dense(static_cast<std::size_t>(rows * cols));
  for (std::size_t i = 0; i < dense.size(); ++i) {
    const auto level = static_cast<double>(i * 2654435761u % 11);
    dense[i] = make_value<T>(level < 5 ? 0.0 : level - 8, level == 4 ? 0.5 : 0.0);
  }
  dense[100] = make_value<T>(std::numeric_limits<double>::quiet_NaN(), 0);
  const DeviceMemory<T> device(dense);
  for (const bool by_rows : {true, false}) {
    ArrayView view = ArrayView::contiguous(dense.data(), dtype_v<T>, {rows, cols});
    if (!by_rows) {
      std::swap(view.shape[0], view.shape[1]);
      std::swap(view.strides[0], view.strides[1]);
    }
    std::vector<I> indptr(static_cast<std::size_t>(view.shape[0] + 1));
    const std::int64_t nnz = count_nonzeros(view, threshold, dtype_v<I>, indptr.data());
    std::vector<I> indices(static_cast<std::size_t>(nnz));
    std::vector<T> values(indices.size());
    fill_nonzeros(view, threshold, dtype_v<I>, indptr.data(), indices.data(), values.data());

    view.data = device.data();
    const DeviceMemory<char> scratch(cuda::count_nonzeros_workspace(view, dtype_v<I>));
    const DeviceMemory<I> found(indptr.size()), columns(indices.size());
    const DeviceMemory<T> moved(values.size());
    REQUIRE(cuda::count_nonzeros(view, threshold, dtype_v<I>, found.data(), scratch.workspace(),
                                 stream) == nnz);
    cuda::fill_nonzeros(view, threshold, dtype_v<I>, found.data(), columns.data(), moved.data(),
                        stream);
    CHECK(found.host() == indptr);
    CHECK(columns.host() == indices);
    CHECK(std::memcmp(moved.host().data(), values.data(), values.size() * sizeof(T)) == 0);
  }
}

/// The positions of A B, as the host finds them, and for canonical operands whose products are
/// whole numbers the values.
template <class I>
void check_product(const BatteryMatrix& left, const BatteryMatrix& right, bool whole) {
  INFO("A " << left.name << ", B " << right.name << ", indices " << name(dtype_v<I>));
  const OwnedCsr<float, I> a(left), b(right);
  const DeviceCsr<float, I> device_a(a), device_b(b);
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(a.rows + 1));
  const std::int64_t nnz = spgemm_count(a.pattern(), b.pattern(), offsets.data());
  const DeviceMemory<std::int64_t> found(offsets.size());
  const DeviceMemory<char> scratch(cuda::spgemm_workspace(device_a.pattern(), device_b.pattern()));
  REQUIRE(cuda::spgemm_count(device_a.pattern(), device_b.pattern(), found.data(),
                             scratch.workspace(), stream) == nnz);
  CHECK(found.host() == offsets);
  const auto check_columns = [&]<class J>(J) {
    std::vector<J> indices(static_cast<std::size_t>(nnz));
    spgemm_fill(a.view(), b.view(), offsets.data(), dtype_v<J>, indices.data(), nullptr);
    const DeviceMemory<J> columns(indices.size());
    cuda::spgemm_fill(device_a.pattern(), device_b.pattern(), found.data(), dtype_v<J>,
                      columns.data(), scratch.workspace(), stream);
    CHECK(columns.host() == indices);
    if (!whole || !std::is_same_v<I, J>) return;
    std::vector<float> values(indices.size());
    spgemm_fill(a.view(), b.view(), offsets.data(), dtype_v<J>, indices.data(), values.data());
    const DeviceMemory<I> indptr(std::vector<I>(offsets.begin(), offsets.end()));
    const DeviceMemory<float> sums(values.size());
    cuda::spgemm_values(device_a.view(), device_b.view(),
                        {a.rows, b.cols, nnz, dtype_v<I>, indptr.data(), columns.data()},
                        sums.data(), stream);
    CHECK(sums.host() == values);
  };
  check_columns(I{});
  check_columns(std::int64_t{});
}

/// A matrix whose row i has products of every kind: 40 rows, row i with 4^(i % 8) entries or so.
BatteryMatrix growing_rows(std::int64_t cols) {
  BatteryMatrix m;
  m.name = "growing rows";
  m.rows = 40;
  m.cols = cols;
  for (std::int64_t i = 0; i < m.rows; ++i) {
    const std::int64_t count = std::min(cols, std::int64_t{1} << 2 * (i % 8));
    for (std::int64_t k = 0; k < count; ++k) {
      m.row.push_back(i);
      m.col.push_back(k * (cols / count) + i % (cols / count));
      m.real.push_back(1.0);
      m.imag.push_back(0.0);
    }
  }
  return m;
}

}  // namespace

TEST_CASE("structural operations give the positions and maps of their references") {
  for (const BatteryMatrix& matrix : reduced_battery()) {
    check_matrix<std::int32_t>(matrix);
    check_matrix<std::int64_t>(matrix);
  }
}

TEST_CASE("positions are validated, and their order found, as on the host") {
  for (const BatteryMatrix& matrix : reduced_battery()) {
    check_scan<std::int32_t>(matrix);
    check_scan<std::int64_t>(matrix);
  }
}

TEST_CASE("the nonzeros of dense matrices are those that the host finds") {
  for (const double threshold : {0.0, 1.5}) {
#define GOSSAMER_CHECK(enumerator, type, ...)    \
  check_nonzeros<type, std::int32_t>(threshold); \
  check_nonzeros<type, std::int64_t>(threshold);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  }
}

TEST_CASE("sparse products have the positions that the host finds") {
  const BatteryMatrix right = growing_rows(20'011);
  BatteryMatrix left = growing_rows(right.rows);
  for (const BatteryMatrix& b : {right, left}) {
    check_product<std::int32_t>(left, b, true);
    check_product<std::int64_t>(left, b, true);
  }
  for (const BatteryMatrix& matrix : reduced_battery()) {
    if (matrix.rows == matrix.cols) check_product<std::int32_t>(matrix, matrix, false);
  }
  left.rows = 0;
  left.row.clear(), left.col.clear(), left.real.clear(), left.imag.clear();
  check_product<std::int32_t>(left, right, true);
}

TEST_CASE("structural operations refuse a workspace that is too small") {
  const OwnedCsr<float, std::int32_t> host(reduced_battery().back());
  const DeviceCsr<float, std::int32_t> a(host);
  CHECK_THROWS_AS(cuda::sort_indices(a.pattern(), nullptr, nullptr, {}, stream), InvalidArgument);
  CHECK_THROWS_AS(cuda::transpose(a.pattern(), nullptr, nullptr, nullptr, {}, stream),
                  InvalidArgument);
}

}  // namespace gossamer::testing
