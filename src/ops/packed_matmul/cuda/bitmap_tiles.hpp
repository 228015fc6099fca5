// SPDX-License-Identifier: Apache-2.0
// The arrangement `bitmap_tiles`: a bitmap and its values in tiles of 16 rows x 64 columns, made so
// that the tensor cores compute where each value is, for products with up to 64 vectors. Made on
// load, never stored.
//
// The values of a tile follow each other by column, those of a column by row. Columns come in the
// order of `column_of`. Eight tiles below each other are a panel:
//   starts  8 of 16 bits: bytes from the panel's begin to each tile's first value
//   masks   32 words a tile: bit 8 j + i of word 4 g + t is set where row 4 t + j, column 8 i + g
//   is
//           stored (the B fragments of the 8-bit mma.m16n8k32, for eight columns a bit each)
//   counts  64 bytes a tile: values of each column, in `count_byte` of its place in the order. Of
//           the 32nd column there is none: its byte is 0, the 64th column's byte is a quarter of
//           the values of the first 32 columns.
//   values  tile after tile; those of the first 32 columns are padded to a multiple of four
// and is padded to 16 bytes. A unit is two panels below each other, 256 rows x 64 columns: what a
// block of the product expands at a time. Units follow each other by column, then by row.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "gossamer/dtype.hpp"

namespace gossamer::cuda::bitmap_tiles {

inline constexpr int tile_rows = 16, tile_cols = 64;
inline constexpr int panel_tiles = 8, unit_panels = 2;
inline constexpr int unit_rows = tile_rows * panel_tiles * unit_panels;
inline constexpr int masks_at = 2 * panel_tiles, counts_at = masks_at + 128 * panel_tiles,
                     values_at = counts_at + 64 * panel_tiles;  ///< in a panel

/// Column of a tile at a place of the order: of each eight the even ones, then the odd ones.
constexpr int column_of(int place) { return place / 8 * 8 + place % 4 * 2 + place / 4 % 2; }

/// Where the count of the column at a place stands: lane t of four loads the 16 bytes from 16 t.
constexpr int count_byte(int place) { return place / 4 % 4 * 16 + place / 16 * 4 + place % 4; }

/// Device pointers of an arrangement, and what a launch needs beside them.
struct View {
  const std::uint8_t* stream;
  const std::uint32_t* offset;  ///< [panels + 1] first 16 bytes of each panel
  int rows, cols;
  unsigned largest_panel, largest_tile;  ///< bytes; of a tile its values

  constexpr int row_units() const { return (rows + unit_rows - 1) / unit_rows; }
  constexpr int col_units() const { return (cols + tile_cols - 1) / tile_cols; }
};

/// One product with up to 64 vectors: Y = X Aᵀ, X (vectors, cols), Y (vectors, rows).
struct Launch {
  const View& a;
  DType dtype;  ///< float16 or bfloat16
  const void* x;
  void* y;
  int vectors;
  int blocks;         ///< that share the units evenly
  float* partial;     ///< [blocks][2][vectors rounded up][unit_rows]
  unsigned* arrived;  ///< [row_units] zero before and after
  bool overlap;
  int device;
  cudaStream_t stream;
};

/// Rows of X that one launch takes.
inline constexpr int most_vectors = 64;

/// Rows of X that the kernel's tile for that many vectors holds: 8, 16, 32 or 64.
constexpr int padded_vectors(std::int64_t vectors) {
  return vectors <= 8 ? 8 : vectors <= 16 ? 16 : vectors <= 32 ? 32 : 64;
}

/// In bitmap_tiles_matmul_cuda_sm90a.cu.
cudaError_t matmul(const Launch& launch);

}  // namespace gossamer::cuda::bitmap_tiles
