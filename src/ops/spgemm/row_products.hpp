// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace gossamer {

/// products[i - begin] = elementary products of row i of A B, for rows begin..end.
///
/// Sums run over the entries of many rows at once: rows of few entries would each cost a branch
/// that is not predicted.
template <class I>
void count_products(const I* a_indptr, const I* a_indices, const I* b_indptr, std::int64_t begin,
                    std::int64_t end, std::int64_t* products) {
  constexpr std::int64_t block = 512;
  std::array<std::int64_t, block + 1> sums;
  sums[0] = 0;
  const auto products_of = [&](std::int64_t p) {
    const I* offsets = b_indptr + a_indices[p];
    return static_cast<std::int64_t>(offsets[1] - offsets[0]);
  };
  while (begin < end) {
    const std::int64_t first = a_indptr[begin];
    std::int64_t row = begin;
    while (row < end && a_indptr[row + 1] - first <= block) ++row;
    if (row == begin) {
      std::int64_t sum = 0;
      for (std::int64_t p = first; p < a_indptr[row + 1]; ++p) sum += products_of(p);
      *products++ = sum;
      ++begin;
      continue;
    }
    const std::int64_t entries = a_indptr[row] - first;
    for (std::int64_t e = 0; e < entries; ++e) {
      sums[static_cast<std::size_t>(e + 1)] =
          sums[static_cast<std::size_t>(e)] + products_of(first + e);
    }
    for (; begin < row; ++begin) {
      *products++ = sums[static_cast<std::size_t>(a_indptr[begin + 1] - first)] -
                    sums[static_cast<std::size_t>(a_indptr[begin] - first)];
    }
  }
}

}  // namespace gossamer
