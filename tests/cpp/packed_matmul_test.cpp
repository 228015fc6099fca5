// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <utility>

#include "error_bound.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/simd.hpp"
#include "gossamer/threads.hpp"
#include "guarded_bytes.hpp"
#include "packed_matrix.hpp"

namespace gossamer::testing {
namespace {

/// X or Y: `length` rows, `columns` columns (0 for a vector), rows apart by `padding` more than
/// they need.
template <class T>
struct Operand {
  Operand(std::int64_t length, std::int64_t column_count, std::int64_t padding)
      : columns(std::max<std::int64_t>(1, column_count)), stride(columns + padding) {
    data.resize(static_cast<std::size_t>((length + 1) * stride), make_value<T>(7, 0));
    view.data = data.data();
    view.dtype = dtype_v<T>;
    view.rank = column_count == 0 ? 1 : 2;
    view.shape = {length, columns};
    view.strides = {stride, 1};
  }

  T& at(std::int64_t i, std::int64_t c) { return data[static_cast<std::size_t>(i * stride + c)]; }

  std::int64_t columns, stride;
  std::vector<T> data;
  ArrayView view;
};

/// Checks one product against the sums of the unpacked matrix, for several numbers of threads.
template <class T>
void check_product(const PackedMatrix& packed, DenseMatrix<float>& unpacked, std::int64_t columns,
                   bool transpose) {
  const std::int64_t inputs = transpose ? unpacked.rows : unpacked.cols;
  const std::int64_t outputs = transpose ? unpacked.cols : unpacked.rows;
  Operand<T> x(inputs, columns, 0), y(outputs, columns, columns % 3);
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  for (T& value : x.data) value = make_value<T>(normal(random), 0);
  packed_matmul(packed.view, x.view, y.view, transpose);

  std::vector<ExactSum<T>> exact(static_cast<std::size_t>(outputs * x.columns));
  for (std::int64_t i = 0; i < unpacked.rows; ++i) {
    for (std::int64_t j = 0; j < unpacked.cols; ++j) {
      const float a = unpacked.at(i, j);
      if (a == 0.0f) continue;
      for (std::int64_t c = 0; c < x.columns; ++c) {
        ExactSum<T>& sum = exact[static_cast<std::size_t>((transpose ? j : i) * x.columns + c)];
        const double product = static_cast<double>(a) * widen(x.at(transpose ? i : j, c));
        sum.value += product;
        sum.moduli += std::fabs(product);
        ++sum.terms;
      }
    }
  }
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < outputs; ++i) {
    for (std::int64_t c = 0; c < x.columns; ++c) {
      ExactSum<T>& sum = exact[static_cast<std::size_t>(i * x.columns + c)];
      sum.terms += 2;  // the scale, and the rounding of the unpacked value
      wrong += !within_bound(y.at(i, c), sum);
    }
  }
  INFO("format " << name(packed.view.format) << ", dtype " << name(packed.view.dtype)
                 << ", columns " << columns << ", transpose " << transpose << ", target "
                 << simd_target());
  CHECK(wrong == 0);

  const std::vector<T> first = y.data;
  const int before = num_threads();
  for (const int threads : {1, 3}) {
    std::fill(y.data.begin(), y.data.end(), make_value<T>(7, 0));
    set_num_threads(threads);
    packed_matmul(packed.view, x.view, y.view, transpose);
    CHECK(std::memcmp(first.data(), y.data.data(), first.size() * sizeof(T)) == 0);
  }
  set_num_threads(before);
}

bool all_finite(const std::vector<float>& data) {
  return std::all_of(data.begin(), data.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace

TEST_CASE("packed_matmul is within the error bound on every path") {
  const std::string before = simd_target();
  for (const std::string& target : supported_simd_targets()) {
    set_simd_target(target);
    for (const BatteryMatrix& matrix : battery()) {
      if (matrix.rows * matrix.cols > 250'000) continue;
      INFO("matrix " << matrix.name);
      DenseMatrix<float> dense(matrix);
      for (const PackedFormat format : packed_formats) {
        for (const PackedDType dtype : packed_dtypes) {
          if (has_scales(dtype) && !all_finite(dense.data)) continue;
          const PackedMatrix packed(dense.view(), dense.rows, dense.cols, format, dtype);
          DenseMatrix<float> unpacked(dense.rows, dense.cols);
          unpack(packed.view, unpacked.view());
          for (const bool transpose : {false, true}) {
            check_product<float>(packed, unpacked, 0, transpose);
            check_product<float16>(packed, unpacked, 1, transpose);
            check_product<bfloat16>(packed, unpacked, 3, transpose);
            check_product<float>(packed, unpacked, 13, transpose);
            if (matrix.rows * matrix.cols > 30'000) continue;
            for (const std::int64_t columns : {8, 16, 21, 64, 150}) {
              check_product<float>(packed, unpacked, columns, transpose);
            }
          }
        }
      }
    }
  }
  set_simd_target(before);
}

TEST_CASE("packed_matmul agrees with its reference on long rows") {
  for (const BatteryMatrix& matrix : battery()) {
    if (matrix.name != "long_row" && matrix.name != "long_column") continue;
    DenseMatrix<float> dense(matrix);
    for (const PackedFormat format : packed_formats) {
      const PackedMatrix packed(dense.view(), dense.rows, dense.cols, format, PackedDType::float32);
      for (const bool transpose : {false, true}) {
        check_product<float>(packed, dense, 0, transpose);
        check_product<float>(packed, dense, 3, transpose);
        const std::int64_t inputs = transpose ? dense.rows : dense.cols;
        const std::int64_t outputs = transpose ? dense.cols : dense.rows;
        Operand<float> x(inputs, 0, 0), y(outputs, 0, 0), expected(outputs, 0, 0);
        for (std::int64_t j = 0; j < inputs; ++j) x.at(j, 0) = static_cast<float>(j % 7 - 3);
        packed_matmul(packed.view, x.view, y.view, transpose);
        reference::packed_matmul(packed.view, x.view, expected.view, transpose);
        for (std::int64_t i = 0; i < outputs; ++i) {
          CHECK(y.at(i, 0) == doctest::Approx(expected.at(i, 0)).epsilon(1e-3));
        }
      }
    }
  }
}

TEST_CASE("many columns of X meet every panel") {
  // More columns than one panel has and, in one task, more rows, none a multiple of a panel's.
  for (const auto& [rows, cols] : {std::pair{61, 2100}, std::pair{3300, 270}}) {
    DenseMatrix<float> dense(rows, cols);
    std::mt19937 random(3);
    for (float& x : dense.data) {
      x = random() % 5 < 2 ? static_cast<float>(random() % 100) - 50 : 0.0f;
    }
    const std::string before = simd_target();
    for (const std::string& target : supported_simd_targets()) {
      set_simd_target(target);
      INFO("rows " << rows << ", target " << target);
      for (const PackedFormat format : {PackedFormat::bitmap, PackedFormat::gap4}) {
        for (const PackedDType dtype : {PackedDType::float32, PackedDType::bfloat16}) {
          const PackedMatrix packed(dense.view(), dense.rows, dense.cols, format, dtype);
          for (const std::int64_t columns : {17, 33, 48}) {
            check_product<float>(packed, dense, columns, false);
            check_product<float>(packed, dense, columns, true);
          }
          for (const std::int64_t columns : {2, 6}) {
            check_product<float>(packed, dense, columns, true);
          }
          for (const bool transpose : {false, true}) {
            check_product<float16>(packed, dense, 33, transpose);
            check_product<bfloat16>(packed, dense, 33, transpose);
          }
        }
      }
    }
    set_simd_target(before);
  }
}

TEST_CASE("many columns of X meet values that bfloat16 tiles would take for zero or infinite") {
  // Products are normal float32, their parts, or those of X, are not.
  for (const auto& [weight, element] :
       {std::pair{0x1p-127f, 1.0f}, std::pair{0x1p-110f, 0x1.5555p3f},
        std::pair{0x1p100f, 0x1.5555p-110f}, std::pair{1.0f, 0x1.555556p-120f}}) {
    DenseMatrix<float> dense(40, 130);
    for (std::size_t k = 0; k < dense.data.size(); k += 2) dense.data[k] = weight;
    const PackedMatrix packed(dense.view(), 40, 130, PackedFormat::bitmap, PackedDType::bfloat16);
    Operand<float> x(130, 40, 0), y(40, 40, 0);
    for (float& value : x.data) value = element;
    for_each_target([&] {
      INFO("weight " << weight << ", element " << element << ", target " << simd_target());
      packed_matmul(packed.view, x.view, y.view);
      ExactSum<float> sum;
      for (std::int64_t j = 0; j < 65; ++j) sum.add(weight, element);
      for (const float value : y.data) {
        if (&value >= y.data.data() + 40 * 40) break;
        CHECK(within_bound(value, sum));
      }
    });
  }
}

TEST_CASE("one value out of the range of bfloat16 tiles reaches no other row") {
  // Many more rows than tiles take at once, so that some are left when it is met.
  DenseMatrix<float> dense(1500, 130);
  std::mt19937 random(4);
  for (float& x : dense.data) x = random() % 2 == 0 ? static_cast<float>(random() % 100) : 0.0f;
  for (const std::int64_t row : {0, 700, 1499}) {
    const float before = std::exchange(dense.at(row, 5), 0x1p-100f);
    const PackedMatrix packed(dense.view(), 1500, 130, PackedFormat::bitmap, PackedDType::bfloat16);
    for_each_target([&] { check_product<float>(packed, dense, 32, false); });
    dense.at(row, 5) = before;
  }
}

#if GOSSAMER_HAS_GUARD_PAGES
TEST_CASE("many columns of X read nothing beyond a packed array") {
  // The last block of 64 columns needs both, or one, of a row's last two words of a bitmap; the
  // last row is full, half full or empty.
  for (const std::int64_t cols : {20, 300, 323}) {
    for (const unsigned last_row : {1u, 2u, 100'000u}) {
      DenseMatrix<float> dense(37, cols);
      std::mt19937 random(6);
      for (std::int64_t i = 0; i < 37; ++i) {
        for (std::int64_t j = 0; j < cols; ++j) {
          if (random() % (i == 36 ? last_row : 2) == 0) {
            dense.at(i, j) = 1 + static_cast<float>(random() % 100);
          }
        }
      }
      for (const PackedFormat format : packed_formats) {
        for (const PackedDType dtype : packed_dtypes) {
          PackedMatrix packed(dense.view(), 37, cols, format, dtype);
          DenseMatrix<float> unpacked(37, cols);
          unpack(packed.view, unpacked.view());
          const GuardedBytes values(packed.values.data(), packed.values.size());
          const GuardedBytes positions(packed.positions.data(), packed.positions.size());
          const GuardedBytes row_offsets(packed.row_offsets.data(),
                                         packed.row_offsets.size() * sizeof(std::int32_t));
          const GuardedBytes scales(packed.scales.data(), packed.scales.size() * sizeof(float));
          packed.view.values = values.data();
          packed.view.positions = static_cast<const std::uint8_t*>(positions.data());
          packed.view.row_offsets = row_offsets.data();
          if (has_scales(dtype)) packed.view.scales = static_cast<const float*>(scales.data());
          INFO("columns of P " << cols);
          for_each_target([&] {
            // Gap rows are decoded for more than 32 columns.
            for (const std::int64_t columns : {32, 40}) {
              check_product<float>(packed, unpacked, columns, false);
            }
            check_product<float>(packed, unpacked, 32, true);
          });
        }
      }
    }
  }
}
#endif

TEST_CASE("rows of the largest gaps meet their own elements of x") {
  for (const std::int64_t step : {16, 256}) {
    DenseMatrix<float> dense(2, 40 * step);
    for (std::int64_t k = 0; k < 40; ++k) dense.at(k % 13 == 5, (k + 1) * step - 1) = 1;
    const PackedMatrix packed(dense.view(), 2, 40 * step,
                              step == 16 ? PackedFormat::gap4 : PackedFormat::gap8,
                              PackedDType::float32);
    const std::string before = simd_target();
    for (const std::string& target : supported_simd_targets()) {
      set_simd_target(target);
      Operand<float> x(40 * step, 0, 0), y(2, 0, 0);
      for (std::int64_t j = 0; j < 40 * step; ++j) x.at(j, 0) = static_cast<float>(j);
      packed_matmul(packed.view, x.view, y.view);
      float expected[2] = {};
      for (std::int64_t k = 0; k < 40; ++k) {
        expected[k % 13 == 5] += static_cast<float>((k + 1) * step - 1);
      }
      CHECK(y.at(0, 0) == expected[0]);  // whole numbers below 2^24: exact in any order
      CHECK(y.at(1, 0) == expected[1]);
    }
    set_simd_target(before);
  }
}

TEST_CASE("infinities and NaN in X reach exactly the rows that store their column") {
  // Row 0 stores column 1, row 1 stores column 280 behind fillers, row 2 an infinity, row 3
  // nothing.
  DenseMatrix<float> dense(4, 300);
  dense.at(0, 1) = 2;
  dense.at(1, 280) = 3;
  dense.at(2, 4) = std::numeric_limits<float>::infinity();
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const std::string before = simd_target();
  for (const std::string& target : supported_simd_targets()) {
    set_simd_target(target);
    for (const PackedFormat format : packed_formats) {
      const PackedMatrix packed(dense.view(), 4, 300, format, PackedDType::float16);
      for (const std::int64_t columns : {0, 2, 40}) {
        Operand<float> x(300, columns, 0), y(4, columns, 0);
        for (float& value : x.data) value = 1;
        for (const std::int64_t j : {0, 2, 15, 16, 255, 256, 279, 299}) x.at(j, 0) = nan;
        packed_matmul(packed.view, x.view, y.view);
        INFO("format " << name(format) << ", columns " << columns << ", target " << target);
        CHECK(y.at(0, 0) == 2);
        CHECK(y.at(1, 0) == 3);
        CHECK(y.at(2, 0) == inf);
        CHECK(y.at(3, 0) == 0);
        x.at(1, 0) = -inf;
        packed_matmul(packed.view, x.view, y.view);
        CHECK(y.at(0, 0) == -inf);
        CHECK(y.at(1, 0) == 3);
        if (columns > 1) CHECK(y.at(0, columns - 1) == 2);

        Operand<float> u(4, columns, 0), v(300, columns, 0);
        for (float& value : u.data) value = 1;
        u.at(1, 0) = nan;
        u.at(3, 0) = inf;
        packed_matmul(packed.view, u.view, v.view, true);
        CHECK(v.at(1, 0) == 2);
        CHECK(std::isnan(v.at(280, 0)));
        CHECK(v.at(15, 0) == 0);
        CHECK(v.at(299, 0) == 0);
      }
    }
  }
  set_simd_target(before);
}

TEST_CASE("infinities and NaN in X reach no row that is decoded with a zero there") {
  const float inf = std::numeric_limits<float>::infinity();
  DenseMatrix<float> dense(14, 300);
  for (std::int64_t i = 0; i < 14; ++i) {
    for (std::int64_t j = (i + 1) % 2; j < 300; j += 2) dense.at(i, j) = 1;
  }
  const std::string before = simd_target();
  // The first row is finite without X's, or is not.
  for (const auto& [weight, dtype] :
       {std::pair{1.0f, PackedDType::float32}, std::pair{inf, PackedDType::float32},
        std::pair{1.0f, PackedDType::bfloat16}, std::pair{inf, PackedDType::bfloat16}}) {
    dense.at(0, 1) = weight;
    const PackedMatrix packed(dense.view(), 14, 300, PackedFormat::bitmap, dtype);
    for (const std::string& target : supported_simd_targets()) {
      set_simd_target(target);
      for (const std::int64_t columns : {32, 40}) {  // read in place, and from a copy
        INFO("weight " << weight << ", columns " << columns << ", target " << target);
        Operand<float> x(300, columns, 0), y(14, columns, 0);
        for (float& value : x.data) value = 1;
        x.at(7, 3) = inf;
        x.at(280, 20) = std::nanf("");
        packed_matmul(packed.view, x.view, y.view);
        for (std::int64_t i = 0; i < 14; ++i) {
          const float finite = i == 0 ? 149 + weight : 150;
          CHECK(y.at(i, 0) == finite);
          CHECK(y.at(i, 3) == (i % 2 == 0 ? inf : 150));
          CHECK(std::isnan(y.at(i, 20)) == (i % 2 == 1));
          if (i % 2 == 0) CHECK(y.at(i, 20) == finite);
        }
        Operand<float> u(14, columns, 0), v(300, columns, 0);
        for (float& value : u.data) value = 1;
        u.at(3, 3) = inf;
        u.at(4, 20) = std::nanf("");
        packed_matmul(packed.view, u.view, v.view, true);
        for (std::int64_t j = 2; j < 300; ++j) {
          CHECK(v.at(j, 0) == 7);
          CHECK(v.at(j, 3) == (j % 2 == 0 ? inf : 7));
          CHECK(std::isnan(v.at(j, 20)) == (j % 2 == 1));
          if (j % 2 == 0) CHECK(v.at(j, 20) == 7);
        }
      }
    }
  }
  set_simd_target(before);
}

TEST_CASE("packed_matmul refuses operands that do not fit") {
  DenseMatrix<float> dense(4, 6);
  dense.at(1, 2) = 1;
  const PackedMatrix packed(dense.view(), 4, 6, PackedFormat::bitmap, PackedDType::float32);
  std::vector<double> memory(64);
  const auto array = [&](DType dtype, std::initializer_list<std::int64_t> shape) {
    return ArrayView::contiguous(memory.data(), dtype, shape);
  };
  const ArrayView x = array(DType::float32, {6}), y = array(DType::float32, {4});
  CHECK_THROWS_AS(packed_matmul(packed.view, array(DType::float32, {5}), y), InvalidArgument);
  CHECK_THROWS_AS(packed_matmul(packed.view, x, array(DType::float32, {5})), InvalidArgument);
  CHECK_THROWS_AS(packed_matmul(packed.view, x, y, true), InvalidArgument);
  CHECK_THROWS_AS(packed_matmul(packed.view, array(DType::float32, {}), y), InvalidArgument);
  CHECK_THROWS_AS(packed_matmul(packed.view, array(DType::float64, {6}), y), InvalidDType);
  CHECK_THROWS_AS(packed_matmul(packed.view, x, array(DType::int32, {4})), InvalidDType);
}

TEST_SUITE("threads") {
  TEST_CASE("packed_matmul gives the same bits for every number of threads") {
    DenseMatrix<float> dense(700, 130);
    std::mt19937 random(5);
    for (float& x : dense.data) x = random() % 2 == 0 ? static_cast<float>(random() % 100) : 0.0f;
    for (const PackedFormat format : packed_formats) {
      const PackedMatrix packed(dense.view(), 700, 130, format, PackedDType::bfloat16);
      DenseMatrix<float> unpacked(700, 130);
      unpack(packed.view, unpacked.view());
      for (const std::int64_t columns : {0, 5, 33}) {
        check_product<float>(packed, unpacked, columns, false);
        check_product<float>(packed, unpacked, columns, true);
      }
    }
  }
}

}  // namespace gossamer::testing
