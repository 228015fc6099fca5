// SPDX-License-Identifier: Apache-2.0
// Elements are tested 64 at a time, along the axis that is nearer in memory, into a mask of bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "convert/dense_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "convert/dense.hpp"
#include "core/scalar.hpp"
#include "core/visit.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

template <std::size_t Size>
using Bits = std::conditional_t<Size == 2, std::uint16_t,
                                std::conditional_t<Size == 4, std::uint32_t, std::uint64_t>>;

/// The magnitude of a real number as an integer of the same order; NaN's is the greatest.
template <class T>
HWY_INLINE Bits<sizeof(T)> magnitude(T x) {
  using U = Bits<sizeof(T)>;
  return std::bit_cast<U>(x) & static_cast<U>(std::numeric_limits<U>::max() >> 1);
}

/// Whether |x| > threshold, or x is NaN.
template <class T>
class Test {
 public:
  explicit Test(double threshold) {
    T nearest;
    if constexpr (is_16bit<T>) {
      nearest = narrow<T>(static_cast<float>(threshold));
    } else {
      nearest = static_cast<T>(threshold);
    }
    // x > t just when x is greater than the last number of its type that is not above t.
    limit_ = magnitude(nearest);
    if (static_cast<double>(widen(nearest)) > threshold) --limit_;
  }
  HWY_INLINE bool operator()(T x) const { return magnitude(x) > limit_; }

 private:
  Bits<sizeof(T)> limit_;
};

template <class R>
class Test<std::complex<R>> {
 public:
  explicit Test(double threshold) : threshold_(threshold), part_(threshold) {}
  HWY_INLINE bool operator()(const std::complex<R>& x) const {
    if (part_(x.real()) || part_(x.imag())) return true;
    return threshold_ > 0 &&
           std::hypot(static_cast<double>(x.real()), static_cast<double>(x.imag())) > threshold_;
  }

 private:
  double threshold_;
  Test<R> part_;
};

/// One bit for each of n ≤ 64 elements at the given stride.
template <class T>
HWY_INLINE std::uint64_t test_block(const T* x, std::int64_t stride, std::int64_t n,
                                    const Test<T>& test) {
  std::uint8_t kept[dense_block] = {};
  if (stride == 1) {
    for (std::int64_t k = 0; k < n; ++k) kept[k] = test(x[k]);
  } else {
    for (std::int64_t k = 0; k < n; ++k) kept[k] = test(x[k * stride]);
  }
  std::uint64_t mask = 0;
  for (int byte = 0; byte < 8; ++byte) {
    std::uint64_t eight;
    std::memcpy(&eight, kept + 8 * byte, 8);
    if constexpr (std::endian::native == std::endian::big) {
      for (int k = 0; k < 8; ++k) mask |= std::uint64_t{kept[8 * byte + k]} << (8 * byte + k);
    } else {
      mask |= (eight * 0x0102040810204080u >> 56) << (8 * byte);
    }
  }
  return mask;
}

/// Calls body(i, row_step, j, col_step, mask) for blocks of the rows [first, last): bit k of the
/// mask stands for the element (i + k·row_step, j + k·col_step). Blocks lie along rows or, where
/// these are nearer in memory, columns.
template <class T, class Body>
HWY_INLINE void for_each_mask(const ArrayView& dense, double threshold, std::int64_t first,
                              std::int64_t last, Body&& body) {
  const Test<T> test(threshold);
  const T* const x = static_cast<const T*>(dense.data);
  const std::int64_t cols = dense.shape[1], row_stride = dense.strides[0],
                     col_stride = dense.strides[1];
  if (std::abs(col_stride) <= std::abs(row_stride)) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t j = 0; j < cols; j += dense_block) {
        const std::int64_t n = std::min(dense_block, cols - j);
        body(i, 0, j, 1, test_block(x + i * row_stride + j * col_stride, col_stride, n, test));
      }
    }
    return;
  }
  for (std::int64_t i = first; i < last; i += dense_block) {
    const std::int64_t n = std::min(dense_block, last - i);
    for (std::int64_t j = 0; j < cols; ++j) {
      body(i, 1, j, 0, test_block(x + i * row_stride + j * col_stride, row_stride, n, test));
    }
  }
}

void CountDenseRows(const ArrayView& dense, double threshold, std::int64_t first, std::int64_t last,
                    DType index_dtype, void* counts) {
  visit_value(dense.dtype, "dense", [&](auto value) HWY_ATTR {
    visit_index(index_dtype, "indptr", [&](auto index) HWY_ATTR {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      I* const count = static_cast<I*>(counts);
      std::fill_n(count, last - first, I{0});
      for_each_mask<T>(dense, threshold, first, last,
                       [&](std::int64_t i, int row_step, std::int64_t, int, std::uint64_t mask)
                           HWY_ATTR {
                             if (row_step == 0) {
                               count[i - first] += static_cast<I>(std::popcount(mask));
                               return;
                             }
                             for (; mask != 0; mask &= mask - 1) {
                               ++count[i - first + std::countr_zero(mask)];
                             }
                           });
    });
  });
}

void FillDenseRows(const ArrayView& dense, double threshold, std::int64_t first, std::int64_t last,
                   DType index_dtype, const void* indptr, void* indices, void* values) {
  visit_value(dense.dtype, "dense", [&](auto value) HWY_ATTR {
    visit_index(index_dtype, "indptr", [&](auto index) HWY_ATTR {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const T* const x = static_cast<const T*>(dense.data);
      I next[dense_block];  // where the next element of each row of a block goes
      std::int64_t begun = -1;
      for_each_mask<T>(
          dense, threshold, first, last,
          [&](std::int64_t i, int row_step, std::int64_t j, int col_step,
              std::uint64_t mask) HWY_ATTR {
            if (i != begun) {
              const std::int64_t rows = row_step == 0 ? 1 : std::min(dense_block, last - i);
              std::copy_n(static_cast<const I*>(indptr) + i, rows, next);
              begun = i;
            }
            for (; mask != 0; mask &= mask - 1) {
              const int bit = std::countr_zero(mask);
              const std::int64_t row = i + bit * row_step, column = j + bit * col_step;
              const I to = next[bit * row_step]++;
              static_cast<I*>(indices)[to] = static_cast<I>(column);
              static_cast<T*>(values)[to] = x[row * dense.strides[0] + column * dense.strides[1]];
            }
          });
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void count_dense_rows(const ArrayView& dense, double threshold, std::int64_t first,
                      std::int64_t last, DType index_dtype, void* counts) {
  GOSSAMER_SIMD_FUNCTION(CountDenseRows)(dense, threshold, first, last, index_dtype, counts);
}

void fill_dense_rows(const ArrayView& dense, double threshold, std::int64_t first,
                     std::int64_t last, DType index_dtype, const void* indptr, void* indices,
                     void* values) {
  GOSSAMER_SIMD_FUNCTION(FillDenseRows)
  (dense, threshold, first, last, index_dtype, indptr, indices, values);
}

}  // namespace gossamer
#endif  // HWY_ONCE
