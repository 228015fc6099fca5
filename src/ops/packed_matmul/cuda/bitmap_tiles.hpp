// SPDX-License-Identifier: Apache-2.0
// The arrangement `bitmap_tiles`: a bitmap and its values in tiles of 16 rows x 64 columns, in the
// order in which a warp expands them into A fragments of mma.m16n8k16, for products with up to 64
// vectors. Made on load, never stored.
//
// Lane l = 4 g + t of a warp holds sixteen registers of a tile, two elements each. Element e of
// register r is row g + 8 (r % 2), column 16 (r / 4) + 8 (r / 2 % 2) + 2 t + e. A tile is
//   masks   32 words; word 16 h + r has bit 2 (l % 16) + e set where that element of lane l = 16 h
//           + l % 16 is stored
//   values  the stored elements, by register, lane, element
// and is padded to 16 bytes. Tiles of 16 rows follow each other by column, groups of rows by row.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "gossamer/dtype.hpp"

namespace gossamer::cuda::bitmap_tiles {

inline constexpr int tile_rows = 16, tile_cols = 64;
inline constexpr int mask_bytes = 128;
inline constexpr int warps = 8;                       ///< of a block of the product
inline constexpr int block_rows = tile_rows * warps;  ///< of a block of the product

/// Row and column in a tile of element 0 of a register; element 1 is the next column.
constexpr int register_row(int lane, int reg) { return lane / 4 + 8 * (reg % 2); }
constexpr int register_col(int lane, int reg) {
  return 16 * (reg / 4) + 8 * (reg / 2 % 2) + 2 * (lane % 4);
}

/// Device pointers of an arrangement, and what a launch needs beside them.
struct View {
  const std::uint8_t* stream;
  const std::uint32_t* offset;  ///< [row_tiles * col_tiles + 1] first 16 bytes of each tile
  int rows, cols;
  unsigned largest;  ///< bytes of the largest tile, rounded up to 128
};

/// One product with up to 64 vectors: Y = X Aᵀ, X (vectors, cols), Y (vectors, rows).
struct Launch {
  const View& a;
  DType dtype;  ///< float16 or bfloat16
  const void* x;
  void* y;
  int vectors;
  int splits;         ///< blocks that share rows
  float* partial;     ///< [splits][vectors rounded up to 8][rows rounded up to block_rows]
  unsigned* arrived;  ///< [blocks of rows] zero before and after
  bool overlap;
  int device;
  cudaStream_t stream;
};

/// Rows of X that the kernel's tile for that many vectors holds: 8, 16, 32 or 64.
constexpr int padded_vectors(std::int64_t vectors) {
  return vectors <= 8 ? 8 : vectors <= 16 ? 16 : vectors <= 32 ? 32 : 64;
}

/// In bitmap_tiles_matmul_cuda_sm90a.cu.
cudaError_t matmul(const Launch& launch);

}  // namespace gossamer::cuda::bitmap_tiles
