// SPDX-License-Identifier: Apache-2.0
#include "gossamer/sddmm.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "battery.hpp"
#include "error_bound.hpp"
#include "every_target.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::testing {
namespace {

/// Two batch members of a (length, k) operand, its rows `gap` elements apart beyond their end.
template <class T>
struct Factor {
  Factor(std::int64_t length, std::int64_t k, std::int64_t gap, unsigned seed)
      : length(length), k(k), stride(k + gap), data(static_cast<std::size_t>(2 * length * stride)) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    for (T& value : data) value = make_value<T>(normal(random), normal(random));
  }

  ArrayView view() {
    ArrayView view = ArrayView::contiguous(data.data(), dtype_v<T>, {2, length, k});
    view.strides = {length * stride, stride, 1};
    return view;
  }
  T at(std::int64_t member, std::int64_t i, std::int64_t c) const {
    return data[static_cast<std::size_t>((member * length + i) * stride + c)];
  }

  std::int64_t length, k, stride;
  std::vector<T> data;
};

template <class T, class I>
void check_sddmm(const BatteryMatrix& matrix, std::int64_t k, std::int64_t gap, bool conjugate) {
  const OwnedCsr<T, I> a(matrix);
  Factor<T> u(a.rows, k, gap, 1), v(a.cols, k, gap, 2);
  std::vector<ExactSum<T>> exact;
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (I p = a.indptr[static_cast<std::size_t>(i)]; p < a.indptr[static_cast<std::size_t>(i) + 1];
         ++p) {
      const std::int64_t j = a.indices[static_cast<std::size_t>(p)];
      ExactSum<T>& sum = exact.emplace_back();
      for (std::int64_t member = 0; member < 2; ++member) {
        for (std::int64_t c = 0; c < k; ++c) {
          const T right = v.at(member, j, c);
          sum.add(u.at(member, i, c), conjugate ? conjugate_if<true>(right) : right);
        }
      }
    }
  }
  const auto check = [&](auto&& operation) {
    std::vector<T> values(exact.size(), make_value<T>(7, 7));
    operation(a.pattern(), u.view(), v.view(), values.data(), conjugate);
    std::int64_t wrong = 0;
    for (std::size_t p = 0; p < exact.size(); ++p) wrong += !within_bound(values[p], exact[p]);
    CHECK(wrong == 0);
    return values;
  };
  INFO("matrix " << matrix.name << ", dtype " << name(dtype_v<T>) << ", k " << k);
  check([](auto... arguments) { reference::sddmm(arguments...); });
  for_each_target([&] {
    INFO("target " << simd_target());
    const auto fast = [](auto... arguments) { sddmm(arguments...); };
    const std::vector<T> first = check(fast);
    for_each_thread_count([&] {
      const std::vector<T> again = check(fast);
      const std::size_t bytes = first.size() * sizeof(T);
      CHECK((bytes == 0 || std::memcmp(first.data(), again.data(), bytes) == 0));
    });
  });
}

template <class T>
void check_all_sddmm(const BatteryMatrix& matrix) {
  check_sddmm<T, std::int32_t>(matrix, 1, 0, false);
  check_sddmm<T, std::int64_t>(matrix, 5, 2, is_complex<T>);
  check_sddmm<T, std::int32_t>(matrix, 33, 0, false);
}

}  // namespace

TEST_CASE("sddmm is within the error bound and has the same bits on any number of threads") {
  for (const BatteryMatrix& matrix : battery()) {
    if (matrix.row.size() > 50'000) continue;
#define GOSSAMER_CHECK(enumerator, type, ...) check_all_sddmm<type>(matrix);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  }
}

TEST_CASE("sddmm refuses operands that do not fit") {
  const OwnedCsr<float, std::int32_t> a(battery().back());
  std::vector<float> memory(static_cast<std::size_t>(4 * (a.rows + a.cols)));
  std::vector<float> values(a.indices.size());
  const auto dense = [&](DType dtype, std::initializer_list<std::int64_t> shape) {
    return ArrayView::contiguous(memory.data(), dtype, shape);
  };
  const ArrayView u = dense(DType::float32, {a.rows, 2}), v = dense(DType::float32, {a.cols, 2});
  CHECK_THROWS_AS(sddmm(a.pattern(), dense(DType::float32, {a.rows + 1, 2}), v, values.data()),
                  InvalidArgument);
  CHECK_THROWS_AS(sddmm(a.pattern(), u, dense(DType::float32, {a.cols, 3}), values.data()),
                  InvalidArgument);
  CHECK_THROWS_AS(sddmm(a.pattern(), u, dense(DType::float64, {a.cols, 2}), values.data()),
                  InvalidDType);
}

}  // namespace gossamer::testing
