// SPDX-License-Identifier: Apache-2.0
// Runs of rows that repeat the row before, one column to the right: several rows at a time, their
// indices read once for the run. Included once for each SIMD target.
#if defined(GOSSAMER_OPS_MATMUL_RUN_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_MATMUL_RUN_ROWS_INL_HPP
#undef GOSSAMER_OPS_MATMUL_RUN_ROWS_INL_HPP
#else
#define GOSSAMER_OPS_MATMUL_RUN_ROWS_INL_HPP
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "ops/matmul/lanes-inl.hpp"
#include "ops/matmul/matmul.hpp"
#include "ops/matmul/matmul_tuning.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Rows [begin, end) of one run, which all have n positions.
template <class I>
struct Run {
  std::int64_t begin, end;
  std::int64_t first;  ///< position of row begin's first value
  std::int64_t n;
  const I* columns;  ///< of row begin
  /// Lengths of the stretches of columns side by side, where they were found.
  std::array<I, tuning::matmul_run_stretches> stretches;
};

/// Finds the stretches of columns side by side. Returns false if they are too many or too short.
template <class I>
bool find_stretches(Run<I>& run) {
  const std::size_t most = std::min<std::size_t>(
      run.stretches.size(), static_cast<std::size_t>(run.n / tuning::matmul_run_stretch));
  std::size_t found = 0;
  for (std::int64_t k = 0; k < run.n; ++found) {
    if (found == most) return false;
    I length = 1;
    while (k + length < run.n && run.columns[k + length] == run.columns[k] + length) ++length;
    run.stretches[found] = length;
    k += length;
  }
  return true;
}

/// Calls in_run(run, i, last) or alone(i, last) for the parts of rows [begin, end), in order: for a
/// run of at least `shortest` rows whose values stay in the L1 cache together (and, with Stretches,
/// that find_stretches takes) the one, else the other. Which one does not depend on begin and end.
template <bool Stretches, class I, class InRun, class Alone>
HWY_INLINE void for_each_run(const CsrPattern& pattern, std::int64_t begin, std::int64_t end,
                             std::int64_t shortest, InRun in_run, Alone alone) {
  const I* indptr = static_cast<const I*>(pattern.indptr);
  const I* starts = static_cast<const I*>(pattern.run_starts);
  const I* next = std::upper_bound(starts, starts + pattern.runs, static_cast<I>(begin));
  std::int64_t waiting = begin;  // rows from here to i are not yet done, and not in a long run
  for (std::int64_t i = begin; i < end; ++next) {
    Run<I> run;
    run.begin = next[-1];
    run.end = next[0];
    const std::int64_t last = std::min(end, run.end);
    if (run.end - run.begin >= shortest) {
      run.first = indptr[run.begin];
      run.n = indptr[run.begin + 1] - run.first;
      run.columns = static_cast<const I*>(pattern.indices) + run.first;
      if (run.n <= tuning::matmul_run_columns && (!Stretches || find_stretches(run))) {
        if (waiting < i) alone(waiting, i);
        in_run(run, i, last);
        waiting = last;
      }
    }
    i = last;
  }
  if (waiting < end) alone(waiting, end);
}

/// Rows that a run must have to be multiplied by run_vector.
inline constexpr std::int64_t run_vector_rows = 8;

#if HWY_TARGET != HWY_SCALAR
/// 16 bytes of each of `Blocks` rows, one behind the other in a vector.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_blocks(D d, const T* rows, std::int64_t stride) {
  if constexpr (hn::MaxLanes(d) * sizeof(T) <= 16) {
    return hn::LoadU(d, rows);
  } else {
    const hn::Half<D> half;
    constexpr std::int64_t blocks = static_cast<std::int64_t>(hn::MaxLanes(half) * sizeof(T) / 16);
    return hn::Combine(d, load_blocks(half, rows + blocks * stride, stride),
                       load_blocks(half, rows, stride));
  }
}

/// Positions [0, 16 bytes) of as many rows as a vector has lanes, transposed: a vector a position,
/// lanes are rows. A gather of each position takes three times as long.
template <class D, class T, class Vectors>
HWY_INLINE void load_transposed(D d, const T* rows, std::int64_t stride, Vectors& columns) {
  constexpr std::int64_t width = 16 / sizeof(T);
  const auto part = [&](std::int64_t j)
                        HWY_ATTR { return load_blocks(d, rows + j * stride, width * stride); };
  if constexpr (width == 2) {
    const auto even = part(0), odd = part(1);
    columns[0] = hn::InterleaveLower(d, even, odd);
    columns[1] = hn::InterleaveUpper(d, even, odd);
  } else {
    const auto first = part(0), second = part(1), third = part(2), fourth = part(3);
    const auto even = hn::InterleaveLower(d, first, third);
    const auto odd = hn::InterleaveLower(d, second, fourth);
    columns[0] = hn::InterleaveLower(d, even, odd);
    columns[1] = hn::InterleaveUpper(d, even, odd);
    const auto upper_even = hn::InterleaveUpper(d, first, third);
    const auto upper_odd = hn::InterleaveUpper(d, second, fourth);
    columns[2] = hn::InterleaveLower(d, upper_even, upper_odd);
    columns[3] = hn::InterleaveUpper(d, upper_even, upper_odd);
  }
}
#endif

/// Sums over positions [0, n) of a vector of rows of a run; `shifted` is where the first row's
/// column 0 lies in X.
template <class D, class T, class I>
HWY_INLINE hn::Vec<D> sum_run(D d, const T* HWY_RESTRICT row, std::int64_t n, const I* columns,
                              const T* HWY_RESTRICT shifted) {
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  auto sum = hn::Zero(d);
  std::int64_t k = 0;
  const auto prefetch = [&](std::int64_t position) HWY_ATTR {
    const char* line = reinterpret_cast<const char*>(row + position * lanes);
    hwy::Prefetch(line + tuning::matmul_run_ahead);
  };
#if HWY_TARGET != HWY_SCALAR
  constexpr std::int64_t width = 16 / sizeof(T);
  hn::Vec<D> values[width];
  for (; k + width <= n; k += width) {
    load_transposed(d, row + k, n, values);
    for (std::int64_t j = 0; j < width; ++j) {
      prefetch(k + j);
      sum = hn::MulAdd(values[j], hn::LoadU(d, shifted + columns[k + j]), sum);
    }
  }
#endif
  using DI = hn::RebindToSigned<D>;
  const auto rows = hn::Mul(hn::Iota(DI(), 0), hn::Set(DI(), static_cast<hn::TFromD<DI>>(n)));
  for (; k < n; ++k) {
    prefetch(k);
    sum = hn::MulAdd(hn::GatherIndex(d, row + k, rows), hn::LoadU(d, shifted + columns[k]), sum);
  }
  return sum;
}

/// Rows [begin, end) of a run times a vector: lanes are rows, so that X is read in order and no sum
/// crosses lanes. The run has as many rows as D has lanes, or more.
template <class D, class T, class I>
void run_lanes(D d, const MatmulOperands& op, const Run<I>& run, std::int64_t begin,
               std::int64_t end) {
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  const T* values = static_cast<const T*>(op.a.values) + run.first;
  const T* x = static_cast<const T*>(op.x) + op.x_batch[0];
  T* y = static_cast<T*>(op.y) + op.y_batch[0];
  for (std::int64_t i = begin; i < end; i += lanes) {
    // Whole vectors only: the last one of a run overlaps the one before, and reads as far as that.
    const std::int64_t at = std::min(i, run.end - lanes);
    const auto sum =
        sum_run(d, values + (at - run.begin) * run.n, run.n, run.columns, x + (at - run.begin));
    if (at == i && i + lanes <= end && op.y_row_stride == 1) {
      hn::StoreU(sum, d, y + i);
    } else {
      HWY_ALIGN T sums[lanes];
      hn::Store(sum, d, sums);
      for (std::int64_t r = i; r < std::min(end, i + lanes); ++r) {
        y[r * op.y_row_stride] = sums[r - at];
      }
    }
  }
}

/// The same for a run of run_vector_rows or more.
template <class T, class I>
void run_vector(const MatmulOperands& op, const Run<I>& run, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  if (run.end - run.begin >= static_cast<std::int64_t>(hn::MaxLanes(d))) {
    return run_lanes<decltype(d), T>(d, op, run, begin, end);
  }
  const hn::CappedTag<T, run_vector_rows> few;
  run_lanes<decltype(few), T>(few, op, run, begin, end);
}

/// The same vector, which the compiler loads once: GCC reads memory again in each multiply-add.
template <class V>
HWY_INLINE V in_register(V vector) {
#if HWY_TARGET <= HWY_AVX2 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
  asm("" : "+v"(vector.raw));
#endif
  return vector;
}

/// Calls body<k>() for k in [First, Last]. Arrays of vectors are kept in registers only where their
/// indices are constants from the start.
template <int First, int Last, class Body>
HWY_INLINE void for_constants(Body body) {
  if constexpr (First <= Last) {
    body.template operator()<First>();
    for_constants<First + 1, Last>(body);
  }
}

/// `Rows` rows of a run times a block of columns: a row of X serves all rows of A whose columns
/// reach it.
template <int Rows, class Columns, class T, class I>
HWY_NOINLINE void run_block(Columns block, const Run<I>& run, const T* HWY_RESTRICT values,
                            const T* HWY_RESTRICT x, std::int64_t x_stride, T* HWY_RESTRICT y,
                            std::int64_t y_stride) {
  using D = typename Columns::Tag;
  const D d;
  constexpr int Loads = Columns::loads;
  hn::Vec<D> sums[Rows * Loads];
  for_constants<0, Rows * Loads - 1>([&]<int k>() HWY_ATTR { sums[k] = hn::Zero(d); });
  // Row r of A has at X's row j what row 0 has r rows before.
  const auto add = [&]<int First, int Last>(const T* at, const T* x_row) HWY_ATTR {
    for_constants<0, Loads - 1>([&]<int v>() HWY_ATTR {
      const auto columns = in_register(block.load_vector(x_row, v));
      for_constants<First, Last>([&]<int r>() HWY_ATTR {
        const auto a = hn::Set(d, widen(at[r * (run.n - 1)]));
        sums[r * Loads + v] = hn::MulAdd(a, columns, sums[r * Loads + v]);
      });
    });
  };
  // Row j of X, counted from a stretch's first in row 0 of A, reaches rows [j - length + 1, j].
  const auto add_short = [&]<int Length>(const T* at, const T* x_row) HWY_ATTR {
    for_constants<0, Rows + Length - 2>([&]<int j>() HWY_ATTR {
      add.template operator()<std::max(0, j - Length + 1), std::min(j, Rows - 1)>(
          at + j, x_row + j * x_stride);
    });
  };
  const auto add_long = [&](const T* at, const T* x_row, std::int64_t length) HWY_ATTR {
    for_constants<0, Rows - 2>(
        [&]<int j>() HWY_ATTR { add.template operator()<0, j>(at + j, x_row + j * x_stride); });
    std::int64_t j = Rows - 1;
    for (; j < length; ++j) add.template operator()<0, Rows - 1>(at + j, x_row + j * x_stride);
    for_constants<1, Rows - 1>([&]<int r>() HWY_ATTR {
      add.template operator()<r, Rows - 1>(at + j + r - 1, x_row + (j + r - 1) * x_stride);
    });
  };
  std::int64_t length = 0;
  for (std::int64_t k = 0, stretch = 0; k < run.n; k += length, ++stretch) {
    length = run.stretches[static_cast<std::size_t>(stretch)];
    const T* at = values + k;
    const T* x_row = x + static_cast<std::int64_t>(run.columns[k]) * x_stride;
    if (length >= Rows - 1) {
      add_long(at, x_row, length);
    } else if (Rows == 8 && length == 3) {
      add_short.template operator()<3>(at, x_row);
    } else {
      for (std::int64_t j = 0; j < length; ++j) {
        add_short.template operator()<1>(at + j, x_row + j * x_stride);
      }
    }
  }
  for_constants<0, Rows - 1>([&]<int r>() HWY_ATTR {
    hn::Vec<D> row[Loads];
    for_constants<0, Loads - 1>([&]<int v>() HWY_ATTR { row[v] = sums[r * Loads + v]; });
    block.store_vectors(row, y + r * y_stride);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
