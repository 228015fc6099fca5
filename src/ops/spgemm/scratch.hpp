// SPDX-License-Identifier: Apache-2.0
// What a thread keeps between the rows of a product. It grows with the heaviest row that it meets.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "ops/spgemm/spgemm_tuning.hpp"

namespace gossamer {

/// Memory aligned to cache lines, in whole lines, that grows and then has lost its content.
class ScratchMemory {
 public:
  ScratchMemory() = default;
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;
  ~ScratchMemory() { std::free(data_); }

  /// Room for `count` elements. Throws std::bad_alloc.
  template <class Element>
  Element* reserve(std::int64_t count) {
    grow<Element>(count);
    return static_cast<Element*>(data_);
  }

  /// The same, where all elements are `initial` when new: whoever changes them changes them back.
  template <class Element>
  Element* reserve(std::int64_t count, Element initial) {
    if (grow<Element>(count)) {
      std::uninitialized_fill_n(static_cast<Element*>(data_), bytes_ / sizeof(Element), initial);
    }
    return static_cast<Element*>(data_);
  }

 private:
  template <class Element>
  bool grow(std::int64_t count) {
    constexpr std::size_t line = 64;
    if (count < 0 || count > PTRDIFF_MAX / static_cast<std::ptrdiff_t>(4 * sizeof(Element))) {
      throw std::bad_alloc();
    }
    const std::size_t wanted = static_cast<std::size_t>(count) * sizeof(Element);
    if (wanted <= bytes_) return false;
    const std::size_t bytes = (std::max(wanted, 2 * bytes_) / line + 1) * line;
    std::free(std::exchange(data_, nullptr));
    bytes_ = 0;
    data_ = std::aligned_alloc(line, bytes);
    if (data_ == nullptr) throw std::bad_alloc();
    bytes_ = bytes;
    return true;
  }

  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// The window of columns that a row falls into, and the lists that its products are sorted in.
struct SpgemmScratch {
  ScratchMemory sums, marks;
  ScratchMemory columns, values;
  ScratchMemory keys, sorted_keys, elements, numbers;
  ScratchMemory shape_elements[tuning::spgemm_row_shapes];  ///< of the products of rows that repeat
  ScratchMemory shape_steps[tuning::spgemm_row_shapes];     ///< in which such rows are summed
  ScratchMemory last_rows;     ///< for each column the tag of the last row that reached it
  std::uint32_t last_tag = 0;  ///< the highest of these tags
};

}  // namespace gossamer
