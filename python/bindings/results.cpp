// SPDX-License-Identifier: Apache-2.0
// Memory of large results. glibc maps blocks beyond 32 MiB anew for every result, and writing to
// fresh pages takes several times as long as to pages that were written before.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <sys/mman.h>
#include <unistd.h>

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

/// Blocks of results that are gone. The system may take their pages whenever memory is short.
class SpareBlocks {
 public:
  SpareBlocks() { blocks_.reserve(most_blocks + 1); }

  Block take(std::size_t bytes) {
    bytes = (bytes + page - 1) / page * page;
    {
      const std::lock_guard lock(mutex_);
      for (auto spare = blocks_.begin(); spare != blocks_.end(); ++spare) {
        if (spare->bytes < bytes || spare->bytes / 2 > bytes) continue;
        const Block found = *spare;
        blocks_.erase(spare);
        return found;
      }
    }
    void* const memory =
        mmap(nullptr, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    auto* const start = static_cast<std::byte*>(memory);
    const std::size_t before = (page - reinterpret_cast<std::uintptr_t>(start) % page) % page;
    if (before > 0) munmap(start, before);
    munmap(start + before + bytes, page - before);
#if defined(MADV_HUGEPAGE)
    madvise(start + before, bytes, MADV_HUGEPAGE);
#endif
    return {start + before, bytes};
  }

  void give(Block block) {
    madvise(block.data, block.bytes, MADV_FREE);
    const std::lock_guard lock(mutex_);
    blocks_.insert(blocks_.begin(), block);
    std::size_t total = 0, kept = 0;
    while (kept < blocks_.size() && kept < most_blocks &&
           total + blocks_[kept].bytes <= most_bytes_) {
      total += blocks_[kept++].bytes;
    }
    for (std::size_t i = kept; i < blocks_.size(); ++i) munmap(blocks_[i].data, blocks_[i].bytes);
    blocks_.resize(kept);
  }

 private:
  static constexpr std::size_t most_blocks = 16;
  /// A sixteenth of the machine's memory.
  std::size_t most_bytes_ = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
                            static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / 16;
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
      [](std::int64_t bytes) {
        auto* const block = new Block(spare_blocks().take(static_cast<std::size_t>(bytes)));
        nb::capsule owner(block, [](void* owned) noexcept {
          auto* const given = static_cast<Block*>(owned);
          spare_blocks().give(*given);
          delete given;
        });
        return nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>>(
            block->data, {static_cast<std::size_t>(bytes)}, owner);
      },
      nb::arg("bytes"), "Uninitialized memory of a large result, in pages that were used before.");
}

}  // namespace gossamer::python
