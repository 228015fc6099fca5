// SPDX-License-Identifier: Apache-2.0
// The packed formats byte for byte, there and back, and what their validator refuses.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include "formats/packed.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/simd.hpp"
#include "gossamer/structure.hpp"
#include "gossamer/threads.hpp"
#include "packed_matrix.hpp"

namespace gossamer::testing {
namespace {

template <class T>
std::vector<T> from_hex(const std::string& text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t k = 0; k + 1 < text.size(); k += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(k, 2), nullptr, 16)));
  }
  std::vector<T> items(bytes.size() / sizeof(T));
  if (!items.empty()) std::memcpy(items.data(), bytes.data(), items.size() * sizeof(T));
  return items;
}

/// What a value becomes when it is stored and read again.
template <class V>
float stored(float value, float scale) {
  return is_8bit<V> ? widen(narrow_packed<V>(value / scale)) * scale
                    : widen(narrow_packed<V>(value));
}

bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

/// Packs a matrix, unpacks it to dense and CSR, and compares every element.
void check_there_and_back(DenseMatrix<float>& dense, PackedFormat format, PackedDType dtype) {
  INFO("format " << name(format) << ", dtype " << name(dtype) << ", " << dense.rows << " x "
                 << dense.cols << ", target " << simd_target());
  PackedMatrix packed(dense.view(), dense.rows, dense.cols, format, dtype);
  std::int64_t nonzeros = 0, expected_nonzeros = 0, wrong = 0;
  DenseMatrix<float> unpacked(dense.rows, dense.cols);
  std::fill(unpacked.data.begin(), unpacked.data.end(), 7.0f);
  unpack(packed.view, unpacked.view());
  visit_packed(dtype, [&](auto tag) {
    using V = typename decltype(tag)::type;
    for (std::int64_t i = 0; i < dense.rows; ++i) {
      const float scale = is_8bit<V> ? packed.scales[static_cast<std::size_t>(i)] : 1.0f;
      for (std::int64_t j = 0; j < dense.cols; ++j) {
        wrong += !same(unpacked.at(i, j), stored<V>(dense.at(i, j), scale));
        expected_nonzeros += dense.at(i, j) != 0.0f;
      }
    }
  });
  CHECK(wrong == 0);
  nonzeros = validate(packed.view);
  // A value that rounds to zero behind a gap of the largest length counts as a filler.
  CHECK(nonzeros <= expected_nonzeros);
  if (dtype == PackedDType::float32) CHECK(nonzeros == expected_nonzeros);

  std::vector<std::int64_t> indptr(static_cast<std::size_t>(dense.rows) + 1);
  const std::int64_t count = count_unpacked(packed.view, DType::int64, indptr.data());
  CHECK(count == nonzeros);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::vector<float> values(indices.size());
  unpack(packed.view, DType::int64, indptr.data(), indices.data(), DType::float32, values.data());
  DenseMatrix<float> from_csr(dense.rows, dense.cols);
  for (std::int64_t i = 0; i < dense.rows; ++i) {
    for (std::int64_t p = indptr[static_cast<std::size_t>(i)];
         p < indptr[static_cast<std::size_t>(i) + 1]; ++p) {
      from_csr.at(i, indices[static_cast<std::size_t>(p)]) = values[static_cast<std::size_t>(p)];
    }
  }
  wrong = 0;
  for (std::size_t k = 0; k < from_csr.data.size(); ++k) {
    wrong += !same(from_csr.data[k], unpacked.data[k]);
  }
  CHECK(wrong == 0);

  const CsrView csr{{dense.rows, dense.cols, count, DType::int64, indptr.data(), indices.data()},
                    DType::float32,
                    values.data()};
  if (dtype == PackedDType::float32) {
    PackedMatrix again(csr, dense.rows, dense.cols, format, dtype);
    CHECK(again.values == packed.values);
    CHECK(again.positions == packed.positions);
    CHECK(again.row_offsets == packed.row_offsets);
  }
  ArrayView turned = unpacked.view();
  std::swap(turned.shape[0], turned.shape[1]);
  std::swap(turned.strides[0], turned.strides[1]);
  if (dtype == PackedDType::float32 || dtype == PackedDType::int8) {
    const PackedMatrix of_dense(turned, dense.cols, dense.rows, format, dtype);
    const PackedMatrix of_csr(csr, dense.cols, dense.rows, format, dtype, 0, true);
    CHECK(of_csr.values == of_dense.values);
    CHECK(of_csr.positions == of_dense.positions);
    CHECK(of_csr.row_offsets == of_dense.row_offsets);
    CHECK(of_csr.scales == of_dense.scales);
  }
}

bool all_finite(const std::vector<float>& data) {
  return std::all_of(data.begin(), data.end(), [](float x) { return std::isfinite(x); });
}

/// A small matrix in each format, to be spoilt.
PackedMatrix example(PackedFormat format, PackedDType dtype = PackedDType::float32) {
  DenseMatrix<float> dense(3, 40);
  for (std::int64_t i = 0; i < 3; ++i) {
    for (std::int64_t j = i; j < 40; j += 5 + 14 * i) dense.at(i, j) = static_cast<float>(j + 1);
  }
  return PackedMatrix(dense.view(), 3, 40, format, dtype);
}

}  // namespace

TEST_CASE("packed formats match the golden file byte for byte") {
  const char* folder = std::getenv("GOSSAMER_GOLDEN");
  REQUIRE_MESSAGE(folder != nullptr, "GOSSAMER_GOLDEN is not set: run the tests by ctest");
  std::ifstream file(std::string(folder) + "/packed.txt");
  REQUIRE(file.good());
  std::int64_t rows = 0, cols = 0, compared = 0;
  std::vector<float16> dense;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string first, second, third, hex;
    words >> first >> second;
    if (first == "#") continue;
    if (first == "matrix") {
      words >> rows >> cols;
      continue;
    }
    if (first == "dense") {
      dense = from_hex<float16>(second);
      REQUIRE(static_cast<std::int64_t>(dense.size()) == rows * cols);
      continue;
    }
    words >> third >> hex;
    INFO(line);
    const PackedMatrix packed(ArrayView::contiguous(dense.data(), DType::float16, {rows, cols}),
                              rows, cols, packed_format(first), packed_dtype(second));
    if (third == "values") CHECK(packed.values == from_hex<std::uint8_t>(hex));
    if (third == "positions") CHECK(packed.positions == from_hex<std::uint8_t>(hex));
    if (third == "row_offsets") CHECK(packed.row_offsets == from_hex<std::int32_t>(hex));
    if (third == "scales") CHECK(packed.scales == from_hex<float>(hex));
    ++compared;
  }
  CHECK(compared == 36);
}

TEST_CASE("packing is undone by unpacking") {
  const std::string before = simd_target();
  for (const std::string& target : supported_simd_targets()) {
    set_simd_target(target);
    for (const BatteryMatrix& matrix : battery()) {
      if (matrix.rows * matrix.cols > 1'000'000) continue;
      INFO("matrix " << matrix.name);
      DenseMatrix<float> dense(matrix);
      for (const PackedFormat format : packed_formats) {
        for (const PackedDType dtype : packed_dtypes) {
          if (has_scales(dtype) && !all_finite(dense.data)) {
            CHECK_THROWS_AS(PackedMatrix(dense.view(), dense.rows, dense.cols, format, dtype),
                            InvalidArgument);
          } else {
            check_there_and_back(dense, format, dtype);
          }
        }
      }
    }
  }
  set_simd_target(before);
}

TEST_CASE("a column-major matrix, a slice and a threshold pack like their copies") {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-1, 1);
  constexpr std::int64_t rows = 45, cols = 83;
  DenseMatrix<float> wide(rows, 2 * cols), copy(rows, cols), transposed(cols, rows);
  for (float& x : wide.data) x = uniform(random);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const float x = wide.at(i, 2 * j);
      copy.at(i, j) = std::fabs(x) > 0.5f ? x : 0.0f;
      transposed.at(j, i) = x;
    }
  }
  ArrayView slice = wide.view(), turned = transposed.view();
  slice.shape = {rows, cols};
  slice.strides = {2 * cols, 2};
  turned.shape = {rows, cols};
  turned.strides = {1, rows};
  for (const PackedFormat format : packed_formats) {
    const PackedMatrix expected(copy.view(), rows, cols, format, PackedDType::float32);
    for (const ArrayView& view : {slice, turned}) {
      const PackedMatrix packed(view, rows, cols, format, PackedDType::float32, 0.5);
      CHECK(packed.values == expected.values);
      CHECK(packed.positions == expected.positions);
    }
  }
  std::vector<std::int64_t> counts(3 * rows);
  CHECK_THROWS_AS(count_packed(wide.view(), -1.0, counts.data()), InvalidArgument);
  CHECK_THROWS_AS(count_packed(wide.view(), std::nan(""), counts.data()), InvalidArgument);
}

TEST_CASE("float8_e4m3 rounds to the nearest, ties to even, and saturates") {
  for (std::uint32_t bits = 0; bits < 0x7f; ++bits) {
    const float value = widen_float8(bits), next = widen_float8(bits + 1);
    CHECK(narrow_packed<float8_e4m3>(value).bits == bits);
    CHECK(narrow_packed<float8_e4m3>(-value).bits == (bits | 0x80));
    if (bits + 1 == 0x7f) break;
    const float middle = (value + next) / 2;
    CHECK(narrow_packed<float8_e4m3>(middle).bits == bits + (bits & 1));
    CHECK(narrow_packed<float8_e4m3>(std::nextafter(middle, 1e9f)).bits == bits + 1);
  }
  CHECK(narrow_packed<float8_e4m3>(1e30f).bits == 0x7e);
  CHECK(std::isnan(widen_float8(0x7f)));
  CHECK(narrow_packed<std::int8_t>(2.5f) == 2);
  CHECK(narrow_packed<std::int8_t>(-1e9f) == -127);
}

TEST_CASE("rows of values are rounded as single ones are, on every path") {
  std::mt19937 random(11);
  std::vector<float> values(3001);
  for (float& value : values) {
    // All signs and significands; exponents around those of the narrow types, and now and then any.
    const std::uint32_t bits = static_cast<std::uint32_t>(random());
    const std::uint32_t exponent = 100 + bits % 50;
    value = std::bit_cast<float>(bits % 16 == 0 ? bits : (bits & 0x807fffffu) | exponent << 23);
  }
  for (std::size_t i = 0; i < 64; ++i) values[i] = static_cast<float>(i) / 2 - 16;
  const std::string before = simd_target();
  for (const std::string& target : supported_simd_targets()) {
    set_simd_target(target);
    for (const PackedDType dtype : packed_dtypes) {
      visit_packed(dtype, [&](auto tag) {
        using V = typename decltype(tag)::type;
        const float scale = is_8bit<V> ? 0.37f : 1.0f;
        std::vector<float> taken = values;
        for (float& value : taken) value = is_8bit<V> && !std::isfinite(value) ? 0.0f : value;
        std::vector<V> narrowed(taken.size());
        narrow_values(dtype, taken.data(), static_cast<std::int64_t>(taken.size()), scale,
                      narrowed.data());
        std::int64_t wrong = 0;
        for (std::size_t i = 0; i < taken.size(); ++i) {
          const V expected = narrow_packed<V>(is_8bit<V> ? taken[i] / scale : taken[i]);
          wrong += !same(widen(narrowed[i]), widen(expected));
        }
        INFO("dtype " << name(dtype) << ", target " << target);
        CHECK(wrong == 0);
      });
    }
  }
  set_simd_target(before);
}

TEST_CASE("validation refuses spoilt buffers") {
  const auto refused = [](PackedMatrix packed, const char* part) {
    INFO(part);
    CHECK_THROWS_AS(validate(packed.refresh()), InvalidArgument);
  };
  for (const PackedFormat format : packed_formats) {
    INFO("format " << name(format));
    PackedMatrix good = example(format);
    CHECK(validate(good.view) == 8 + 3 + 2);
    PackedMatrix packed = good;
    packed.row_offsets[0] = 1;
    refused(packed, "offsets that do not begin with 0");
    packed = good;
    std::swap(packed.row_offsets[1], packed.row_offsets[2]);
    refused(packed, "offsets that decrease");
    packed = good;
    packed.row_offsets[1] = -5;
    refused(packed, "a negative offset");
    packed = good;
    packed.row_offsets[1] = 41;
    refused(packed, "more slots than columns");
    packed = good;
    packed.positions[0] = 0xff;
    packed.positions[1] = 0xff;
    packed.positions[2] = 0xff;
    refused(packed, "positions that do not fit");
  }
  PackedMatrix packed = example(PackedFormat::bitmap);
  packed.positions[5] = 0x01;
  refused(packed, "a bit past the columns");
  packed = example(PackedFormat::gap8);
  packed.positions.back() = 1;
  refused(packed, "a gap in the padding");
  packed = example(PackedFormat::gap4);
  packed.values.back() = 1;
  refused(packed, "a value in the padding");
  for (const float scale : {0.0f, -1.0f, INFINITY, NAN}) {
    packed = example(PackedFormat::bitmap, PackedDType::int8);
    packed.scales[1] = scale;
    refused(packed, "a scale that is not positive and finite");
  }
}

TEST_CASE("sizes that overflow are refused") {
  const std::int64_t huge = std::int64_t{1} << 62;
  CHECK_THROWS_AS(packed_layout(PackedFormat::bitmap, huge, 4, 0), InvalidArgument);
  CHECK_THROWS_AS(packed_layout(PackedFormat::gap8, 4, huge, 0), InvalidArgument);
  CHECK_THROWS_AS(packed_layout(PackedFormat::gap4, huge >> 30, 1 << 30, 0), InvalidArgument);
  CHECK_THROWS_AS(packed_layout(PackedFormat::gap4, 3, 3, 10), InvalidArgument);
  CHECK_THROWS_AS(packed_layout(PackedFormat::gap4, 3, 3, -1), InvalidArgument);
  CHECK_THROWS_AS(packed_layout(PackedFormat::bitmap, -1, 3, 0), InvalidArgument);
}

TEST_CASE("pack refuses offsets, scales and CSR matrices that do not fit") {
  DenseMatrix<float> dense(2, 3);
  dense.data = {1, 0, 2, 0, 3, 0};
  std::vector<std::int32_t> offsets = {0, 1, 3};
  std::vector<std::uint8_t> values(64), positions(64);
  PackedOutput output{
      PackedFormat::bitmap, PackedDType::float32, DType::int32, offsets.data(), nullptr,
      values.data(),        positions.data()};
  CHECK_THROWS_AS(pack(dense.view(), 0, output), InvalidArgument);
  offsets = {0, 2, 3};
  pack(dense.view(), 0, output);
  output.dtype = PackedDType::int8;
  CHECK_THROWS_AS(pack(dense.view(), 0, output), InvalidArgument);
  std::vector<float> scales = {1, 0};
  output.scales = scales.data();
  CHECK_THROWS_AS(pack(dense.view(), 0, output), InvalidArgument);

  const std::vector<std::int32_t> indptr = {0, 2}, indices = {1, 1};
  const std::vector<float> data = {1, 2};
  std::vector<std::int64_t> counts(3);
  const CsrView csr{
      {1, 3, 2, DType::int32, indptr.data(), indices.data()}, DType::float32, data.data()};
  CHECK_THROWS_AS(count_packed(csr, 0, counts.data()), InvalidArgument);
  std::vector<std::int64_t> turned_counts(9);
  CHECK_THROWS_AS(count_packed(csr, 0, turned_counts.data(), true), InvalidArgument);
  // In blocks of their own neither column is behind the other.
  const std::vector<std::int32_t> far_apart{400, 3};
  const CsrView wide{
      {1, 800, 2, DType::int32, indptr.data(), far_apart.data()}, DType::float32, data.data()};
  std::vector<std::int64_t> wide_counts(3 * 800);
  CHECK_THROWS_AS(count_packed(wide, 0, wide_counts.data(), true), InvalidArgument);
}

TEST_SUITE("threads") {
  TEST_CASE("packing gives the same bytes for every number of threads") {
    DenseMatrix<float> dense(300, 70);
    std::mt19937 random(4);
    for (float& x : dense.data) x = random() % 3 == 0 ? static_cast<float>(random() % 100) : 0.0f;
    const int before = num_threads();
    for (const PackedFormat format : packed_formats) {
      set_num_threads(1);
      const PackedMatrix expected(dense.view(), 300, 70, format, PackedDType::float16);
      for (const int threads : {2, 4}) {
        set_num_threads(threads);
        const PackedMatrix packed(dense.view(), 300, 70, format, PackedDType::float16);
        CHECK(packed.values == expected.values);
        CHECK(packed.positions == expected.positions);
        CHECK(validate(packed.view) == validate(expected.view));
      }
    }
    set_num_threads(before);
  }
}

}  // namespace gossamer::testing
