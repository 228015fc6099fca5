// SPDX-License-Identifier: Apache-2.0
// Products of any rows with any columns. A unit of threads takes a row, or a piece of a long one:
// lanes along the columns of X, and side by side the parts into which the row's positions are
// split.
#include "core/visit.hpp"
#include "ops/matmul/matmul_cuda.cuh"

namespace gossamer::cuda {
namespace {

constexpr int log_block = 8;
constexpr int warps = tuning::matmul_cuda_block / 32;
static_assert(1 << log_block == tuning::matmul_cuda_block);

/// Blocks that a multiprocessor should hold at once: as many as fit without spilling registers.
constexpr int resident_blocks(std::size_t item, int width) {
  if (width == 1 && item <= 4) return 5;
  return item * width <= 16 && item <= 4 && width <= 4 ? 4 : item * width <= 16 ? 3 : 2;
}

/// Rows of one class, and the blocks that take them.
struct ClassLayout {
  unsigned first_block;
  int log_splits;
  std::int64_t first, units;  ///< its rows in the order of the schedule, or its pieces
};

template <class I>
struct Schedule {
  int log_lanes, layouts;
  ClassLayout layout[RowSchedule::classes];
  Pieces<I> pieces;
  bool stores_vectors;  ///< rows of Y can be written as those of X are read
};

/// The columns that a thread computes: Width neighbours at once, or Width of any stride.
template <class T, int Width, bool Vectorized>
struct ThreadColumns {
  struct alignas(Vectorized ? sizeof(T) * Width : sizeof(T)) Elements {
    T element[Width];
  };

  __device__ static Elements load(const T* from, std::int64_t stride, int count) {
    if constexpr (Vectorized) {
      return *reinterpret_cast<const Elements*>(from);
    } else {
      Elements loaded;
#pragma unroll
      for (int w = 0; w < Width; ++w) {
        if (Width == 1 || w < count) loaded.element[w] = from[w * stride];
      }
      return loaded;
    }
  }

  __device__ static void store(const DeviceAccumulator<T> (&sum)[Width], T* to, std::int64_t stride,
                               int count, bool vector) {
    if (Vectorized && vector) {
      Elements stored;
#pragma unroll
      for (int w = 0; w < Width; ++w) stored.element[w] = narrow<T>(sum[w]);
      *reinterpret_cast<Elements*>(to) = stored;
    } else {
#pragma unroll
      for (int w = 0; w < Width; ++w) {
        if (w < count) to[w * stride] = narrow<T>(sum[w]);
      }
    }
  }
};

/// sum += the positions begin, begin + step, ... before end, times the thread's columns. Columns of
/// A are read a step ahead, the first ones before the wait for the kernel before this one.
template <class Columns, class T, class I, bool Mapped, int Width>
__device__ __forceinline__ void accumulate(const Matrix<T, I, Mapped>& a, const T* x, I x_row_bytes,
                                           std::int64_t x_col_stride, int count, I begin, I end,
                                           int step, DeviceAccumulator<T> (&sum)[Width]) {
  constexpr int unroll = 4;
  I column[unroll];
  const auto load_columns = [&](I from, I left) {
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (u * step < left) column[u] = load_once(a.indices + (from + u * step));
    }
  };
  load_columns(begin, end - begin);
  wait_for_launches_before();
  // What is left is counted down: begin + unroll * step may lie beyond the index type.
  for (I left = end - begin; left > 0; left -= unroll * step, begin += unroll * step) {
    T value[unroll];
    typename Columns::Elements factor[unroll];
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (u * step < left) {
        value[u] = a.values_from(begin + u * step)[0];
        factor[u] = Columns::load(x_row(x, column[u], x_row_bytes), x_col_stride, count);
      }
    }
    load_columns(begin + unroll * step, left - unroll * step);
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (u * step < left) {
        const auto element = conjugate_if(a.conjugate, widen(value[u]));
#pragma unroll
        for (int w = 0; w < Width; ++w) {
          sum[w] = multiply_add(element, widen(factor[u].element[w]), sum[w]);
        }
      }
    }
  }
}

template <class T, class I, int Width, bool Vectorized, bool Even, bool Mapped>
__global__ void __launch_bounds__(tuning::matmul_cuda_block, resident_blocks(sizeof(T), Width))
    multiply(Matrix<T, I, Mapped> a, I x_row_bytes, DenseColumns dense,
             const __grid_constant__ Schedule<I> schedule) {
  using Sum = DeviceAccumulator<T>;
  using Columns = ThreadColumns<T, Width, Vectorized>;
  __shared__ Sum warp_sums[warps][32 * Width];
  launch_dependents();
  int at = 0;
  if constexpr (!Even) {
    while (at + 1 < schedule.layouts && blockIdx.x >= schedule.layout[at + 1].first_block) ++at;
  }
  const ClassLayout& layout = schedule.layout[at];
  const int log_lanes = schedule.log_lanes, log_unit = log_lanes + layout.log_splits;
  const int lane = threadIdx.x & ((1 << log_lanes) - 1);
  const int split = (threadIdx.x & ((1 << log_unit) - 1)) >> log_lanes;
  const std::int64_t unit =
      (static_cast<std::int64_t>(blockIdx.x - layout.first_block) << (log_block - log_unit)) +
      (threadIdx.x >> log_unit);

  const bool pieces = !Even && schedule.pieces.offsets != nullptr && at == 0;
  I row = 0, begin = 0, end = 0;
  if (unit < layout.units) {
    const I owner = pieces ? schedule.pieces.owners[unit] : static_cast<I>(layout.first + unit);
    row = Even ? owner : schedule.pieces.order[owner];
    begin = a.indptr[row];
    end = a.indptr[row + 1];
    if (pieces) {
      begin += static_cast<I>((unit - schedule.pieces.offsets[owner]) * tuning::matmul_cuda_piece);
      end = min(end, static_cast<I>(begin + tuning::matmul_cuda_piece));
    }
  }
  for (std::int64_t m = blockIdx.z; m < dense.members; m += gridDim.z) {
    const Member<T> member(dense, m);
    for (std::int64_t block = blockIdx.y; (block << log_lanes) * Width < dense.cols;
         block += gridDim.y) {
      const std::int64_t column = ((block << log_lanes) + lane) * Width;
      const int count = static_cast<int>(
          max(std::int64_t{0}, min(static_cast<std::int64_t>(Width), dense.cols - column)));
      Sum sum[Width] = {};
      accumulate<Columns>(a, member.x + column * dense.x_col_stride, x_row_bytes,
                          dense.x_col_stride, count, static_cast<I>(begin + split),
                          count > 0 ? end : static_cast<I>(begin + split), 1 << layout.log_splits,
                          sum);
      for (int bit = log_lanes; bit < min(log_unit, 5); ++bit) {
#pragma unroll
        for (int w = 0; w < Width; ++w) sum[w] = sum[w] + shuffle_xor(sum[w], 1 << bit);
      }
      if (log_unit > 5) {
        __syncthreads();
        if (threadIdx.x % 32 == lane) {
#pragma unroll
          for (int w = 0; w < Width; ++w) warp_sums[threadIdx.x / 32][lane * Width + w] = sum[w];
        }
        __syncthreads();
        if (split == 0) {
          const int first = threadIdx.x / 32;
          for (int other = 1; other < 1 << (log_unit - 5); ++other) {
#pragma unroll
            for (int w = 0; w < Width; ++w) {
              sum[w] = sum[w] + warp_sums[first + other][lane * Width + w];
            }
          }
        }
      }
      if (split != 0 || unit >= layout.units) continue;
      if (pieces) {
        Sum* const to = static_cast<Sum*>(schedule.pieces.sums) + unit * schedule.pieces.columns +
                        m * dense.cols + column;
#pragma unroll
        for (int w = 0; w < Width; ++w) {
          if (w < count) to[w] = sum[w];
        }
      } else if (count > 0) {
#pragma unroll
        for (int w = 0; w < Width; ++w) sum[w] = a.result(sum[w], row);
        Columns::store(sum, member.y + row * dense.y_row_stride + column * dense.y_col_stride,
                       dense.y_col_stride, count, schedule.stores_vectors);
      }
    }
  }
}

/// Parts of a row of `length` positions. Lanes along a single column read neighbouring positions,
/// so a few for each suffice; lanes along several columns read X, which rows side by side share.
int log_splits(std::int64_t length, std::int64_t threads, std::int64_t wanted, int log_lanes) {
  const tuning::MatmulCudaSplits& split =
      log_lanes == 0 ? tuning::matmul_cuda_single_column : tuning::matmul_cuda_columns;
  int log = 0;
  while (log_lanes + log < 5 && length >= split.shortest && (split.positions << log) <= length) {
    ++log;
  }
  while (log_lanes + log < log_block && (threads << log) < wanted &&
         ((log_lanes + log < 5 ? 8 : 16) << log) <= length) {
    ++log;
  }
  while (log_lanes + log < log_block && (split.beyond_warp << log) <= length << log_lanes) ++log;
  return log;
}

template <class I>
unsigned lay_out(Schedule<I>& schedule, const RowSchedule& rows, const CsrPattern& pattern,
                 std::int64_t columns, std::int64_t wanted) {
  std::int64_t blocks = 0, first = 0;
  const auto add = [&](std::int64_t units, std::int64_t length) {
    const int log =
        log_splits(length, (units << schedule.log_lanes) * columns, wanted, schedule.log_lanes);
    schedule.layout[schedule.layouts++] = {static_cast<unsigned>(blocks), log, first, units};
    const std::int64_t per_block = tuning::matmul_cuda_block >> (schedule.log_lanes + log);
    blocks += (units + per_block - 1) / per_block;
  };
  if (rows.even) {
    add(pattern.rows, pattern.nnz / pattern.rows);
    return static_cast<unsigned>(blocks);
  }
  for (int c = RowSchedule::classes - 1; c >= 0; --c) {
    if (rows.class_rows[c] == 0) continue;
    const bool cut = c == RowSchedule::classes - 1;
    add(cut ? rows.pieces : rows.class_rows[c],
        cut ? tuning::matmul_cuda_piece : std::int64_t{3} << c);
    first += rows.class_rows[c];
  }
  return static_cast<unsigned>(blocks);
}

template <class T, class I, int Width, bool Vectorized, bool Mapped>
auto kernel_for(bool even) {
  return even ? multiply<T, I, Width, Vectorized, true, Mapped>
              : multiply<T, I, Width, Vectorized, false, Mapped>;
}

}  // namespace

void multiply_rows(const Operand& operand, const RowSchedule& rows, const DenseColumns& dense,
                   Workspace workspace, const Launch& launch) {
  const CsrView& a = operand.a;
  const std::int64_t wanted =
      device_properties(launch.stream.device).multiprocessors * tuning::matmul_cuda_threads;
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(a.pattern.index_dtype, "A", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      constexpr int wide = 16 / sizeof(T);
      const bool contiguous = dense.cols > 1 && dense.x_col_stride == 1;
      const bool vectorized = contiguous && wide > 1 && x_is_aligned(dense, wide, sizeof(T));
      const int width = vectorized ? wide : contiguous || dense.cols == 1 ? 1 : 4;
      const std::int64_t vectors = (dense.cols + width - 1) / width;
      Schedule<I> schedule{};
      while (contiguous && schedule.log_lanes < 5 && (1 << schedule.log_lanes) < vectors) {
        ++schedule.log_lanes;
      }
      const std::int64_t column_blocks = ((vectors - 1) >> schedule.log_lanes) + 1;
      schedule.stores_vectors = y_is_aligned(dense, wide, sizeof(T));
      if (!rows.even) schedule.pieces = Pieces<I>(rows, a.pattern, dense, workspace);
      const dim3 grid(lay_out(schedule, rows, a.pattern, column_blocks * dense.members, wanted),
                      limited(column_blocks), limited(dense.members));
      visit_mapped(operand, [&](auto mapped) {
        const auto run = [&](auto kernel) {
          launch(launch.overlap, kernel, grid, Matrix<T, I, mapped>(operand),
                 row_bytes<T, I>(dense), dense, schedule);
        };
        if (mapped || width == 1) {  // values of several columns are moved before
          run(kernel_for<T, I, 1, false, mapped>(rows.even));
        } else if constexpr (!mapped) {
          run(vectorized ? kernel_for<T, I, wide, (wide > 1), false>(rows.even)
                         : kernel_for<T, I, 4, false, false>(rows.even));
        }
      });
    });
  });
  join_pieces(operand, rows, dense, workspace, launch);
}

}  // namespace gossamer::cuda
