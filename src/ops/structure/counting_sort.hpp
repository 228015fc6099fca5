// SPDX-License-Identifier: Apache-2.0
// Entries in any order to rows of entries: the counting sort under transpose and COO to CSR.
//
// Entries are first parted into buckets of neighbouring rows, in the output arrays themselves; then
// each bucket, which fits the cache, is counted, parted into rows and, where wanted, sorted by
// column. Both steps keep the input's order within a row, so that the result does not depend on how
// the work was shared. Few entries, which fit the cache, go to their rows at once.
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

/// I: index type; E: what travels with an entry; Columns: read(begin, end, buffer) returns the
/// columns of the entries [begin, end), in the buffer if it has none at hand.
template <class I, class E, class Columns>
class CountingSorter {
 public:
  CountingSorter(const CountingSort& job, const I* rows, const Columns& columns)
      : job_(job),
        rows_in_(rows),
        columns_in_(columns),
        offsets_(static_cast<I*>(job.offsets)),
        columns_(static_cast<I*>(job.columns)) {
    // Several buckets for each thread, if they are not too small, for even shares.
    const std::int64_t shared = std::min(tasks(), job.entries / tuning::sort_least_bucket_entries);
    const std::int64_t wanted = std::clamp<std::int64_t>(
        std::max(job.entries / tuning::sort_bucket_entries, shared), 1, tuning::sort_max_buckets);
    const std::int64_t bucket_rows = std::max<std::int64_t>(job.rows / wanted, 1);
    // A row's number within its bucket takes 16 bits.
    shift_ =
        std::min(16, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(bucket_rows - 1))));
    row_mask_ = static_cast<I>((std::int64_t{1} << shift_) - 1);
    buckets_ = static_cast<std::size_t>((job.rows + row_mask_) >> shift_);
  }

  /// Returns whether no row holds a column twice, where rows are sorted.
  bool run() {
    offsets_[job_.rows] = static_cast<I>(job_.entries);
    partition();
    std::atomic<std::size_t> next{0};
    std::atomic<bool> distinct{true};
    const std::int64_t workers =
        std::min<std::int64_t>(num_threads(), static_cast<std::int64_t>(buckets_));
    parallel_for(workers, [&](std::int64_t) {
      Workspace workspace;
      for (std::size_t bucket = next++; bucket < buckets_; bucket = next++) {
        if (!finish(bucket, workspace)) distinct.store(false, std::memory_order_relaxed);
      }
    });
    return distinct;
  }

 private:
  static constexpr std::int64_t prefetch_entries = 16;

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

  struct Piece {
    std::int64_t begin, end;
    std::int64_t runs = 0;              ///< of neighbours that go into one bucket
    std::vector<std::int64_t> cursors;  ///< where the piece's next entry of each bucket goes
  };

  /// Enough to even out the threads' shares; one thread is quicker without.
  static std::int64_t tasks() {
    return num_threads() == 1 ? 1 : num_threads() * tuning::sort_tasks_per_thread;
  }

  std::size_t bucket_of(std::int64_t p) const {
    return static_cast<std::size_t>(rows_in_[p] >> shift_);
  }

  std::int64_t end_of_run(std::int64_t p, std::int64_t end) const {
    const std::size_t bucket = bucket_of(p);
    do ++p;
    while (p < end && bucket_of(p) == bucket);
    return p;
  }

  /// Moves the entries into buckets. A histogram of each piece of the input says where its entries
  /// go.
  void partition() {
    const std::int64_t count =
        std::clamp<std::int64_t>(job_.entries / tuning::sort_piece_entries, 1, tasks());
    std::vector<Piece> pieces(static_cast<std::size_t>(count));
    parallel_for(count, [&](std::int64_t i) {
      Piece& piece = pieces[static_cast<std::size_t>(i)];
      const std::int64_t length = (job_.entries + count - 1) / count;
      piece.begin = std::min(job_.entries, i * length);
      piece.end = std::min(job_.entries, piece.begin + length);
      piece.cursors.resize(buckets_);
      for (std::int64_t p = piece.begin; p < piece.end; ++piece.runs) {
        const std::int64_t next = end_of_run(p, piece.end);
        piece.cursors[bucket_of(p)] += next - p;
        p = next;
      }
    });
    bucket_begin_.resize(buckets_ + 1);
    std::int64_t begin = 0;
    for (std::size_t bucket = 0; bucket < buckets_; ++bucket) {
      bucket_begin_[bucket] = begin;
      for (Piece& piece : pieces) begin += std::exchange(piece.cursors[bucket], begin);
    }
    bucket_begin_[buckets_] = begin;
    rows_ = make_scratch<std::uint16_t>(static_cast<std::size_t>(job_.entries));
    parallel_for(count, [&](std::int64_t i) {
      Piece& piece = pieces[static_cast<std::size_t>(i)];
      if (piece.runs * tuning::sort_run_length <= piece.end - piece.begin) {
        move_runs(piece);
      } else {
        move_entries(piece);
      }
    });
  }

  /// Moves a piece run by run, which is fast when runs are long.
  void move_runs(Piece& piece) {
    for (std::int64_t p = piece.begin; p < piece.end;) {
      const std::int64_t next = end_of_run(p, piece.end);
      const std::int64_t to = piece.cursors[bucket_of(p)];
      const I* const columns = columns_in_.read(p, next, columns_ + to);
      if (columns != columns_ + to) std::copy_n(columns, next - p, columns_ + to);
      piece.cursors[bucket_of(p)] += next - p;
      for (std::int64_t k = 0; k < next - p; ++k) {
        rows_[to + k] = static_cast<std::uint16_t>(rows_in_[p + k] & row_mask_);
        store_element<E>(job_.payload.out, to + k, initial_element<E>(job_.payload.in, p + k));
      }
      p = next;
    }
  }

  /// Moves a piece entry by entry.
  void move_entries(Piece& piece) {
    constexpr std::int64_t block = 512;
    I buffer[block];
    const int shift = shift_;
    const I* const rows_in = rows_in_;
    I* const columns_out = columns_;
    std::uint16_t* const rows_out = rows_.get();
    std::int64_t* const cursors = piece.cursors.data();
    const I row_mask = row_mask_;
    const void* const payload_in = job_.payload.in;
    void* const payload_out = job_.payload.out;
    for (std::int64_t p = piece.begin; p < piece.end; p += block) {
      const std::int64_t end = std::min(p + block, piece.end);
      const I* const columns = columns_in_.read(p, end, buffer);
      for (std::int64_t k = 0; k < end - p; ++k) {
        const I row = rows_in[p + k];
        const std::int64_t to = cursors[row >> shift]++;
        if (to % prefetch_entries == 0) {
          prefetch(columns_out + to + prefetch_entries, sizeof(I));
          prefetch(rows_out + to + 2 * prefetch_entries, sizeof(std::uint16_t));
          prefetch(static_cast<std::byte*>(payload_out) +
                       (to + prefetch_entries) * std::int64_t{sizeof(E)},
                   sizeof(E));
        }
        columns_out[to] = columns[k];
        rows_out[to] = static_cast<std::uint16_t>(row & row_mask);
        store_element<E>(payload_out, to, initial_element<E>(payload_in, p + k));
      }
    }
  }

  /// Fetches the cache lines that the next entries of a bucket will be written to. The buckets are
  /// too many for the processor to see each one's stream, and every new line would cost the latency
  /// of memory.
  static void prefetch(const void* to, std::size_t entry_size) {
#if defined(__GNUC__)
    constexpr std::size_t line = 64;
    for (std::size_t byte = 0; byte < prefetch_entries * entry_size; byte += line) {
      __builtin_prefetch(static_cast<const std::byte*>(to) + byte, 1);
    }
#endif
  }

  void store_elements(std::int64_t to, const void* elements, std::int64_t count) {
    if constexpr (!std::is_same_v<E, NoPayload>) {
      std::memcpy(static_cast<std::byte*>(job_.payload.out) + to * std::int64_t{sizeof(E)},
                  elements, static_cast<std::size_t>(count) * sizeof(E));
    }
  }

  /// Counts a bucket's rows, parts its entries into them in the workspace, and writes them back in
  /// order.
  bool finish(std::size_t bucket, Workspace& workspace) {
    const std::int64_t first_row = static_cast<std::int64_t>(bucket) << shift_;
    const std::int64_t row_count = std::min(job_.rows - first_row, std::int64_t{1} << shift_);
    const std::int64_t begin = bucket_begin_[bucket], n = bucket_begin_[bucket + 1] - begin;
    I* const offsets = offsets_ + first_row;
    if (row_count == 1 && !job_.by_column) {
      offsets[0] = static_cast<I>(begin);
      return true;
    }
    std::fill_n(offsets, row_count, I{0});
    const std::uint16_t* const rows = rows_.get() + begin;
    // A count or cursor stays in a register while the row does: through memory each step takes five
    // cycles.
    for (std::int64_t k = 0; k < n;) {
      const std::int64_t start = k;
      do ++k;
      while (k < n && rows[k] == rows[start]);
      offsets[rows[start]] += static_cast<I>(k - start);
    }
    std::exclusive_scan(offsets, offsets + row_count, offsets, I{0});
    workspace.reserve(n);
    I* const columns = workspace.columns.get();
    std::byte* const payload = workspace.payload.get();
    for (std::int64_t k = 0; k < n;) {
      const std::uint16_t row = rows[k];
      std::int64_t to = offsets[row];
      do {
        columns[to] = columns_[begin + k];
        store_element<E>(payload, to++, load_element<E>(job_.payload.out, begin + k++));
      } while (k < n && rows[k] == row);
      offsets[row] = static_cast<I>(to);
    }
    // Each offset has moved on to where the next row begins.
    for (std::int64_t i = row_count - 1; i > 0; --i)
      offsets[i] = static_cast<I>(offsets[i - 1] + begin);
    offsets[0] = static_cast<I>(begin);
    if (job_.by_column) {
      return sort_rows({job_.index_dtype,
                        row_count,
                        offsets,
                        begin + n,
                        begin,
                        columns,
                        columns_,
                        {payload, job_.payload.out, job_.payload.size}},
                       workspace.rows);
    }
    std::copy_n(columns, n, columns_ + begin);
    store_elements(begin, payload, n);
    return true;
  }

  const CountingSort& job_;
  const I* rows_in_;
  const Columns& columns_in_;
  I* offsets_;
  I* columns_;
  int shift_;   ///< a row's bucket is row >> shift_
  I row_mask_;  ///< and its number therein row & row_mask_
  std::size_t buckets_;
  std::vector<std::int64_t> bucket_begin_;
  Scratch<std::uint16_t> rows_;  ///< each entry's row within its bucket
};

/// Counts the rows and moves each entry to its own, into `columns_out` and `payload_out`.
template <class I, class E, class Columns>
void move_to_rows(const CountingSort& job, const I* rows, const Columns& columns, I* columns_out,
                  void* payload_out) {
  constexpr std::int64_t block = 512;
  I buffer[block];
  I* const offsets = static_cast<I*>(job.offsets);
  std::fill_n(offsets, job.rows + 1, I{0});
  for (std::int64_t p = 0; p < job.entries; ++p) ++offsets[rows[p]];
  std::exclusive_scan(offsets, offsets + job.rows + 1, offsets, I{0});
  for (std::int64_t p = 0; p < job.entries; p += block) {
    const std::int64_t end = std::min(p + block, job.entries);
    const I* const read = columns.read(p, end, buffer);
    for (std::int64_t k = 0; k < end - p; ++k) {
      const I to = offsets[rows[p + k]]++;
      columns_out[to] = read[k];
      store_element<E>(payload_out, to, initial_element<E>(job.payload.in, p + k));
    }
  }
  // Each offset has moved on to where the next row begins.
  std::copy_backward(offsets, offsets + job.rows, offsets + job.rows + 1);
  offsets[0] = 0;
}

/// Sorts few entries, into rows on one thread.
template <class I, class E, class Columns>
bool sort_few(const CountingSort& job, const I* rows, const Columns& columns) {
  if (!job.by_column) {
    move_to_rows<I, E>(job, rows, columns, static_cast<I*>(job.columns), job.payload.out);
    return true;
  }
  const auto moved = make_scratch<I>(static_cast<std::size_t>(job.entries));
  const auto payload =
      make_scratch<std::byte>(static_cast<std::size_t>(job.entries) * job.payload.size);
  move_to_rows<I, E>(job, rows, columns, moved.get(), payload.get());
  return sort_pattern({job.rows, 0, job.entries, job.index_dtype, job.offsets, moved.get()},
                      job.columns, {payload.get(), job.payload.out, job.payload.size});
}

/// Sorts entries into rows; returns whether no row holds a column twice, where rows are sorted.
template <class I, class Columns>
bool counting_sort(const CountingSort& job, const I* rows, const Columns& columns) {
  return visit_payload(job.payload, [&](auto payload) {
    using E = typename decltype(payload)::type;
    const bool few = job.entries + job.rows <= tuning::sort_at_once;
    return few ? sort_few<I, E>(job, rows, columns)
               : CountingSorter<I, E, Columns>(job, rows, columns).run();
  });
}

}  // namespace gossamer
