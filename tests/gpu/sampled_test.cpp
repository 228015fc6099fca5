// SPDX-License-Identifier: Apache-2.0
// Operations on values at stored positions: gather, segment_sum, sddmm, spgemm_masked.
#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "device_csr.hpp"
#include "error_bound.hpp"
#include "gossamer/cuda/sddmm.hpp"
#include "gossamer/cuda/spgemm.hpp"
#include "gossamer/cuda/values.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::testing {
namespace {

const cuda::Stream stream;

template <class T>
std::vector<T> random_values(std::size_t count) {
  std::mt19937 random(2);
  std::normal_distribution<double> normal;
  std::vector<T> values(count);
  for (T& value : values) value = make_value<T>(normal(random), normal(random));
  return values;
}

template <class T, class I>
void check_values(const BatteryMatrix& matrix) {
  const OwnedCsr<T, I> a(matrix);
  const DeviceCsr<T, I> device(a);
  std::vector<I> map(a.values.size());
  for (std::size_t p = 0; p < map.size(); ++p) {
    map[p] = p % 5 == 4 ? I{-1} : static_cast<I>((p * 7) % map.size());
  }
  const DeviceMemory<I> device_map(map);
  const DeviceMemory<T> moved(map.size());
  cuda::gather(dtype_v<T>, device.values.data(), dtype_v<I>, device_map.data(),
               device.pattern().nnz, moved.data(), stream);
  const std::vector<T> gathered = moved.host();
  for (std::size_t p = 0; p < map.size(); ++p) {
    const T expected = map[p] < 0 ? T{} : a.values[static_cast<std::size_t>(map[p])];
    CHECK(std::memcmp(&gathered[p], &expected, sizeof(T)) == 0);
  }

  for (I& from : map) from = from < 0 ? I{0} : from;
  const DeviceMemory<I> whole_map(map);
  for (bool mapped : {false, true}) {
    const DeviceMemory<T> sums(static_cast<std::size_t>(a.rows));
    cuda::segment_sum(dtype_v<T>, device.values.data(), dtype_v<I>,
                      mapped ? whole_map.data() : nullptr, device.pattern().nnz,
                      device.indptr.data(), a.rows, sums.data(), stream);
    const std::vector<T> result = sums.host();
    for (std::size_t i = 0; i < result.size(); ++i) {
      ExactSum<T> exact;
      for (I p = a.indptr[i]; p < a.indptr[i + 1]; ++p) {
        const auto from = static_cast<std::size_t>(p);
        exact.add(a.values[mapped ? static_cast<std::size_t>(map[from]) : from],
                  make_value<T>(1, 0));
      }
      CHECK(within_bound(result[i], exact));
    }
  }
}

/// U and V with `members` matrices each, or, swapped, the transposed ones.
template <class T, class I>
void check_sddmm(const BatteryMatrix& matrix, std::int64_t k, bool conjugate,
                 std::int64_t members = 2, bool swapped = false) {
  const OwnedCsr<T, I> a(matrix);
  const DeviceCsr<T, I> device(a);
  const auto u = random_values<T>(static_cast<std::size_t>(members * a.rows * k));
  const auto v = random_values<T>(static_cast<std::size_t>(members * a.cols * k));
  const DeviceMemory<T> device_u(u), device_v(v), values(a.values.size());
  const auto view = [&](void* data, std::int64_t rows) {
    ArrayView all = ArrayView::contiguous(data, dtype_v<T>, {members, rows, k});
    if (swapped) {
      all.strides[1] = 1;
      all.strides[2] = rows;
    }
    return all;
  };
  const auto element = [&](const std::vector<T>& from, std::int64_t rows, std::int64_t m,
                           std::int64_t row, std::int64_t c) {
    return from[static_cast<std::size_t>(m * rows * k + (swapped ? c * rows + row : row * k + c))];
  };
  const ArrayView u_view = view(device_u.data(), a.rows), v_view = view(device_v.data(), a.cols);
  const DeviceMemory<char> workspace(cuda::sddmm_workspace(device.pattern(), u_view, v_view));
  cuda::sddmm(device.pattern(), u_view, v_view, values.data(), conjugate, workspace.workspace(),
              stream);
  const std::vector<T> result = values.host();
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (I p = a.indptr[static_cast<std::size_t>(i)]; p < a.indptr[static_cast<std::size_t>(i) + 1];
         ++p) {
      ExactSum<T> exact;
      for (std::int64_t m = 0; m < members; ++m) {
        for (std::int64_t c = 0; c < k; ++c) {
          const T right = element(v, a.cols, m, a.indices[static_cast<std::size_t>(p)], c);
          exact.add(element(u, a.rows, m, i, c), conjugate ? conjugate_if<true>(right) : right);
        }
      }
      CHECK(within_bound(result[static_cast<std::size_t>(p)], exact));
    }
  }
}

/// Every position of a small matrix that a product falls on, and the product there.
template <class T, class I>
void check_masked(bool transpose_b) {
  BatteryMatrix a, b, mask;
  a.rows = 23;
  a.cols = b.rows = 31;
  b.cols = 17;
  if (transpose_b) std::swap(b.rows, b.cols);
  mask.rows = a.rows;
  mask.cols = 17;
  const auto fill = [](BatteryMatrix& m, std::int64_t step) {
    for (std::int64_t cell = 0; cell < m.rows * m.cols; cell += step) {
      m.row.push_back(cell / m.cols);
      m.col.push_back(cell % m.cols);
      m.real.push_back(static_cast<double>(cell % 13) - 5.5);
      m.imag.push_back(static_cast<double>(cell % 7));
    }
  };
  fill(a, 3);
  fill(b, 4);
  fill(mask, 2);
  const OwnedCsr<T, I> left(a), right(b), at(mask);
  const DeviceCsr<T, I> device_left(left), device_right(right), device_at(at);
  const DeviceMemory<T> values(at.values.size());
  cuda::spgemm_masked(device_left.view(), device_right.view(), device_at.pattern(), values.data(),
                      transpose_b, stream);
  const std::vector<T> result = values.host();
  const DeviceMemory<T> summed(at.values.size());
  if (!transpose_b) {
    cuda::spgemm_values(device_left.view(), device_right.view(), device_at.pattern(), summed.data(),
                        stream);
  }
  const std::vector<T> sums = transpose_b ? result : summed.host();
  const auto element = [](const OwnedCsr<T, I>& m, std::int64_t i, std::int64_t j) {
    for (I p = m.indptr[static_cast<std::size_t>(i)]; p < m.indptr[static_cast<std::size_t>(i) + 1];
         ++p) {
      if (m.indices[static_cast<std::size_t>(p)] == j) return m.values[static_cast<std::size_t>(p)];
    }
    return T{};
  };
  for (std::size_t p = 0; p < mask.row.size(); ++p) {
    ExactSum<T> exact;
    for (std::int64_t k = 0; k < a.cols; ++k) {
      exact.add(element(left, mask.row[p], k),
                transpose_b ? element(right, mask.col[p], k) : element(right, k, mask.col[p]));
    }
    CHECK(within_bound(result[p], exact));
    CHECK(within_bound(sums[p], exact));
  }
}

}  // namespace

TEST_CASE("values follow maps and are summed by segments") {
  for (const BatteryMatrix& matrix : reduced_battery()) {
#define GOSSAMER_CHECK(enumerator, type, ...) \
  check_values<type, std::int32_t>(matrix);   \
  check_values<type, std::int64_t>(matrix);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  }
}

TEST_CASE("sddmm samples the dense product") {
  for (const BatteryMatrix& matrix : reduced_battery()) {
#define GOSSAMER_CHECK(enumerator, type, ...)        \
  check_sddmm<type, std::int32_t>(matrix, 5, true);  \
  check_sddmm<type, std::int64_t>(matrix, 1, false); \
  check_sddmm<type, std::int32_t>(matrix, 16, false);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
    check_sddmm<float, std::int32_t>(matrix, 72, false);
    check_sddmm<float, std::int32_t>(matrix, 260, false);
    check_sddmm<float, std::int32_t>(matrix, 100, false, 1, true);
    check_sddmm<complex128, std::int64_t>(matrix, 84, true, 1, true);
  }
}

TEST_CASE("spgemm_masked and spgemm_values sample the sparse product") {
  for (bool transpose_b : {false, true}) {
#define GOSSAMER_CHECK(enumerator, type, ...)    \
  check_masked<type, std::int32_t>(transpose_b); \
  check_masked<type, std::int64_t>(transpose_b);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CHECK)
#undef GOSSAMER_CHECK
  }
}

}  // namespace gossamer::testing
