// SPDX-License-Identifier: Apache-2.0
// Chooses the kernel of a product, and splits the rows among threads.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

#include "core/threads.hpp"
#include "formats/packed.hpp"
#include "ops/packed_matmul/aligned_floats.hpp"
#include "ops/packed_matmul/dense_operands.hpp"
#include "ops/packed_matmul/packed_matmul.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "ops/packed_matmul/packed_matmul_tiles.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "simd/targets.hpp"

namespace gossamer {
namespace {

/// Floats of the widest vectors: bitmap rows keep as many partial sums for each element of Y.
constexpr std::int64_t widest_vector = 16;

constexpr std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/// One column of Y where X holds infinities or NaN: slot by slot, leaving out the zero slots.
void multiply_walking(const PackedMatmulOperands& op, std::size_t column) {
  const PackedView& packed = op.packed;
  std::vector<std::int32_t> columns(static_cast<std::size_t>(decoded_length(packed)));
  std::vector<float> values(columns.size()), sums(static_cast<std::size_t>(op.y.rows));
  visit_dense(op.x.dtype, "X", [&](auto tag) {
    using X = typename decltype(tag)::type;
    const X* x = static_cast<const X*>(op.x.data) + op.x.columns[column];
    for (std::int64_t i = 0; i < packed.rows; ++i) {
      const std::int64_t first = row_offset(packed, i);
      const std::int64_t count = row_offset(packed, i + 1) - first;
      decode_columns(packed, i, columns.data());
      decode_values(packed, first, count, values.data());
      for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
        if (values[k] == 0.0f) continue;
        const std::int64_t input = op.transpose ? i : columns[k];
        const std::int64_t output = op.transpose ? columns[k] : i;
        sums[static_cast<std::size_t>(output)] +=
            values[k] * row_scale(packed, i) * widen(x[input * op.x.row_stride]);
      }
    }
  });
  store_sums(op.y, 0, op.y.rows, column, 1, sums.data(), 1);
}

// ---- Rows to threads ----------------------------------------------------------------------------

/// The share of all work that comes before a piece. Each round of pieces, one a thread, takes half
/// of what is left, and the last one all: large pieces first, small ones for whoever has time.
double share_before(std::int64_t piece, std::int64_t threads, std::int64_t rounds) {
  const auto round = static_cast<int>(piece / threads);
  if (round >= rounds) return 1.0;
  const double left = std::ldexp(1.0, -round);
  const double taken = round + 1 < rounds ? left / 2 : left;
  return 1.0 - left + taken * static_cast<double>(piece % threads) / static_cast<double>(threads);
}

/// The row, a multiple of `tile`, before which that share of the slots and of what rows cost by
/// themselves lies.
std::int64_t row_at(const PackedView& packed, double share, std::int64_t tile) {
  if (share >= 1.0) return packed.rows;
  const std::int64_t row_cost = packed.format == PackedFormat::bitmap ? packed.cols / 4 + 8 : 8;
  const double total = static_cast<double>(packed.slots) +
                       static_cast<double>(packed.rows) * static_cast<double>(row_cost);
  const double target = total * share;
  std::int64_t low = 0, high = packed.rows;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (static_cast<double>(row_offset(packed, middle)) +
            static_cast<double>(middle) * static_cast<double>(row_cost) <
        target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low / tile * tile;
}

/// Calls rows(begin, end, sums) for pieces of the rows on all threads, at most `rows_at_once` of
/// them, and stores their sums. Pieces begin at multiples of `tile` rows, and sums have room for
/// such a multiple; `rows_worth` are worth one.
template <class Rows>
void multiply_rows(const PackedMatmulOperands& op, std::size_t first, std::size_t count,
                   std::int64_t width, std::int64_t rows_at_once, std::int64_t tile,
                   std::int64_t rows_worth, Rows&& rows) {
  const PackedView& packed = op.packed;
  const std::int64_t work = (packed.slots + packed.rows) * width;
  const std::int64_t threads = work < tuning::packed_serial_work ? 1 : num_threads();
  const std::int64_t worth = std::min(work / tuning::packed_piece_work, packed.rows / rows_worth);
  const std::int64_t rounds =
      threads == 1
          ? 1
          : std::clamp<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(worth / threads)), 1,
                                     tuning::packed_rounds);
  parallel_for(threads * rounds, [&](std::int64_t piece) {
    const std::int64_t end = row_at(packed, share_before(piece + 1, threads, rounds), tile);
    AlignedFloats sums;
    for (std::int64_t begin = row_at(packed, share_before(piece, threads, rounds), tile);
         begin < end; begin += rows_at_once) {
      if (!sums) {
        sums = aligned_floats(round_up(std::min(rows_at_once, end - begin), tile) * width);
      }
      const std::int64_t last = std::min(end, begin + rows_at_once);
      rows(begin, last, sums.get());
      store_sums(op.y, begin, last, first, count, sums.get(), width);
    }
  });
}

/// Calls add(begin, end, partial) for a fixed number of pieces of the rows, and stores the sum of
/// the partial results (of op.y.rows × width) in the order of the pieces.
template <class Add>
void multiply_transposed(const PackedMatmulOperands& op, std::size_t first, std::size_t count,
                         std::int64_t width, Add&& add) {
  const PackedView& packed = op.packed;
  const std::int64_t length = round_up(packed.cols, 64) * width;
  const std::int64_t pieces =
      std::clamp<std::int64_t>((packed.slots + packed.rows) / tuning::packed_partial_work * width,
                               1, tuning::packed_partials);
  const AlignedFloats partials = aligned_floats(pieces * length);
  parallel_for(pieces, [&](std::int64_t piece) {
    float* partial = partials.get() + piece * length;
    std::fill(partial, partial + length, 0.0f);
    const auto share = [&](std::int64_t at) {
      return static_cast<double>(at) / static_cast<double>(pieces);
    };
    add(row_at(packed, share(piece), 1), row_at(packed, share(piece + 1), 1), partial);
  });
  const std::int64_t grain = std::max<std::int64_t>(1, tuning::packed_sums_at_once / width);
  parallel_ranges(packed.cols, grain, [&](std::int64_t begin, std::int64_t end) {
    float* sums = partials.get();
    for (std::int64_t piece = 1; piece < pieces; ++piece) {
      const float* partial = partials.get() + piece * length;
      for (std::int64_t k = begin * width; k < end * width; ++k) sums[k] += partial[k];
    }
    store_sums(op.y, begin, end, first, count, sums + begin * width, width);
  });
}

// ---- Tiers --------------------------------------------------------------------------------------

/// X as vectors, for bitmap_rows or gap_rows. Returns the columns to be computed again.
std::vector<std::size_t> multiply_vectors(const PackedMatmulOperands& op, std::size_t first,
                                          std::size_t count) {
  const PackedView& packed = op.packed;
  const bool bitmap = packed.format == PackedFormat::bitmap;
  const auto width = static_cast<std::int64_t>(std::bit_ceil(count));
  const LoadedX x =
      load_vectors(op.x, first, count, width, bitmap ? bitmap_lanes(packed.dtype) : nullptr);
  const VectorsOfX vectors{x.data.get(), width};
  const auto kernel = bitmap ? bitmap_rows : gap_rows;
  const std::int64_t rows_at_once = tuning::packed_sums_at_once / (width * widest_vector);
  multiply_rows(op, first, count, width, rows_at_once, 1, tuning::packed_piece_tiles,
                [&](std::int64_t begin, std::int64_t end, float* sums) {
                  kernel(packed, vectors, begin, end, sums);
                });
  return x.not_finite;
}

/// X as rows, for gap_columns, columns_rows and columns_transposed.
std::vector<std::size_t> multiply_columns(const PackedMatmulOperands& op, std::size_t first,
                                          std::size_t count) {
  const PackedView& packed = op.packed;
  const bool few = !op.transpose && packed.format != PackedFormat::bitmap &&
                   count <= tuning::packed_gap_columns_at_once;
  const std::int64_t width = few ? std::max<std::int64_t>(4, std::bit_ceil(count))
                                 : round_up(static_cast<std::int64_t>(count), 16);
  const LoadedX x = load_rows(op.x, first, count, width);
  const RowsOfX rows{x.data.get(), width};
  if (op.transpose) {
    multiply_transposed(op, first, count, width,
                        [&](std::int64_t begin, std::int64_t end, float* partial) {
                          columns_transposed(packed, rows, begin, end, partial);
                        });
  } else {
    multiply_rows(op, first, count, width, tuning::packed_sums_at_once / width, 1,
                  tuning::packed_piece_tiles,
                  [&](std::int64_t begin, std::int64_t end, float* sums) {
                    (few ? gap_columns : columns_rows)(packed, rows, begin, end, sums);
                  });
  }
  return x.not_finite;
}

/// X where it lies if it can be read there, for panel_rows.
std::vector<std::size_t> multiply_panels(const PackedMatmulOperands& op, std::size_t first,
                                         std::size_t count) {
  const std::int64_t width = round_up(static_cast<std::int64_t>(count), 16);
  const float* in_place = floats_in_place(op.x, first, count);
  LoadedX loaded;
  if (in_place == nullptr) loaded = load_rows(op.x, first, count, width);
  const RowsOfX x{in_place != nullptr ? in_place : loaded.data.get(), width};
  multiply_rows(op, first, count, width, tuning::packed_panel_sums / width, panel_tile_rows,
                tuning::packed_piece_tiles * panel_tile_rows,
                [&](std::int64_t begin, std::int64_t end, float* sums) {
                  panel_rows(op.packed, x, begin, end, sums);
                });
  return in_place != nullptr ? not_finite_columns(op.x, op.y, first, count) : loaded.not_finite;
}

/// X as columns, for panels_transposed: pieces of P's columns go to the threads.
std::vector<std::size_t> multiply_panels_transposed(const PackedMatmulOperands& op,
                                                    std::size_t first, std::size_t count) {
  const PackedView& packed = op.packed;
  const std::int64_t width = round_up(static_cast<std::int64_t>(count), 4);
  // Columns a multiple of 1 KiB apart would share places in the L1 cache.
  const std::int64_t stride = round_up(packed.rows, 32) + 16;
  const LoadedX loaded = load_columns(op.x, first, count, width, stride);
  const ColumnsOfX x{loaded.data.get(), stride, width};
  const std::int64_t work = (packed.slots + packed.rows) * width;
  const std::int64_t pieces =
      work < tuning::packed_serial_work ? 1 : num_threads() * tuning::packed_transposed_pieces;
  const std::int64_t grain = round_up((packed.cols + pieces - 1) / pieces, 64);
  parallel_ranges(packed.cols, grain, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t sums_stride = transposed_sums_stride(end - begin);
    const AlignedFloats sums = aligned_floats(width * sums_stride);
    panels_transposed(packed, x, begin, end, sums.get());
    store_columns(op.y, begin, end, first, count, sums.get(), sums_stride);
  });
  return loaded.not_finite;
}

/// X as tiles, or as multiply_panels has it where tiles cannot hold it or P, or the system refuses
/// them.
std::vector<std::size_t> multiply_tiles(const PackedMatmulOperands& op, std::size_t first,
                                        std::size_t count) {
  if constexpr (GOSSAMER_HAS_AMX) {
    if (tiles_are_permitted()) {
      const LoadedTiles x = load_tiles(op.packed, op.x, first, count);
      std::atomic<bool> in_range = x.in_range;
      if (in_range) {
        multiply_rows(op, first, count, x.x.width, tuning::packed_tile_rows, tile_pair_rows,
                      tuning::packed_tile_piece_rows,
                      [&](std::int64_t begin, std::int64_t end, float* sums) {
                        // Panels write all of Y again.
                        if (!in_range.load(std::memory_order_relaxed)) return;
                        if (!tile_products(op.packed, x.x, begin, end, sums)) in_range = false;
                      });
      }
      if (in_range) return x.not_finite;
    }
  }
  return multiply_panels(op, first, count);
}

std::vector<std::size_t> multiply_vector_transposed(const PackedMatmulOperands& op) {
  const LoadedX x = load_rows(op.x, 0, 1, 1);
  multiply_transposed(op, 0, 1, 1, [&](std::int64_t begin, std::int64_t end, float* partial) {
    vector_transposed(op.packed, x.data.get(), begin, end, partial);
  });
  return x.not_finite;
}

}  // namespace

void packed_matmul_cpu(const PackedMatmulOperands& op) {
  const std::size_t columns = op.x.columns.size();
  const bool bitmap = op.packed.format == PackedFormat::bitmap;
  const std::size_t few = bitmap ? tuning::packed_expanded_columns : 1;
  const double density =
      static_cast<double>(op.packed.slots) /
      (static_cast<double>(op.packed.rows) * static_cast<double>(op.packed.cols));
  const bool panels = density >= tuning::packed_panel_density;
  const bool tiles =
      panels && simd::current_target() == simd::Target::amx && fits_tiles(op.packed.dtype);
  const std::size_t gap_columns_at_most =
      panels ? tuning::packed_gap_columns_at_once : tuning::packed_gap_columns;
  for (std::size_t first = 0; first < columns;) {
    const std::size_t left = columns - first;
    const bool few_of_gaps = !bitmap && !op.transpose && left <= gap_columns_at_most;
    const std::size_t count = std::min(
        left, few_of_gaps ? tuning::packed_gap_columns_at_once : tuning::packed_columns_at_once);
    const std::vector<std::size_t> not_finite =
        op.transpose && columns == 1   ? multiply_vector_transposed(op)
        : op.transpose && panels       ? multiply_panels_transposed(op, first, count)
        : !op.transpose && left <= few ? multiply_vectors(op, first, count)
        : few_of_gaps                  ? multiply_columns(op, first, count)
        : !op.transpose && tiles       ? multiply_tiles(op, first, count)
        : !op.transpose && panels      ? multiply_panels(op, first, count)
                                       : multiply_columns(op, first, count);
    for (const std::size_t column : not_finite) multiply_walking(op, column);
    first += count;
  }
}

}  // namespace gossamer
