// SPDX-License-Identifier: Apache-2.0
// Packing, unpacking and products of packed matrices on the device against the host's.
#include "gossamer/cuda/packed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>

#include "device_memory.hpp"
#include "error_bound.hpp"
#include "gossamer/errors.hpp"
#include "packed_matrix.hpp"

namespace gossamer::testing {
namespace {

constexpr cuda::Stream stream{0, nullptr};

struct Case {
  std::int64_t rows, cols;
  double density;
};

/// Odd shapes, an empty row, a long gap, nothing at all, rows that several blocks share, and an x
/// that does not fit shared memory.
const Case cases[] = {{1, 1, 1.0},     {1, 3000, 0.3},    {17, 33, 0.5},  {70, 257, 0.2},
                      {33, 1025, 0.5}, {130, 177, 0.9},   {40, 512, 0.0}, {3, 0, 0.0},
                      {0, 5, 0.0},     {16, 70000, 0.01}, {530, 300, 0.6}};

template <class T>
DenseMatrix<T> random_matrix(const Case& c, std::uint32_t seed) {
  DenseMatrix<T> dense(c.rows, c.cols);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<double> uniform;
  for (T& x : dense.data) x = uniform(random) < c.density ? narrow<T>(normal(random)) : T{};
  for (std::int64_t j = 0; c.rows > 8 && j < c.cols; ++j) dense.at(5, j) = T{};
  for (std::int64_t j = c.cols / 4; c.rows > 8 && j < c.cols / 2; ++j) dense.at(6, j) = T{};
  return dense;
}

/// A packed matrix on the device.
struct DevicePacked {
  explicit DevicePacked(const PackedMatrix& host)
      : values(host.values),
        positions(host.positions),
        row_offsets(host.row_offsets),
        scales(host.scales),
        view(host.view) {
    view.values = values.data();
    view.positions = positions.data();
    view.row_offsets = row_offsets.data();
    view.scales = has_scales(view.dtype) ? scales.data() : nullptr;
  }
  DeviceMemory<std::uint8_t> values, positions;
  DeviceMemory<std::int32_t> row_offsets;
  DeviceMemory<float> scales;
  PackedView view;
};

template <class T>
void check_packing(const Case& c, PackedFormat format, PackedDType dtype, double threshold) {
  DenseMatrix<T> dense = random_matrix<T>(c, 3);
  const PackedMatrix host(dense.view(), c.rows, c.cols, format, dtype, threshold);
  const DeviceMemory<T> on_device(dense.data);
  const ArrayView view = ArrayView::contiguous(on_device.data(), dtype_v<T>, {c.rows, c.cols});

  const std::size_t rows = static_cast<std::size_t>(c.rows);
  DeviceMemory<std::int64_t> offsets(packed_formats.size() * (rows + 1));
  const DeviceMemory<std::uint8_t> workspace(cuda::count_packed_workspace(c.rows));
  cuda::count_packed(view, threshold, offsets.data(), workspace.workspace(), stream);
  const std::int64_t* of_format = offsets.data() + static_cast<std::size_t>(format) * (rows + 1);
  const std::vector<std::int64_t> found = offsets.host();
  for (std::size_t i = 0; i <= rows; ++i) {
    REQUIRE(found[static_cast<std::size_t>(format) * (rows + 1) + i] == host.row_offsets[i]);
  }
  DeviceMemory<float> scales(host.scales.size());
  if (has_scales(dtype)) {
    cuda::row_scales(view, threshold, dtype, scales.data(), stream);
    REQUIRE(scales.host() == host.scales);
  }
  DeviceMemory<std::uint8_t> values(host.values.size()), positions(host.positions.size());
  cuda::pack(view, threshold,
             {format, dtype, DType::int64, of_format, has_scales(dtype) ? scales.data() : nullptr,
              values.data(), positions.data()},
             host.view.slots, stream);
  CHECK(values.host() == host.values);
  CHECK(positions.host() == host.positions);

  DenseMatrix<T> unpacked(c.rows, c.cols);
  unpack(host.view, unpacked.view());
  const DevicePacked packed(host);
  const DeviceMemory<T> dense_again(dense.data.size());
  cuda::unpack(packed.view, ArrayView::contiguous(dense_again.data(), dtype_v<T>, {c.rows, c.cols}),
               stream);
  const std::vector<T> result = dense_again.host();
  CHECK(std::memcmp(result.data(), unpacked.data.data(), result.size() * sizeof(T)) == 0);
}

std::unique_ptr<cuda::Arrangement> arrange(bool tiles, const DevicePacked& packed,
                                           std::unique_ptr<DeviceMemory<std::uint8_t>>& memory) {
  const DeviceMemory<std::uint8_t> workspace(tiles ? cuda::bitmap_tiles_workspace(packed.view)
                                                   : cuda::delta_rows_workspace(packed.view));
  auto arrangement = tiles ? cuda::arrange_bitmap_tiles(packed.view, workspace.workspace(), stream)
                           : cuda::arrange_delta_rows(packed.view, workspace.workspace(), stream);
  memory = std::make_unique<DeviceMemory<std::uint8_t>>(arrangement->bytes());
  arrangement->fill(packed.view, memory->data(), workspace.workspace(), stream);
  return arrangement;
}

/// The same as A.matmul of the columns of X (2, n, k), wherever they lie, and of rows with a bias.
template <class X>
void check_columns_and_bias(const cuda::Arrangement& a, const Case& c, std::int64_t cols) {
  const std::int64_t vectors = 2 * cols;
  const DenseMatrix<X> x = random_matrix<X>({vectors, c.cols, 1.0}, 11);
  const DenseMatrix<X> bias = random_matrix<X>({1, c.rows, 1.0}, 12);
  const DeviceMemory<X> x_device(x.data), bias_device(bias.data),
      y_device(static_cast<std::size_t>(vectors * c.rows)),
      scratch(static_cast<std::size_t>(vectors * (c.rows + c.cols)));
  DeviceMemory<std::uint8_t> workspace(a.workspace_bytes(vectors));
  workspace.clear();
  const ArrayView rows = ArrayView::contiguous(x_device.data(), dtype_v<X>, {vectors, c.cols});
  const ArrayView y = ArrayView::contiguous(y_device.data(), dtype_v<X>, {vectors, c.rows});
  cuda::matmul(a, rows, y, workspace.workspace(), stream);
  const std::vector<X> expected = y_device.host();

  cuda::matmul(a, rows, y, workspace.workspace(), stream, {}, bias_device.data());
  std::vector<X> found = y_device.host();
  for (std::size_t i = 0; i < found.size(); ++i) {
    const float sum = widen(expected[i]) + widen(bias.data[i % bias.data.size()]);
    REQUIRE(widen(found[i]) == widen(narrow<X>(sum)));
  }

  // The columns are the rows above, as they lie there and in C order.
  std::vector<X> in_order(x.data.size());
  for (std::int64_t n = 0; n < vectors; ++n) {
    for (std::int64_t j = 0; j < c.cols; ++j) {
      in_order[static_cast<std::size_t>(((n / cols) * c.cols + j) * cols + n % cols)] =
          x.data[static_cast<std::size_t>(n * c.cols + j)];
    }
  }
  const DeviceMemory<X> in_order_device(in_order);
  ArrayView as_rows = ArrayView::contiguous(x_device.data(), dtype_v<X>, {2, c.cols, cols});
  as_rows.strides[1] = 1;
  as_rows.strides[2] = c.cols;
  for (const ArrayView& columns :
       {as_rows, ArrayView::contiguous(in_order_device.data(), dtype_v<X>, {2, c.cols, cols})}) {
    cuda::matmul_columns(a, columns,
                         ArrayView::contiguous(y_device.data(), dtype_v<X>, {2, c.rows, cols}),
                         scratch.workspace(), workspace.workspace(), stream);
    found = y_device.host();
    for (std::int64_t n = 0; n < vectors; ++n) {
      for (std::int64_t i = 0; i < c.rows; ++i) {
        const auto at = static_cast<std::size_t>(((n / cols) * c.rows + i) * cols + n % cols);
        REQUIRE(widen(found[at]) == widen(expected[static_cast<std::size_t>(n * c.rows + i)]));
      }
    }
  }
}

/// The product with `vectors` vectors, against sums in double precision, plain and overlapped.
template <class X>
void check_product(const Case& c, PackedFormat format, PackedDType dtype, bool tiles,
                   std::int64_t vectors) {
  DenseMatrix<float> source = random_matrix<float>(c, 7);
  const PackedMatrix host(source.view(), c.rows, c.cols, format, dtype);
  DenseMatrix<float> exact(c.rows, c.cols);
  unpack(host.view, exact.view());
  const DevicePacked packed(host);
  std::unique_ptr<DeviceMemory<std::uint8_t>> memory;
  const auto arrangement = arrange(tiles, packed, memory);

  const DeviceMemory<float> dense_again(exact.data.size());
  arrangement->unpack(ArrayView::contiguous(dense_again.data(), DType::float32, {c.rows, c.cols}),
                      stream);
  REQUIRE(dense_again.host() == exact.data);

  const DenseMatrix<X> x = random_matrix<X>({vectors, c.cols, 1.0}, 11);
  const DeviceMemory<X> x_device(x.data);
  const DeviceMemory<X> y_device(static_cast<std::size_t>(vectors * c.rows));
  DeviceMemory<std::uint8_t> workspace(arrangement->workspace_bytes(vectors));
  workspace.clear();
  const auto multiply = [&](bool overlap) {
    arrangement->matmul(ArrayView::contiguous(x_device.data(), dtype_v<X>, {vectors, c.cols}),
                        ArrayView::contiguous(y_device.data(), dtype_v<X>, {vectors, c.rows}),
                        workspace.workspace(), stream, overlap);
    return y_device.host();
  };
  const std::vector<X> y = multiply(false);
  for (std::int64_t n = 0; n < vectors; ++n) {
    for (std::int64_t i = 0; i < c.rows; ++i) {
      ExactSum<float> sum;
      for (std::int64_t j = 0; j < c.cols; ++j) {
        const float value = exact.at(i, j);
        if (value != 0) sum.add(value, widen(x.data[static_cast<std::size_t>(n * c.cols + j)]));
      }
      const double got = widen(y[static_cast<std::size_t>(n * c.rows + i)]);
      const double u = 0x1p-24, terms = static_cast<double>(sum.terms) + 16;
      const double bound = terms * u / (1 - terms * u) * sum.moduli +
                           output_roundoff<X>() * std::abs(sum.value) + output_underflow<X>() +
                           terms * 0x1p-149;
      REQUIRE(std::abs(got - sum.value) <= bound);
    }
  }
  for (int repeat = 0; repeat < 3; ++repeat) {
    const std::vector<X> again = multiply(repeat % 2 == 1);
    REQUIRE(std::memcmp(again.data(), y.data(), y.size() * sizeof(X)) == 0);
  }
  const auto is_zero = [](std::uint8_t byte) { return byte == 0; };
  CHECK(std::ranges::all_of(workspace.host(), is_zero));
}

}  // namespace

TEST_CASE("packing on the device writes the host's bytes, and unpacking reads them") {
  for (const Case& c : cases) {
    for (const PackedFormat format : packed_formats) {
      for (const PackedDType dtype : packed_dtypes) {
        CAPTURE(c.rows);
        CAPTURE(c.cols);
        CAPTURE(name(format));
        CAPTURE(name(dtype));
        check_packing<float>(c, format, dtype, 0.0);
      }
      check_packing<float16>(c, format, PackedDType::float16, 0.5);
      check_packing<bfloat16>(c, format, PackedDType::float8_e4m3, 0.0);
    }
  }
}

TEST_CASE("products by delta rows stay within the bound, bit for bit the same every time") {
  for (const Case& c : cases) {
    CAPTURE(c.rows);
    CAPTURE(c.cols);
    const PackedFormat format = c.density > 0.4   ? PackedFormat::bitmap
                                : c.density > 0.1 ? PackedFormat::gap4
                                                  : PackedFormat::gap8;
    check_product<float>(c, format, PackedDType::float32, false, 1);
    check_product<float16>(c, format, PackedDType::float16, false, 2);
    check_product<float>(c, format, PackedDType::float16, false, 1);
    check_product<bfloat16>(c, format, PackedDType::bfloat16, false, 1);
    check_product<float>(c, format, PackedDType::bfloat16, false, 1);
    check_product<float>(c, format, PackedDType::int8, false, 1);
    check_product<float16>(c, format, PackedDType::int8, false, 1);
    check_product<bfloat16>(c, format, PackedDType::int8, false, 1);
    check_product<float>(c, format, PackedDType::float8_e4m3, false, 1);
    check_product<float16>(c, format, PackedDType::float8_e4m3, false, 1);
    check_product<bfloat16>(c, format, PackedDType::float8_e4m3, false, 1);
  }
  // More vectors than one launch takes.
  check_product<float>({33, 1025, 0.5}, PackedFormat::bitmap, PackedDType::float32, false, 17);
}

TEST_CASE("products take columns, and add a bias to what they round") {
  // Odd lengths, so that rows are not aligned; no rows; no columns.
  for (const Case& c : {Case{70, 257, 0.5}, Case{0, 5, 0.0}, Case{3, 0, 0.0}}) {
    CAPTURE(c.rows);
    DenseMatrix<float> source = random_matrix<float>(c, 7);
    const auto check = [&]<class X>(X, PackedDType dtype, bool tiles, std::int64_t cols) {
      CAPTURE(name(dtype));
      const PackedMatrix host(source.view(), c.rows, c.cols, PackedFormat::bitmap, dtype);
      const DevicePacked packed(host);
      std::unique_ptr<DeviceMemory<std::uint8_t>> memory;
      check_columns_and_bias<X>(*arrange(tiles, packed, memory), c, cols);
    };
    for (const PackedDType dtype :
         {PackedDType::float32, PackedDType::float16, PackedDType::bfloat16, PackedDType::int8,
          PackedDType::float8_e4m3}) {
      check(float{}, dtype, false, 1);
    }
    check(float16{}, PackedDType::float16, false, 3);
    check(float16{}, PackedDType::int8, false, 1);
    check(float16{}, PackedDType::float8_e4m3, false, 1);
    check(bfloat16{}, PackedDType::bfloat16, false, 2);
    check(bfloat16{}, PackedDType::int8, false, 1);
    check(bfloat16{}, PackedDType::float8_e4m3, false, 1);
    check(float16{}, PackedDType::float16, true, 5);
    check(float16{}, PackedDType::float16, true, 33);
    check(bfloat16{}, PackedDType::bfloat16, true, 33);
  }
}

TEST_CASE("padding of delta rows multiplies zeros behind x, however long it is") {
  const std::int64_t rows = 16, cols = 1000;
  DenseMatrix<float> source(rows, cols);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; i % 2 == 0 && j < cols; ++j) {
      source.at(i, j) = std::numeric_limits<float>::infinity();
    }
    source.at(i, cols - 1) = static_cast<float>(i);  // the odd rows' one element, few slots on
  }
  const PackedMatrix host(source.view(), rows, cols, PackedFormat::bitmap, PackedDType::float16);
  const DevicePacked packed(host);
  std::unique_ptr<DeviceMemory<std::uint8_t>> memory;
  const auto arrangement = arrange(false, packed, memory);
  const DeviceMemory<float16> x(std::vector<float16>(cols, narrow<float16>(1)));
  const DeviceMemory<float16> y(static_cast<std::size_t>(rows));
  DeviceMemory<std::uint8_t> workspace(arrangement->workspace_bytes(1));
  workspace.clear();
  arrangement->matmul(ArrayView::contiguous(x.data(), DType::float16, {1, cols}),
                      ArrayView::contiguous(y.data(), DType::float16, {1, rows}),
                      workspace.workspace(), stream, false);
  const std::vector<float16> result = y.host();
  for (std::int64_t i = 0; i < rows; ++i) {
    const float expected = i % 2 ? static_cast<float>(i) : std::numeric_limits<float>::infinity();
    CHECK(widen(result[static_cast<std::size_t>(i)]) == expected);
  }
}

TEST_CASE("products by bitmap tiles stay within the bound, bit for bit the same every time") {
  for (const Case& c : cases) {
    if (c.cols > 10000) continue;
    CAPTURE(c.rows);
    CAPTURE(c.cols);
    const PackedFormat format = c.density > 0.4 ? PackedFormat::bitmap : PackedFormat::gap8;
    for (const std::int64_t vectors : {1, 13, 31, 64, 70}) {
      check_product<float16>(c, format, PackedDType::float16, true, vectors);
    }
    check_product<bfloat16>(c, format, PackedDType::bfloat16, true, 5);
  }
  // 257 rows of pairs, nearly two for each multiprocessor of an H200: blocks take two at once.
  // 141 would leave half of them idle: blocks share rows.
  for (const Case& tall : {Case{8200, 70, 0.5}, Case{4500, 70, 0.5}}) {
    CAPTURE(tall.rows);
    check_product<float16>(tall, PackedFormat::bitmap, PackedDType::float16, true, 8);
    check_product<bfloat16>(tall, PackedFormat::bitmap, PackedDType::bfloat16, true, 11);
  }
}

TEST_CASE("products by bitmap tiles with more units than rings have stages fill these again") {
  const Case wide{2000, 6152, 0.9};
  check_product<float16>(wide, PackedFormat::bitmap, PackedDType::float16, true, 9);
  check_product<bfloat16>(wide, PackedFormat::bitmap, PackedDType::bfloat16, true, 33);
}

TEST_CASE("products by bitmap tiles whose blocks share rows send each other every sum") {
  // On 132 multiprocessors: eight blocks, two blocks, and one to three blocks with other rows.
  for (const Case& c : {Case{300, 500, 0.5}, Case{2500, 128, 0.5}, Case{1900, 640, 0.5}}) {
    CAPTURE(c.rows);
    check_product<float16>(c, PackedFormat::bitmap, PackedDType::float16, true, 64);
    check_product<bfloat16>(c, PackedFormat::bitmap, PackedDType::bfloat16, true, 20);
  }
}

TEST_CASE("products by bitmap tiles hand NaN of every sign and payload on") {
  const Case c{300, 500, 0.5};
  const PackedMatrix host(random_matrix<float>(c, 7).view(), c.rows, c.cols, PackedFormat::bitmap,
                          PackedDType::float16);
  const DevicePacked packed(host);
  std::unique_ptr<DeviceMemory<std::uint8_t>> memory;
  const auto arrangement = arrange(true, packed, memory);
  DeviceMemory<std::uint8_t> workspace(arrangement->workspace_bytes(64));
  workspace.clear();
  const DeviceMemory<std::uint16_t> y(static_cast<std::size_t>(64 * c.rows));
  for (const std::uint16_t bits : {0x7e00, 0xfe00, 0x7fff, 0xffff}) {
    const DeviceMemory<std::uint16_t> x(
        std::vector<std::uint16_t>(static_cast<std::size_t>(64 * c.cols), bits));
    arrangement->matmul(ArrayView::contiguous(x.data(), DType::float16, {64, c.cols}),
                        ArrayView::contiguous(y.data(), DType::float16, {64, c.rows}),
                        workspace.workspace(), stream);
    const auto is_nan = [](std::uint16_t half) { return (half & 0x7fff) > 0x7c00; };
    CHECK(std::ranges::all_of(y.host(), is_nan));
  }
}

TEST_CASE("a battery matrix with infinities and NaN packs to the host's bytes") {
  Case c{40, 70, 0.5};
  DenseMatrix<float> dense = random_matrix<float>(c, 1);
  dense.at(3, 4) = std::numeric_limits<float>::infinity();
  dense.at(7, 1) = -std::numeric_limits<float>::infinity();
  dense.at(9, 2) = std::numeric_limits<float>::quiet_NaN();
  for (const PackedDType dtype :
       {PackedDType::float32, PackedDType::float16, PackedDType::bfloat16}) {
    const PackedMatrix host(dense.view(), c.rows, c.cols, PackedFormat::bitmap, dtype);
    const DeviceMemory<float> source(dense.data);
    const DevicePacked packed(host);
    const DeviceMemory<std::uint8_t> values(host.values.size()), positions(host.positions.size());
    cuda::pack(ArrayView::contiguous(source.data(), DType::float32, {c.rows, c.cols}), 0.0,
               {PackedFormat::bitmap, dtype, DType::int32, packed.row_offsets.data(), nullptr,
                values.data(), positions.data()},
               host.view.slots, stream);
    CHECK(values.host() == host.values);
  }
  const DeviceMemory<float> source(dense.data), scales(40);
  cuda::row_scales(ArrayView::contiguous(source.data(), DType::float32, {c.rows, c.cols}), 0.0,
                   PackedDType::int8, scales.data(), stream);
  const std::vector<float> found = scales.host();
  CHECK(std::isnan(found[3]));
  CHECK(std::isnan(found[9]));
  CHECK(found[0] > 0);
}

TEST_CASE("operands and workspaces that do not fit are refused") {
  const Case c{32, 48, 0.5};
  DenseMatrix<float> dense = random_matrix<float>(c, 1);
  const PackedMatrix host(dense.view(), 32, 48, PackedFormat::bitmap, PackedDType::float16);
  const DevicePacked packed(host);
  CHECK_THROWS_AS(cuda::arrange_delta_rows(packed.view, {}, stream), InvalidArgument);
  std::unique_ptr<DeviceMemory<std::uint8_t>> memory;
  const auto arrangement = arrange(false, packed, memory);
  DeviceMemory<std::uint8_t> workspace(arrangement->workspace_bytes(1));
  workspace.clear();
  const auto array = [&](DType dtype, std::int64_t length) {
    return ArrayView::contiguous(memory->data(), dtype, {1, length});
  };
  const auto multiply = [&](const ArrayView& x, const ArrayView& y, cuda::Workspace given) {
    arrangement->matmul(x, y, given, stream);
  };
  const ArrayView x = array(DType::float16, 48), y = array(DType::float16, 32);
  CHECK_THROWS_AS(multiply(x, y, {}), InvalidArgument);
  CHECK_THROWS_AS(multiply(y, x, workspace.workspace()), InvalidArgument);
  CHECK_THROWS_AS(multiply(x, array(DType::float32, 32), workspace.workspace()), InvalidDType);
  CHECK_THROWS_AS(
      multiply(array(DType::float64, 48), array(DType::float64, 32), workspace.workspace()),
      InvalidDType);
  const auto columns = [&](std::int64_t members, std::int64_t length, std::int64_t cols) {
    return ArrayView::contiguous(memory->data(), DType::float16, {members, length, cols});
  };
  ArrayView apart = columns(1, 32, 1);
  apart.strides[1] = 2;
  for (const ArrayView& wrong : {y, apart, columns(2, 32, 1), columns(1, 32, 2)}) {
    CHECK_THROWS_AS(
        cuda::matmul_columns(*arrangement, columns(1, 48, 1), wrong,
                             {memory->data(), memory->size()}, workspace.workspace(), stream),
        InvalidArgument);
  }
}

}  // namespace gossamer::testing
