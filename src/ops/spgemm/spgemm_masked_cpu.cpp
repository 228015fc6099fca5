// SPDX-License-Identifier: Apache-2.0
// Row by row, with the columns that matter in a table: the mask's for A B, A's own for A Bᵀ.
#include <algorithm>
#include <atomic>

#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "ops/spgemm/scratch.hpp"
#include "ops/spgemm/spgemm.hpp"
#include "ops/spgemm/spgemm_tuning.hpp"

namespace gossamer {
namespace {

/// Sums over all columns of a span. `Marked` tells the inserted ones from the others, whose zero
/// must not meet an infinity; unmarked, the others' sums are merely never read.
template <class S, bool Marked>
class WindowTable {
 public:
  WindowTable(std::int64_t low, std::int64_t width, ScratchMemory& memory, ScratchMemory& keys)
      : low_(low), width_(static_cast<std::uint64_t>(width)), sums_(memory.reserve<S>(width)) {
    std::fill_n(sums_, width, S{});
    if (Marked) {
      marks_ = keys.reserve<bool>(width);
      std::fill_n(marks_, width, false);
    }
  }
  S& insert(std::int64_t column) {
    if (Marked) marks_[column - low_] = true;
    return sums_[column - low_];
  }
  /// The sum of a column, or null where it is not of interest.
  S* find(std::int64_t column) const {
    const auto at = static_cast<std::uint64_t>(column - low_);
    return at < width_ && (!Marked || marks_[at]) ? sums_ + at : nullptr;
  }

 private:
  std::int64_t low_;
  std::uint64_t width_;
  S* sums_;
  bool* marks_ = nullptr;
};

/// Sums over the inserted columns only: a hash table with linear probing, at most half full.
template <class S>
class HashTable {
 public:
  HashTable(std::int64_t columns, ScratchMemory& memory, ScratchMemory& keys) {
    while ((std::int64_t{1} << bits_) < 2 * columns) ++bits_;
    const std::int64_t slots = std::int64_t{1} << bits_;
    sums_ = memory.reserve<S>(slots);
    keys_ = keys.reserve<std::int64_t>(slots);
    std::fill_n(keys_, slots, empty);
  }
  S& insert(std::int64_t column) {
    const std::size_t slot = slot_of(column);
    if (keys_[slot] == empty) {
      keys_[slot] = column;
      sums_[slot] = S{};
    }
    return sums_[slot];
  }
  S* find(std::int64_t column) const {
    const std::size_t slot = slot_of(column);
    return keys_[slot] == column ? sums_ + slot : nullptr;
  }

 private:
  static constexpr std::int64_t empty = -1;

  /// Where the column is or would be. Multiplying by 2^64 over the golden ratio spreads neighbours.
  std::size_t slot_of(std::int64_t column) const {
    const std::size_t last = (std::size_t{1} << bits_) - 1;
    std::size_t slot = (static_cast<std::uint64_t>(column) * 0x9e3779b97f4a7c15u) >> (64 - bits_);
    while (keys_[slot] != column && keys_[slot] != empty) slot = (slot + 1) & last;
    return slot;
  }

  int bits_ = 1;
  S* sums_;
  std::int64_t* keys_;
};

template <class T, class I>
struct Masked {
  using S = Accumulator<T>;
  const I *a_indptr, *a_indices, *b_indptr, *b_indices, *mask_indptr, *mask_indices;
  const T *a_values, *b_values;
  T* values;

  /// Row i of A B: the products of A's entries with rows of B that fall on the mask.
  template <class Table>
  void product_row(std::int64_t i, Table&& table) const {
    for (I p = mask_indptr[i]; p < mask_indptr[i + 1]; ++p) table.insert(mask_indices[p]);
    for (I p = a_indptr[i]; p < a_indptr[i + 1]; ++p) {
      const S scale = widen(a_values[p]);
      const I end = b_indptr[a_indices[p] + 1];
      for (I q = b_indptr[a_indices[p]]; q < end; ++q) {
        if (S* sum = table.find(b_indices[q]))
          *sum = multiply_add<S>(scale, widen(b_values[q]), *sum);
      }
    }
    for (I p = mask_indptr[i]; p < mask_indptr[i + 1]; ++p) {
      values[p] = narrow<T>(*table.find(mask_indices[p]));
    }
  }

  /// Row i of A Bᵀ: inner products of A's row with those rows of B that the mask names.
  template <class Table>
  void inner_row(std::int64_t i, Table&& table) const {
    for (I p = a_indptr[i]; p < a_indptr[i + 1]; ++p) {
      S& sum = table.insert(a_indices[p]);
      sum = sum + S(widen(a_values[p]));
    }
    for (I p = mask_indptr[i]; p < mask_indptr[i + 1]; ++p) {
      S sum{};
      const I end = b_indptr[mask_indices[p] + 1];
      for (I q = b_indptr[mask_indices[p]]; q < end; ++q) {
        if (const S* a = table.find(b_indices[q]))
          sum = multiply_add<S>(*a, widen(b_values[q]), sum);
      }
      values[p] = narrow<T>(sum);
    }
  }

  /// Row i, by a table of the kind that fits: its columns come from `indices`, its work from
  /// `rows`.
  template <bool Transposed>
  void row(std::int64_t i, SpgemmScratch& scratch) const {
    const I *row_indptr = mask_indptr, *row_indices = mask_indices;
    const I *work_indptr = a_indptr, *work_indices = a_indices;
    if (Transposed) {
      std::swap(row_indptr, work_indptr);
      std::swap(row_indices, work_indices);
    }
    const I begin = row_indptr[i], end = row_indptr[i + 1];
    if (begin == end || work_indptr[i] == work_indptr[i + 1]) {
      std::fill(values + mask_indptr[i], values + mask_indptr[i + 1], T{});
      return;
    }
    std::int64_t products = 0;
    for (I p = work_indptr[i]; p < work_indptr[i + 1]; ++p) {
      products += b_indptr[work_indices[p] + 1] - b_indptr[work_indices[p]];
    }
    const auto [low, high] = std::minmax_element(row_indices + begin, row_indices + end);
    const std::int64_t width = std::int64_t{*high} - *low + 1;
    const auto fill = [&](auto&& table) {
      if constexpr (Transposed) {
        inner_row(i, table);
      } else {
        product_row(i, table);
      }
    };
    if (width / tuning::spgemm_masked_columns_per_product <= products) {
      fill(WindowTable<S, Transposed>(*low, width, scratch.sums, scratch.keys));
    } else {
      fill(HashTable<S>(end - begin, scratch.sums, scratch.keys));
    }
  }
};

}  // namespace

void spgemm_masked_cpu(const CsrView& a, const CsrView& b, const CsrPattern& mask, void* values,
                       bool transpose_b) {
  const std::int64_t rows = mask.rows;
  const std::int64_t pieces =
      std::clamp<std::int64_t>(num_threads() * tuning::spgemm_pieces_per_thread, 1, rows + 1);
  std::atomic<std::int64_t> next{0};
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(mask.index_dtype, "mask", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const auto indices = [](const void* from) { return static_cast<const I*>(from); };
      const Masked<T, I> op{indices(a.pattern.indptr),
                            indices(a.pattern.indices),
                            indices(b.pattern.indptr),
                            indices(b.pattern.indices),
                            indices(mask.indptr),
                            indices(mask.indices),
                            static_cast<const T*>(a.values),
                            static_cast<const T*>(b.values),
                            static_cast<T*>(values)};
      parallel_for(std::min<std::int64_t>(num_threads(), pieces), [&](std::int64_t) {
        SpgemmScratch scratch;
        for (std::int64_t piece; (piece = next.fetch_add(1)) < pieces;) {
          const std::int64_t end = balanced_row(op.a_indptr, rows, piece + 1, pieces);
          for (std::int64_t i = balanced_row(op.a_indptr, rows, piece, pieces); i < end; ++i) {
            transpose_b ? op.template row<true>(i, scratch) : op.template row<false>(i, scratch);
          }
        }
      });
    });
  });
}

}  // namespace gossamer
