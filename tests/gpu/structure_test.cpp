// SPDX-License-Identifier: Apache-2.0
#include "gossamer/cuda/structure.hpp"

#include <doctest/doctest.h>

#include "device_csr.hpp"
#include "gossamer/errors.hpp"
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

}  // namespace

TEST_CASE("structural operations give the positions and maps of their references") {
  for (const BatteryMatrix& matrix : reduced_battery()) {
    check_matrix<std::int32_t>(matrix);
    check_matrix<std::int64_t>(matrix);
  }
}

TEST_CASE("structural operations refuse a workspace that is too small") {
  const OwnedCsr<float, std::int32_t> host(reduced_battery().back());
  const DeviceCsr<float, std::int32_t> a(host);
  CHECK_THROWS_AS(cuda::sort_indices(a.pattern(), nullptr, nullptr, {}, stream), InvalidArgument);
  CHECK_THROWS_AS(cuda::transpose(a.pattern(), nullptr, nullptr, nullptr, {}, stream),
                  InvalidArgument);
}

}  // namespace gossamer::testing
