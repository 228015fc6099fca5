// SPDX-License-Identifier: Apache-2.0
// Entries in any order to rows of entries: the counting sort under transpose and COO to CSR.
//
// Entries are first parted into buckets of neighbouring rows, in the output arrays themselves; then
// each bucket, which fits the cache, is counted, parted into rows and, where wanted, sorted by
// column. Both steps keep the input's order within a row, so that the result does not depend on how
// the work was shared.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "core/threads.hpp"
#include "ops/structure/row_sort.hpp"
#include "ops/structure/structure_tuning.hpp"

namespace gossamer {

/// Where the sorted entries go.
struct CountingSort {
  DType index_dtype;
  std::int64_t rows;
  std::int64_t entries;
  bool by_column;  ///< sort each row by column; else keep the input's order
  void* offsets;   ///< rows + 1, written
  void* columns;   ///< entries, written
  Payload payload;
};

template <class I, class E, class Entries>
class CountingSorter {
 public:
  /// entries.visit(begin, end, body) calls body(p, row, column) for each entry p in order.
  CountingSorter(const CountingSort& job, const Entries& entries)
      : job_(job),
        entries_(entries),
        offsets_(static_cast<I*>(job.offsets)),
        columns_(static_cast<I*>(job.columns)) {
    const std::int64_t wanted = std::clamp<std::int64_t>(job.entries / tuning::sort_bucket_entries,
                                                         1, tuning::sort_max_buckets);
    const std::int64_t rows = std::max<std::int64_t>(job.rows / wanted, 1);
    // A row's number within its bucket takes 16 bits.
    shift_ = std::min(16, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(rows - 1))));
    buckets_ = (job.rows + (std::int64_t{1} << shift_) - 1) >> shift_;
  }

  /// Returns whether no row holds a column twice, as far as rows are sorted.
  bool run() {
    offsets_[job_.rows] = static_cast<I>(job_.entries);
    if (buckets_ > 1) partition();
    std::atomic<std::int64_t> next{0};
    std::atomic<bool> distinct{true};
    parallel_for(std::min<std::int64_t>(num_threads(), buckets_), [&](std::int64_t) {
      Workspace workspace;
      for (std::int64_t b = next++; b < buckets_; b = next++) {
        if (!finish_bucket(b, workspace)) distinct.store(false, std::memory_order_relaxed);
      }
    });
    return distinct;
  }

 private:
  struct Workspace {
    std::int64_t capacity = 0;
    Scratch<I> columns;
    Scratch<std::byte> payload;
    RowSortScratch rows;

    void reserve(std::int64_t entries) {
      if (entries <= capacity) return;
      capacity = entries;
      columns = make_scratch<I>(static_cast<std::size_t>(entries));
      payload = make_scratch<std::byte>(static_cast<std::size_t>(entries) * sizeof(E));
    }
  };

  /// Moves the entries into buckets. A histogram for each piece of the input says where its entries
  /// go.
  void partition() {
    const std::int64_t pieces = std::clamp<std::int64_t>(job_.entries / tuning::sort_piece_entries,
                                                         1, std::int64_t{4} * num_threads());
    const auto piece_begin = [&](std::int64_t piece) {
      return job_.entries / pieces * piece + std::min(piece, job_.entries % pieces);
    };
    const std::size_t buckets = static_cast<std::size_t>(buckets_);
    std::vector<std::vector<std::int64_t>> cursors(static_cast<std::size_t>(pieces));
    parallel_for(pieces, [&](std::int64_t piece) {
      std::vector<std::int64_t> counts(buckets);
      entries_.visit_rows(piece_begin(piece), piece_begin(piece + 1),
                          [&](I row) { ++counts[static_cast<std::size_t>(row >> shift_)]; });
      cursors[static_cast<std::size_t>(piece)] = std::move(counts);
    });
    bucket_begin_.resize(buckets + 1);
    std::int64_t begin = 0;
    for (std::size_t b = 0; b < buckets; ++b) {
      bucket_begin_[b] = begin;
      for (auto& counts : cursors) begin += std::exchange(counts[b], begin);
    }
    bucket_begin_[buckets] = begin;
    if (shift_ > 0)
      row_in_bucket_ = make_scratch<std::uint16_t>(static_cast<std::size_t>(job_.entries));
    parallel_for(pieces, [&](std::int64_t piece) {
      std::int64_t* const cursor = cursors[static_cast<std::size_t>(piece)].data();
      const I mask = static_cast<I>((I{1} << shift_) - 1);
      std::uint16_t* const row_in_bucket = row_in_bucket_.get();
      entries_.visit(
          piece_begin(piece), piece_begin(piece + 1), [&](std::int64_t p, I row, I column) {
            const std::int64_t to = cursor[row >> shift_]++;
            if (shift_ > 0) row_in_bucket[to] = static_cast<std::uint16_t>(row & mask);
            columns_[to] = column;
            store_element<E>(job_.payload.out, to, initial_element<E>(job_.payload.in, p));
          });
    });
  }

  bool finish_bucket(std::int64_t b, Workspace& workspace) {
    const std::int64_t first_row = b << shift_;
    const std::int64_t last_row = std::min(job_.rows, (b + 1) << shift_);
    I* const offsets = offsets_ + first_row;
    const std::size_t rows = static_cast<std::size_t>(last_row - first_row);
    if (buckets_ == 1) {
      return finish_rows(
          offsets, rows, 0, job_.entries, workspace,
          [&](auto body) { entries_.visit_rows(0, job_.entries, body); },
          [&](auto body) {
            entries_.visit(0, job_.entries, [&](std::int64_t p, I row, I column) {
              body(row, column, initial_element<E>(job_.payload.in, p));
            });
          });
    }
    const std::int64_t begin = bucket_begin_[static_cast<std::size_t>(b)];
    const std::int64_t end = bucket_begin_[static_cast<std::size_t>(b) + 1];
    if (shift_ == 0 && !job_.by_column) {
      offsets[0] = static_cast<I>(begin);
      return true;
    }
    const auto row_of = [&](std::int64_t p) -> std::uint16_t {
      return shift_ > 0 ? row_in_bucket_[p] : 0;
    };
    return finish_rows(
        offsets, rows, begin, end, workspace,
        [&](auto body) {
          for (std::int64_t p = begin; p < end; ++p) body(row_of(p));
        },
        [&](auto body) {
          for (std::int64_t p = begin; p < end; ++p) {
            body(row_of(p), columns_[p], load_element<E>(job_.payload.out, p));
          }
        });
  }

  /// Counts the rows, parts the entries into them in the workspace, and writes them back in order.
  template <class VisitRows, class VisitEntries>
  bool finish_rows(I* offsets, std::size_t rows, std::int64_t begin, std::int64_t end,
                   Workspace& workspace, VisitRows visit_rows, VisitEntries visit_entries) {
    if (rows == 0) return true;
    std::fill_n(offsets, rows, I{0});
    visit_rows([&](auto row) { ++offsets[row]; });
    std::exclusive_scan(offsets, offsets + rows, offsets, static_cast<I>(begin));
    workspace.reserve(end - begin);
    I* const columns = workspace.columns.get();
    std::byte* const payload = workspace.payload.get();
    visit_entries([&](auto row, I column, E element) {
      const std::int64_t to = static_cast<std::int64_t>(offsets[row]++) - begin;
      columns[to] = column;
      store_element<E>(payload, to, element);
    });
    // Each offset has moved on to where the next row begins.
    std::copy_backward(offsets, offsets + rows - 1, offsets + rows);
    offsets[0] = static_cast<I>(begin);
    if (!job_.by_column) {
      std::copy_n(columns, end - begin, columns_ + begin);
      for (std::int64_t p = begin; p < end; ++p) {
        store_element<E>(job_.payload.out, p, load_element<E>(payload, p - begin));
      }
      return true;
    }
    return sort_rows({job_.index_dtype,
                      static_cast<std::int64_t>(rows),
                      offsets,
                      end,
                      begin,
                      columns,
                      columns_,
                      {payload, job_.payload.out, job_.payload.size}},
                     workspace.rows);
  }

  const CountingSort& job_;
  const Entries& entries_;
  I* offsets_;
  I* columns_;
  int shift_;
  std::int64_t buckets_;
  std::vector<std::int64_t> bucket_begin_;
  Scratch<std::uint16_t> row_in_bucket_;
};

template <class I, class Entries>
bool counting_sort(const CountingSort& job, const Entries& entries) {
  return visit_payload(job.payload, [&](auto payload) {
    using E = typename decltype(payload)::type;
    return CountingSorter<I, E, Entries>(job, entries).run();
  });
}

}  // namespace gossamer
