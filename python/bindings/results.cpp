// SPDX-License-Identifier: Apache-2.0
// Memory of large results. glibc maps blocks beyond 32 MiB anew for every result, and writing to
// fresh pages takes several times as long as to pages that were written before.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <vector>

#include "module.hpp"

namespace gossamer::python {

namespace nb = nanobind;

namespace {

struct Block {
  std::byte* data;
  std::size_t bytes;
};

/// Whole pages of the larger kind, so that results begin at a cache line and fault in seldom.
constexpr std::size_t page = std::size_t{2} << 20;

/// Bytes that are kept at most: a sixteenth of the machine's memory, or of the address space that
/// this process may use.
std::size_t most_bytes() {
  const long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
  if (pages < 0 || page_size < 0) return 0;
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0) return 0;
  const std::size_t memory = static_cast<std::size_t>(pages) * static_cast<std::size_t>(page_size);
  return static_cast<std::size_t>(std::min<rlim_t>(memory, limit.rlim_cur)) / 16;
}

/// New pages, huge ones where the system has them; null if there are none.
std::byte* map_pages(std::size_t bytes) {
  void* const memory =
      mmap(nullptr, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* const start = static_cast<std::byte*>(memory);
  const std::size_t before = (page - reinterpret_cast<std::uintptr_t>(start) % page) % page;
  if (before > 0) munmap(start, before);
  munmap(start + before + bytes, page - before);
#if defined(MADV_HUGEPAGE)
  madvise(start + before, bytes, MADV_HUGEPAGE);
#endif
  return start + before;
}

/// Blocks of results that are gone. The system may take their pages whenever memory is short.
///
/// Nobody waits for the mutex: in a forked child it may be locked for ever.
class SpareBlocks {
 public:
  SpareBlocks() { blocks_.reserve(most_blocks + 1); }

  Block take(std::size_t bytes) {
    bytes = (bytes + page - 1) / page * page;
    if (const Block spare = smallest(bytes); spare.data != nullptr) return spare;
    std::byte* data = map_pages(bytes);
    if (data == nullptr) {
      // What is kept takes addresses, which a limit of the process counts.
      if (const std::unique_lock lock(mutex_, std::try_to_lock); lock) keep_at_most(0);
      data = map_pages(bytes);
    }
    if (data == nullptr) throw std::bad_alloc();
    return {data, bytes};
  }

  void give(Block block) {
    const std::size_t most = most_bytes();
    if (block.bytes <= most) {
      madvise(block.data, block.bytes, MADV_FREE);
      if (const std::unique_lock lock(mutex_, std::try_to_lock); lock) {
        blocks_.insert(blocks_.begin(), block);
        return keep_at_most(most);
      }
    }
    munmap(block.data, block.bytes);
  }

 private:
  static constexpr std::size_t most_blocks = 16;

  /// Takes out the smallest block of `bytes` or up to a quarter more, of several the latest; null
  /// without such.
  Block smallest(std::size_t bytes) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return {nullptr, 0};
    auto found = blocks_.end();
    for (auto spare = blocks_.begin(); spare != blocks_.end(); ++spare) {
      if (spare->bytes < bytes || spare->bytes - bytes > bytes / 4) continue;
      if (found == blocks_.end() || spare->bytes < found->bytes) found = spare;
    }
    if (found == blocks_.end()) return {nullptr, 0};
    const Block block = *found;
    blocks_.erase(found);
    return block;
  }

  /// Unmaps the oldest blocks beyond most_blocks, or beyond `bytes` in all. The mutex is locked.
  void keep_at_most(std::size_t bytes) {
    std::size_t total = 0, kept = 0;
    while (kept < blocks_.size() && kept < most_blocks && total + blocks_[kept].bytes <= bytes) {
      total += blocks_[kept++].bytes;
    }
    for (std::size_t i = kept; i < blocks_.size(); ++i) munmap(blocks_[i].data, blocks_[i].bytes);
    blocks_.resize(kept);
  }

  std::mutex mutex_;
  std::vector<Block> blocks_;  ///< the latest first
};

// Never destroyed: arrays may go after the module has.
SpareBlocks& spare_blocks() {
  static SpareBlocks* const blocks = new SpareBlocks;
  return *blocks;
}

}  // namespace

void bind_results(nb::module_& m) {
  m.def(
      "large_result",
      [](std::size_t bytes) {
        auto* const block = new Block(spare_blocks().take(bytes));
        nb::capsule owner(block, [](void* owned) noexcept {
          auto* const given = static_cast<Block*>(owned);
          spare_blocks().give(*given);
          delete given;
        });
        return nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>>(block->data, {bytes}, owner);
      },
      nb::arg("bytes"), "Uninitialized memory of a large result, in pages that were used before.");
}

}  // namespace gossamer::python
