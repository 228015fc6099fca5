// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace gossamer {

struct FreeScratch {
  void operator()(void* memory) const { std::free(memory); }
};

/// Uninitialized memory for the duration of a call.
template <class T>
using Scratch = std::unique_ptr<T[], FreeScratch>;

/// Throws std::bad_alloc. Large blocks lie on huge pages: their first touch is less than half as
/// dear.
template <class T>
Scratch<T> make_scratch(std::size_t count) {
  constexpr std::size_t huge_page = std::size_t{1} << 21;
  if (count > SIZE_MAX / 2 / sizeof(T)) throw std::bad_alloc();
  std::size_t bytes = count * sizeof(T);
  if (bytes < 2 * huge_page) {
    void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
    if (memory == nullptr) throw std::bad_alloc();
    return Scratch<T>(static_cast<T*>(memory));
  }
  bytes = (bytes + huge_page - 1) / huge_page * huge_page;
  void* const memory = std::aligned_alloc(huge_page, bytes);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return Scratch<T>(static_cast<T*>(memory));
}

}  // namespace gossamer
