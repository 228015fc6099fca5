// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cuda/adjacent_columns.cuh"
#include "cuda/scalar.cuh"

namespace gossamer::cuda {
namespace {

constexpr int tile = 32, block_rows = 8;

template <class Word>
__device__ void copy_member(const RowsToCopy& matrix, std::int64_t member, std::int64_t cols) {
  __shared__ Word words[tile][tile + 1];
  const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.x) * tile;
  const Word* const from = static_cast<const Word*>(matrix.from) + member * matrix.member_stride;
  Word* const to = static_cast<Word*>(matrix.to) + member * matrix.rows * cols;
  for (std::int64_t col0 = static_cast<std::int64_t>(blockIdx.y) * tile; col0 < cols;
       col0 += static_cast<std::int64_t>(gridDim.y) * tile) {
    for (int i = threadIdx.y; i < tile; i += block_rows) {
      if (row0 + threadIdx.x < matrix.rows && col0 + i < cols) {
        words[i][threadIdx.x] =
            from[(row0 + threadIdx.x) * matrix.row_stride + (col0 + i) * matrix.col_stride];
      }
    }
    __syncthreads();
    for (int i = threadIdx.y; i < tile; i += block_rows) {
      if (row0 + i < matrix.rows && col0 + threadIdx.x < cols) {
        to[(row0 + i) * cols + col0 + threadIdx.x] = words[threadIdx.x][i];
      }
    }
    __syncthreads();
  }
}

/// grid: tiles of rows, tiles of columns, matrices times members; a block has 32 x 8 threads.
template <class Word>
__global__ void __launch_bounds__(tile* block_rows)
    copy_tiles(const __grid_constant__ std::array<RowsToCopy, 2> matrices, unsigned count,
               std::int64_t cols) {
  const RowsToCopy& matrix = matrices[blockIdx.z % count];
  for (std::int64_t member = blockIdx.z / count; member < matrix.members;
       member += gridDim.z / count) {
    copy_member<Word>(matrix, member, cols);
  }
}

template <std::size_t Item>
void launch(const std::array<RowsToCopy, 2>& matrices, std::int64_t cols, Stream stream) {
  const auto tiles = [](std::int64_t n) { return (n + tile - 1) / tile; };
  const unsigned count = matrices[1].rows > 0 ? 2 : 1;
  const std::int64_t rows = std::max(matrices[0].rows, matrices[1].rows);
  const std::int64_t members = std::max(matrices[0].members, matrices[1].members);
  if (rows == 0 || cols == 0 || members == 0) return;
  const dim3 grid(static_cast<unsigned>(tiles(rows)),
                  static_cast<unsigned>(std::min<std::int64_t>(tiles(cols), 65'535)),
                  count * static_cast<unsigned>(std::min<std::int64_t>(members, 32'767)));
  copy_tiles<typename WordOf<Item>::type>
      <<<grid, dim3(tile, block_rows), 0, native(stream)>>>(matrices, count, cols);
}

}  // namespace

void copy_rows(const std::array<RowsToCopy, 2>& matrices, std::int64_t cols, std::size_t item,
               Stream stream) {
  const auto run = item == 2   ? launch<2>
                   : item == 4 ? launch<4>
                   : item == 8 ? launch<8>
                               : launch<16>;
  run(matrices, cols, stream);
  check_launch("copy_rows");
}

}  // namespace gossamer::cuda
