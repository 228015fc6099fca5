// SPDX-License-Identifier: Apache-2.0
// Memory that ends where a page begins that cannot be read: what reads beyond it ends the program,
// on paths that sanitizers do not see too.
#pragma once

#if __has_include(<sys/mman.h>)
#define GOSSAMER_HAS_GUARD_PAGES 1

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <new>

namespace gossamer::testing {

/// A copy of some bytes right before a guard page.
class GuardedBytes {
 public:
  GuardedBytes(const void* bytes, std::size_t count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t readable = (count + page - 1) / page * page;
    length_ = readable + page;
    pages_ = mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages_ == MAP_FAILED) throw std::bad_alloc();
    std::byte* const guard = static_cast<std::byte*>(pages_) + readable;
    if (mprotect(guard, page, PROT_NONE) != 0) throw std::bad_alloc();
    data_ = guard - count;
    if (count != 0) std::memcpy(data_, bytes, count);
  }
  ~GuardedBytes() { munmap(pages_, length_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  void* data() const { return data_; }

 private:
  void* pages_;
  std::byte* data_;
  std::size_t length_;
};

}  // namespace gossamer::testing

#else
#define GOSSAMER_HAS_GUARD_PAGES 0
#endif
