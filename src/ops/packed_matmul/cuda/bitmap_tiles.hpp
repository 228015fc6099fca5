// SPDX-License-Identifier: Apache-2.0
// The arrangement `bitmap_tiles`: a bitmap and its values in tiles of 16 rows x 64 columns, made so
// that the tensor cores compute where each value is, for products with up to 64 vectors. Made on
// load, never stored.
//
// A tile's values follow each other by column in the order of `column_at`, those of a column by
// row. Two tiles below each other are a pair:
//   start   32 bits: bytes from the pair's begin to the second tile's first value
//   masks   32 words a tile: bit 8 j + i of word 4 g + t is set where row 4 t + j of column
//           8 i + g is stored (the B fragments of the 8-bit mma.m16n8k32, eight columns a bit each)
//   counts  64 bytes a tile: values of each column, in `count_byte` of its place in the order. Of
//           the 32nd column there is none: its byte is 0, the 64th column's byte is a quarter of
//           the values of the first 32 columns.
//   values  of both tiles; those of the first 32 columns are padded to a multiple of four
// and is padded to 16 bytes. Pairs follow each other by column, then by row.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "gossamer/dtype.hpp"

namespace gossamer::cuda::bitmap_tiles {

inline constexpr int tile_rows = 16, tile_cols = 64;
inline constexpr int pair_tiles = 2, pair_rows = pair_tiles * tile_rows;
inline constexpr int masks_at = 4, counts_at = masks_at + 128 * pair_tiles,
                     values_at = counts_at + 64 * pair_tiles;  ///< in a pair

/// Column at a place of the order: of each eight the even ones, then the odd ones.
constexpr int column_at(int place) { return place / 8 * 8 + place % 4 * 2 + place / 4 % 2; }

/// Where the count of the column at a place stands: lane t of four loads the 16 bytes from 16 t.
constexpr int count_byte(int place) { return place / 4 % 4 * 16 + place / 16 * 4 + place % 4; }

/// Device pointers of an arrangement, and what a launch needs beside them.
struct View {
  const std::uint8_t* stream;
  const std::uint32_t* offset;  ///< [pairs + 1] first 16 bytes of each pair
  int rows, cols;
  unsigned largest_pair, largest_tile;  ///< bytes; of a tile its values

  constexpr int row_pairs() const { return (rows + pair_rows - 1) / pair_rows; }
  constexpr int tile_columns() const { return (cols + tile_cols - 1) / tile_cols; }
};

/// One product with up to 64 vectors: Y = X Aᵀ, X (vectors, cols), Y (vectors, rows).
struct Launch {
  const View& a;
  DType dtype;  ///< float16 or bfloat16
  const void* x;
  void* y;
  int vectors;
  int blocks;     ///< at most: one a multiprocessor
  void* partial;  ///< partial_bytes, zeros before and after: for matmul_many
  bool overlap;
  int device;
  cudaStream_t stream;
};

/// Rows of X that one launch takes.
inline constexpr int most_vectors = 64;
/// Up to these, blocks may have rows to themselves; beyond, they share units.
inline constexpr int few_vectors = 16;

/// A unit of matmul_many has that many pairs below each other.
inline constexpr int unit_pairs = 4, unit_rows = unit_pairs * pair_rows;

/// Rows of X that matmul_many's tile for that many vectors holds: 16, 32 or 64.
constexpr int padded_vectors(std::int64_t vectors) {
  return vectors <= 16 ? 16 : vectors <= 32 ? 32 : 64;
}

/// Sums that blocks of matmul_many leave for each other: of one unit each.
constexpr std::size_t partial_bytes(int padded_vectors, int blocks) {
  return sizeof(float) * static_cast<std::size_t>(blocks) * padded_vectors * unit_rows;
}

/// In bitmap_tiles_few_cuda_sm90a.cu: up to few_vectors, without a workspace.
cudaError_t matmul_few(const Launch& launch);
/// In bitmap_tiles_many_cuda_sm90a.cu: any number of them, in tiles of padded_vectors.
cudaError_t matmul_many(const Launch& launch);

}  // namespace gossamer::cuda::bitmap_tiles
