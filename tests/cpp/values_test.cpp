// SPDX-License-Identifier: Apache-2.0
#include "ops/values/values.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <random>

#include "battery.hpp"
#include "error_bound.hpp"
#include "gossamer/errors.hpp"
#include "gossamer/threads.hpp"

namespace gossamer::testing {
namespace {

/// Segments of 0 to 5 positions with a map into `values`, and the operations on them.
template <class T, class I>
void check_values(std::int64_t count) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  const std::size_t size = static_cast<std::size_t>(count);
  std::vector<T> values(size + 1);
  for (T& value : values) value = make_value<T>(normal(random), normal(random));
  std::vector<I> segments{0};
  for (std::int64_t s = 0; s < count; ++s) {
    segments.push_back(static_cast<I>(
        std::min<std::int64_t>(segments.back() + static_cast<I>(random() % 6), 4 * count)));
  }
  std::vector<I> map(static_cast<std::size_t>(segments.back()));
  for (I& from : map) from = static_cast<I>(random() % values.size());

  for (int threads : {1, 2, 4}) {
    const int before = num_threads();
    set_num_threads(threads);
    std::vector<T> sums(size, make_value<T>(9, 9)), gathered(map.size());
    segment_sum(dtype_v<T>, values.data(), dtype_v<I>, map.data(), segments.data(), count,
                sums.data());
    std::int64_t wrong = 0;
    for (std::size_t s = 0; s < size; ++s) {
      ExactSum<T> exact;
      for (I p = segments[s]; p < segments[s + 1]; ++p) {
        exact.add(values[static_cast<std::size_t>(map[static_cast<std::size_t>(p)])],
                  make_value<T>(1, 0));
      }
      wrong += !within_bound(sums[s], exact);
    }
    CHECK(wrong == 0);

    // Gathered values sum to the same bits without a map.
    gather(dtype_v<T>, values.data(), dtype_v<I>, map.data(), segments.back(), gathered.data());
    std::vector<T> again(size);
    segment_sum(dtype_v<T>, gathered.data(), dtype_v<I>, nullptr, segments.data(), count,
                again.data());
    CHECK((size == 0 || std::memcmp(sums.data(), again.data(), size * sizeof(T)) == 0));

    std::vector<T> reference_gathered(map.size()), reference_sums(size);
    if (!map.empty()) map[0] = -1;
    gather(dtype_v<T>, values.data(), dtype_v<I>, map.data(), segments.back(), gathered.data());
    reference::gather(dtype_v<T>, values.data(), dtype_v<I>, map.data(), segments.back(),
                      reference_gathered.data());
    CHECK((map.empty() ||
           std::memcmp(gathered.data(), reference_gathered.data(), map.size() * sizeof(T)) == 0));
    if (!map.empty()) map[0] = 0;
    set_num_threads(before);
  }
}

}  // namespace

TEST_CASE("gather and segment_sum") {
  for (std::int64_t count : {0, 1, 17, 100'000}) {
#define GOSSAMER_CHECK(enumerator, type, ...) \
  check_values<type, std::int32_t>(count);    \
  check_values<type, std::int64_t>(count);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  }
}

TEST_CASE("a single value keeps its bits, an empty segment is zero") {
  const std::vector<float> values{-0.0f, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<int> segments{0, 1, 1, 2};
  std::vector<float> sums(3, 5.0f);
  segment_sum(DType::float32, values.data(), DType::int32, nullptr, segments.data(), 3,
              sums.data());
  CHECK(std::signbit(sums[0]));
  CHECK(sums[1] == 0.0f);
  CHECK(std::isnan(sums[2]));
}

TEST_CASE("gather and segment_sum refuse other dtypes") {
  CHECK_THROWS_AS(gather(DType::int32, nullptr, DType::int32, nullptr, 0, nullptr), InvalidDType);
  CHECK_THROWS_AS(gather(DType::float32, nullptr, DType::float32, nullptr, 0, nullptr),
                  InvalidDType);
  CHECK_THROWS_AS(segment_sum(DType::int64, nullptr, DType::int32, nullptr, nullptr, 0, nullptr),
                  InvalidDType);
}

}  // namespace gossamer::testing
