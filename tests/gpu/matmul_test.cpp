// SPDX-License-Identifier: Apache-2.0
#include "gossamer/cuda/matmul.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "dense_operand.hpp"
#include "device_csr.hpp"
#include "gossamer/errors.hpp"
#include "ops/matmul/matmul_cuda_tuning.hpp"

namespace gossamer::testing {
namespace {

const cuda::Stream stream;

/// The schedule of a pattern's rows, and the memory it needs.
template <class T, class I>
struct PlannedRows {
  explicit PlannedRows(const DeviceCsr<T, I>& a) {
    const DeviceMemory<char> counts(256);
    schedule = cuda::plan_rows(a.pattern(), counts.workspace(), stream);
    if (schedule.even) return;
    const DeviceMemory<char> workspace(cuda::row_schedule_workspace(a.pattern()));
    memory = std::make_unique<DeviceMemory<I>>(static_cast<std::size_t>(schedule.elements()));
    cuda::fill_row_schedule(a.pattern(), schedule, memory->data(), workspace.workspace(), stream);
    schedule.memory = memory->data();
  }

  cuda::RowSchedule schedule;
  std::unique_ptr<DeviceMemory<I>> memory;
};

/// A copy of a dense operand in device memory.
template <class T>
struct DeviceDense {
  explicit DeviceDense(const Dense<T>& host) : data(host.data), view(host.view) {
    view.data = data.data() + (static_cast<const T*>(host.view.data) - host.data.data());
  }

  DeviceMemory<T> data;
  ArrayView view;
};

template <class T, class I>
void check_product(const BatteryMatrix& matrix, Layout layout, std::int64_t columns,
                   bool conjugate = false) {
  INFO("matrix " << matrix.name << ", dtype " << name(dtype_v<T>) << ", layout "
                 << static_cast<int>(layout) << ", columns " << columns);
  const OwnedCsr<T, I> a(matrix);
  Dense<T> x(layout, a.cols, columns), y(layout, a.rows, columns);
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  for (T& value : x.data) value = make_value<T>(normal(random), normal(random));
  const std::vector<ExactSum<T>> exact = exact_product(a, x.view, conjugate);

  const DeviceCsr<T, I> device_a(a);
  const PlannedRows<T, I> planned(device_a);
  const DeviceDense<T> device_x(x);
  std::vector<T> first;
  for (int repeat = 0; repeat < 2; ++repeat) {
    const DeviceDense<T> device_y(y);
    const DeviceMemory<char> workspace(
        cuda::matmul_workspace(device_a.pattern(), planned.schedule, device_x.view, device_y.view));
    const bool overlap = repeat == 1;
    cuda::matmul(device_a.view(), planned.schedule, device_x.view, device_y.view, conjugate,
                 workspace.workspace(), stream, overlap);
    const std::vector<T> result = device_y.data.host();
    if (repeat == 0) first = result;
    CHECK(std::memcmp(first.data(), result.data(), first.size() * sizeof(T)) == 0);
  }

  // Values in another order, and a map to them: the same bits.
  const DeviceMemory<T> reversed(std::vector<T>(a.values.rbegin(), a.values.rend()));
  std::vector<I> from(a.values.size());
  for (std::size_t p = 0; p < from.size(); ++p) from[p] = static_cast<I>(from.size() - 1 - p);
  const DeviceMemory<I> map(from);
  const DeviceDense<T> mapped_y(y);
  const DeviceMemory<char> workspace(cuda::matmul_workspace(device_a.pattern(), planned.schedule,
                                                            device_x.view, mapped_y.view, true));
  cuda::matmul({device_a.pattern(), dtype_v<T>, reversed.data()}, planned.schedule, device_x.view,
               mapped_y.view, conjugate, workspace.workspace(), stream, false, map.data());
  CHECK(std::memcmp(first.data(), mapped_y.data.host().data(), first.size() * sizeof(T)) == 0);

  if (a.rows < 2 || y.view.strides[y.view.rank == 1 ? 0 : y.view.rank - 2] == 1) {
    std::vector<T> bias(static_cast<std::size_t>(a.rows));
    for (T& value : bias) value = make_value<T>(normal(random), normal(random));
    const DeviceMemory<T> device_bias(bias);
    const DeviceDense<T> biased_y(y);
    cuda::matmul(device_a.view(), planned.schedule, device_x.view, biased_y.view, conjugate,
                 workspace.workspace(), stream, true, nullptr, device_bias.data());
    const std::vector<T> biased = biased_y.data.host();
    std::int64_t wrong = 0;
    for_each_column<T>(y.view, [&](void* data, std::int64_t stride) {
      for (std::int64_t i = 0; i < a.rows; ++i) {
        const auto at =
            static_cast<std::size_t>(static_cast<T*>(data) + i * stride - y.data.data());
        const auto got = widen(biased[at]);
        const auto sum =
            widen(narrow<T>(widen(first[at]) + widen(bias[static_cast<std::size_t>(i)])));
        wrong += got != sum && (got == got || sum == sum);  // NaN is not equal to itself
      }
    });
    CHECK(wrong == 0);
  }

  // Elements within the view are right, memory between them is as it was.
  std::vector<bool> written(y.data.size(), false);
  std::size_t next = 0;
  std::int64_t wrong = 0;
  for_each_column<T>(y.view, [&](void* data, std::int64_t stride) {
    for (std::int64_t i = 0; i < a.rows; ++i) {
      const auto at = static_cast<std::size_t>(static_cast<T*>(data) + i * stride - y.data.data());
      wrong += !within_bound(first[at], exact[next++]);
      written[at] = true;
    }
  });
  CHECK(wrong == 0);
  for (std::size_t at = 0; at < written.size(); ++at) {
    wrong += !written[at] && std::memcmp(&first[at], &y.data[at], sizeof(T)) != 0;
  }
  CHECK(wrong == 0);
}

template <class T>
void check_all_layouts(const BatteryMatrix& matrix) {
  using I = std::int32_t;
  check_product<T, I>(matrix, Layout::vector, 1, is_complex<T>);
  check_product<T, I>(matrix, Layout::reversed, 1);
  check_product<T, I>(matrix, Layout::rows, 5, is_complex<T>);
  check_product<T, I>(matrix, Layout::columns, 6);
  check_product<T, I>(matrix, Layout::batch, 8);
  check_product<T, I>(matrix, Layout::batch_of_vectors, 3);
  check_product<T, std::int64_t>(matrix, Layout::vector, 1);
  check_product<T, std::int64_t>(matrix, Layout::batch, 16);
}

/// A band of rows of up to `longest` positions, rows 0, 7, 14, ... empty.
BatteryMatrix tall_band(std::int64_t rows, std::int64_t longest) {
  BatteryMatrix band;
  band.name = "tall band of " + std::to_string(rows) + " rows";
  band.rows = rows;
  band.cols = 30 + longest;
  for (std::int64_t i = 0; i < band.rows; ++i) {
    for (std::int64_t j = i % 30; i % 7 != 0 && j < i % 30 + i % (longest + 1); ++j) {
      band.row.push_back(i);
      band.col.push_back(j);
      band.real.push_back(static_cast<double>(i % 17) - 3.1);
      band.imag.push_back(static_cast<double>(j));
    }
  }
  return band;
}

/// Rows of every length in no order, enough of them for tiles: most are empty or short, some fill
/// half of a tile, some are longer than one, and some are cut.
BatteryMatrix uneven_rows() {
  BatteryMatrix uneven;
  uneven.name = "uneven rows";
  uneven.rows = 500'003;
  uneven.cols = 9'001;
  for (std::int64_t i = 0; i < uneven.rows; ++i) {
    std::int64_t length = i % 3 == 0 && i < 100'000 ? i % 7 : 0;
    if (i % 1'009 == 5) length = 30 + i % 500;
    if (i % 50'021 == 6) length = 1'021 + i % 5;  // around the longest row of a tile
    if (i % 70'001 == 7) length = 2'500;
    if (i % 200'003 == 8) length = uneven.cols;
    for (std::int64_t j = 0; j < length; ++j) {
      uneven.row.push_back(i);
      uneven.col.push_back(length == uneven.cols ? j : (i + 3 * j) % uneven.cols);
      uneven.real.push_back(static_cast<double>((i + j) % 17) - 3.1);
      uneven.imag.push_back(static_cast<double>(j % 5));
    }
  }
  return uneven;
}

/// Enough positions that strided columns are copied, in uneven rows of which some are cut.
BatteryMatrix many_positions() {
  BatteryMatrix many;
  many.name = "many positions";
  many.rows = 203;
  many.cols = 5000;
  for (std::int64_t i = 0; i < many.rows; ++i) {
    for (std::int64_t j = i % 3; j < many.cols; j += i % 50 == 7 ? 1 : 19) {
      many.row.push_back(i);
      many.col.push_back(j);
      many.real.push_back(static_cast<double>(i % 17) - 3.1);
      many.imag.push_back(static_cast<double>(j % 5));
    }
  }
  return many;
}

}  // namespace

TEST_CASE("matmul is within the error bound on every path, and repeats its bits") {
  for (const BatteryMatrix& matrix : reduced_battery()) {
#define GOSSAMER_CHECK(enumerator, type, ...) check_all_layouts<type>(matrix);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  }
}

TEST_CASE("matmul multiplies by wide blocks of columns") {
  for (const BatteryMatrix& matrix : reduced_battery()) {
    check_product<float, std::int32_t>(matrix, Layout::batch, 300);
    check_product<float, std::int32_t>(matrix, Layout::rows, 64);
  }
}

TEST_CASE("matmul copies strided columns where that pays") {
  const BatteryMatrix many = many_positions();
#define GOSSAMER_CHECK(enumerator, type, ...)                                     \
  check_product<type, std::int32_t>(many, Layout::columns, 24, is_complex<type>); \
  check_product<type, std::int64_t>(many, Layout::columns, 21);
  GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
}

TEST_CASE("matmul streams many short rows, one, two and four groups of them for a warp") {
  const std::int64_t enough =
      32 * tuning::matmul_cuda_stream_warps * cuda::device_properties(0).multiprocessors;
  const BatteryMatrix band = tall_band(4 * enough + 17, 8);
#define GOSSAMER_CHECK(enumerator, type, ...)                                   \
  check_product<type, std::int32_t>(band, Layout::vector, 1, is_complex<type>); \
  check_product<type, std::int64_t>(band, Layout::every_third, 1);
  GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  for (const BatteryMatrix& other : {tall_band(enough, 8), tall_band(2 * enough - 1, 60),
                                     tall_band(2 * enough, 8), tall_band(2 * enough + 65, 60),
                                     tall_band(4 * enough, 8), tall_band(enough / 2 + 33, 200)}) {
    check_product<float, std::int32_t>(other, Layout::vector, 1);
    check_product<double, std::int64_t>(other, Layout::vector, 1);
  }
}

TEST_CASE("matmul multiplies tiles of uneven rows") {
  const BatteryMatrix uneven = uneven_rows();
  const OwnedCsr<float, std::int32_t> host(uneven);
  const DeviceCsr<float, std::int32_t> a(host);
  const cuda::RowSchedule schedule = PlannedRows<float, std::int32_t>(a).schedule;
  REQUIRE(schedule.tiles > 0);
  REQUIRE(schedule.pieces > 0);
#define GOSSAMER_CHECK(enumerator, type, ...) \
  check_product<type, std::int32_t>(uneven, Layout::vector, 1, is_complex<type>);
  GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  check_product<float, std::int64_t>(uneven, Layout::every_third, 1);
}

TEST_CASE("matmul refuses a workspace that is too small, and operands that do not fit") {
  const OwnedCsr<float, std::int32_t> host(reduced_battery().back());
  const DeviceCsr<float, std::int32_t> a(host);
  const PlannedRows<float, std::int32_t> planned(a);
  REQUIRE(planned.schedule.pieces > 0);
  const DeviceMemory<float> x(static_cast<std::size_t>(a.cols)),
      y(static_cast<std::size_t>(a.rows));
  const ArrayView x_view = ArrayView::contiguous(x.data(), DType::float32, {a.cols});
  const ArrayView y_view = ArrayView::contiguous(y.data(), DType::float32, {a.rows});
  CHECK_THROWS_AS(cuda::matmul(a.view(), planned.schedule, x_view, y_view, false, {}, stream),
                  InvalidArgument);
  CHECK_THROWS_AS(cuda::matmul(a.view(), planned.schedule, y_view, x_view, false, {}, stream),
                  InvalidArgument);
  const DeviceMemory<float> apart(static_cast<std::size_t>(2 * a.rows));
  ArrayView apart_view = ArrayView::contiguous(apart.data(), DType::float32, {a.rows});
  apart_view.strides[0] = 2;
  const DeviceMemory<char> workspace(
      cuda::matmul_workspace(a.pattern(), planned.schedule, x_view, apart_view));
  CHECK_THROWS_AS(cuda::matmul(a.view(), planned.schedule, x_view, apart_view, false,
                               workspace.workspace(), stream, {}, nullptr, y.data()),
                  InvalidArgument);
}

}  // namespace gossamer::testing
