// SPDX-License-Identifier: Apache-2.0
// Products with a single column, rows of very different lengths. A tile is the rows that begin in
// one of equal shares of the matrix, where a row and a position count one each; a block multiplies
// a tile's positions in order into shared memory and sums the rows from there. Longer rows than a
// share have blocks of their own.
#include "core/visit.hpp"
#include "ops/matmul/matmul_cuda.cuh"

namespace gossamer::cuda {
namespace {

constexpr int block = tuning::matmul_cuda_block;
constexpr int unroll = 4;

template <class I>
struct Tiles {
  Pieces<I> pieces;
  std::int64_t piece_count, cut_rows;  ///< long rows that are cut come first in the order
  std::int64_t long_units;             ///< pieces, and long rows that are not cut
  const I* first_rows;
};

/// take(i, product) for every position i of the block's, counted from `begin`.
template <class T, class I, bool Mapped, class Take>
__device__ __forceinline__ void for_each_product(const Matrix<T, I, Mapped>& a, const T* x,
                                                 I x_row_bytes, I begin, int count, Take take) {
  I column[unroll];
  const auto load_columns = [&](int from) {
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (from + u * block < count) column[u] = load_once(a.indices + begin + (from + u * block));
    }
  };
  int i = threadIdx.x;
  load_columns(i);
  wait_for_launches_before();
  for (; i < count; i += unroll * block) {
    T value[unroll], factor[unroll];
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (i + u * block < count) {
        value[u] = a.values_from(begin)[i + u * block];
        factor[u] = *x_row(x, column[u], x_row_bytes);
      }
    }
    load_columns(i + unroll * block);
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (i + u * block < count) {
        take(i + u * block, multiply_add(conjugate_if(a.conjugate, widen(value[u])),
                                         widen(factor[u]), DeviceAccumulator<T>{}));
      }
    }
  }
}

/// A piece, or a long row that is not cut.
template <class T, class I, bool Mapped>
__device__ void multiply_long(const Matrix<T, I, Mapped>& a, I x_row_bytes, const Tiles<I>& tiles,
                              const DenseColumns& dense, DeviceAccumulator<T>* warp_sums) {
  using Sum = DeviceAccumulator<T>;
  const std::int64_t unit = blockIdx.x;
  const bool piece = unit < tiles.piece_count;
  const std::int64_t owner =
      piece ? tiles.pieces.owners[unit] : unit - tiles.piece_count + tiles.cut_rows;
  const I row = tiles.pieces.order[owner];
  I begin = a.indptr[row], end = a.indptr[row + 1];
  if (piece) {
    begin += static_cast<I>((unit - tiles.pieces.offsets[owner]) * tuning::matmul_cuda_piece);
    end = min(end, static_cast<I>(begin + tuning::matmul_cuda_piece));
  }
  Sum sum{};
  for_each_product(a, static_cast<const T*>(dense.x), x_row_bytes, begin,
                   static_cast<int>(end - begin), [&](int, Sum product) { sum = sum + product; });
  sum = sum_block(sum, warp_sums);
  if (threadIdx.x != 0) return;
  if (piece) {
    static_cast<Sum*>(tiles.pieces.sums)[unit] = sum;
  } else {
    static_cast<T*>(dense.y)[row * dense.y_row_stride] = narrow<T>(sum);
  }
}

/// Sums of a tile's rows from their products: a few lanes each, a whole warp where one is far
/// longer than the others.
template <class T, class I>
__device__ void sum_rows(const I* offsets, int rows, const DeviceAccumulator<T>* products, T* y,
                         std::int64_t y_stride) {
  using Sum = DeviceAccumulator<T>;
  int log_lanes = 0;
  while (log_lanes < 5 && (rows << (log_lanes + 1)) <= block) ++log_lanes;
  const int lanes = 1 << log_lanes, lane = threadIdx.x & (lanes - 1);
  const int in_warp = threadIdx.x % 32;
  const I begin = offsets[0];
  for (int first = (threadIdx.x - in_warp) >> log_lanes; first < rows;
       first += block >> log_lanes) {
    const int row = first + (in_warp >> log_lanes);
    int from = 0, to = 0;
    if (row < rows) {
      from = static_cast<int>(offsets[row] - begin);
      to = static_cast<int>(offsets[row + 1] - begin);
    }
    const bool by_warp = to - from > 32 * lanes;
    Sum sum{};
    for (int i = from + lane; !by_warp && i < to; i += lanes) sum = sum + products[i];
    sum = sum_lanes(sum, lanes);
    for (unsigned left = __ballot_sync(~0u, by_warp && lane == 0); left != 0; left &= left - 1) {
      const int owner = __ffs(left) - 1;
      const int stop = __shfl_sync(~0u, to, owner);
      Sum part{};
      for (int i = __shfl_sync(~0u, from, owner) + in_warp; i < stop; i += 32) {
        part = part + products[i];
      }
      part = sum_lanes(part, 32);
      if (in_warp == owner) sum = part;
    }
    if (row < rows && lane == 0) y[row * y_stride] = narrow<T>(sum);
  }
}

template <class T, class I, bool Mapped>
__global__ void __launch_bounds__(block, sizeof(T) > 8   ? 2
                                         : sizeof(T) > 4 ? 4
                                                         : 6)
    multiply(Matrix<T, I, Mapped> a, I x_row_bytes, const __grid_constant__ Tiles<I> tiles,
             DenseColumns dense) {
  using Sum = DeviceAccumulator<T>;
  __shared__ Sum products[2 * tuning::matmul_cuda_tile];
  launch_dependents();
  if (blockIdx.x < tiles.long_units) {
    multiply_long(a, x_row_bytes, tiles, dense, products);
    return;
  }
  const std::int64_t tile = blockIdx.x - tiles.long_units;
  const I first = tiles.first_rows[tile];
  I last = tiles.first_rows[tile + 1];
  const I begin = a.indptr[first];
  I end = a.indptr[last];
  if (last > first && end - a.indptr[last - 1] > tuning::matmul_cuda_tile) {
    end = a.indptr[--last];  // a long row: only the last one of a tile can be
  }
  for_each_product(a, static_cast<const T*>(dense.x), x_row_bytes, begin,
                   static_cast<int>(end - begin),
                   [&](int i, Sum product) { products[i] = product; });
  __syncthreads();
  sum_rows<T>(a.indptr + first, static_cast<int>(last - first), products,
              static_cast<T*>(dense.y) + first * dense.y_row_stride, dense.y_row_stride);
}

}  // namespace

void multiply_tiles(const Operand& operand, const RowSchedule& rows, const DenseColumns& dense,
                    Workspace workspace, const Launch& launch) {
  const CsrView& a = operand.a;
  constexpr int last_class = RowSchedule::classes - 1;
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(a.pattern.index_dtype, "A", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      Tiles<I> tiles{.pieces = Pieces<I>(rows, a.pattern, dense, workspace),
                     .piece_count = rows.pieces,
                     .cut_rows = rows.class_rows[last_class],
                     .long_units = rows.pieces,
                     .first_rows = nullptr};
      for (int c = last_class - 1; (std::int64_t{2} << c) >= tuning::matmul_cuda_tile; --c) {
        tiles.long_units += rows.class_rows[c];
      }
      tiles.first_rows = tiles.pieces.order + (rows.elements() - rows.tiles - 1);
      const auto blocks = static_cast<unsigned>(tiles.long_units + rows.tiles);
      visit_mapped(operand, [&](auto mapped) {
        launch(launch.overlap, multiply<T, I, mapped>, blocks, Matrix<T, I, mapped>(operand),
               row_bytes<T, I>(dense), tiles, dense);
      });
    });
  });
  join_pieces(operand, rows, dense, workspace, launch);
}

}  // namespace gossamer::cuda
