// SPDX-License-Identifier: Apache-2.0
// The arrangement `bitmap_tiles`: a bitmap and its values in tiles of 16 rows x 64 columns, in the
// order in which a warp expands them into A fragments of mma.m16n8k16. Made on load, never stored.
//
// Lane l = 4 g + t of a warp holds sixteen registers of a tile, two elements each. Element e of
// register r is row g + 8 (r % 2), column 16 (r / 4) + 8 (r / 2 % 2) + 2 t + e. A tile is
//   masks   32 words; word 16 h + r has bit 2 (l % 16) + e set where that element of lane l = 16 h
//   + l % 16 is stored values  the stored elements, by register, lane, element
// and is padded to 16 bytes. Tiles of 16 rows follow each other by column, groups of rows by row.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "parallel.hpp"

namespace gossamer {

struct BitmapTilesHost {
  int row_tiles = 0, col_tiles = 0;
  unsigned largest = 0;  ///< bytes of the largest tile, rounded up to 128
  std::vector<uint8_t> stream;
  std::vector<uint32_t> offset;  ///< [row_tiles * col_tiles + 1] first 16 bytes of each tile
  size_t nbytes() const { return stream.size() + 4 * offset.size(); }
};

/// Arrange the dense row-major `matrix` of 16-bit elements; -0 counts as zero.
inline BitmapTilesHost arrange_bitmap_tiles(const uint16_t* matrix, int rows, int cols) {
  BitmapTilesHost a;
  a.row_tiles = (rows + 15) / 16, a.col_tiles = (cols + 63) / 64;
  a.offset.assign(size_t(a.row_tiles) * a.col_tiles + 1, 0);
  auto element = [=](int tile_row, int tile_col, int r, int l, int e) -> uint16_t {
    int row = 16 * tile_row + l / 4 + 8 * (r % 2),
        col = 64 * tile_col + 16 * (r / 4) + 8 * (r / 2 % 2) + 2 * (l % 4) + e;
    return row < rows && col < cols ? matrix[size_t(row) * cols + col] : 0;
  };
  for_each_parallel(a.row_tiles, [&](int i) {
    for (int j = 0; j < a.col_tiles; j++) {
      int count = 0;
      for (int row = 16 * i; row < std::min(rows, 16 * i + 16); row++)
        for (int col = 64 * j; col < std::min(cols, 64 * j + 64); col++)
          count += (matrix[size_t(row) * cols + col] & 0x7fff) != 0;
      a.offset[size_t(i) * a.col_tiles + j + 1] = 8 + (count + 7) / 8;
    }
  });
  for (size_t k = 1; k < a.offset.size(); k++) {
    a.largest = std::max(a.largest, (16 * a.offset[k] + 127) / 128 * 128);
    a.offset[k] += a.offset[k - 1];
  }
  a.stream.assign(16 * size_t(a.offset.back()), 0);
  for_each_parallel(a.row_tiles, [&](int i) {
    for (int j = 0; j < a.col_tiles; j++) {
      uint8_t* tile = a.stream.data() + 16 * size_t(a.offset[size_t(i) * a.col_tiles + j]);
      uint32_t mask[32] = {};
      uint8_t* value = tile + 128;
      for (int r = 0; r < 16; r++)
        for (int l = 0; l < 32; l++)
          for (int e = 0; e < 2; e++)
            if (uint16_t v = element(i, j, r, l, e); v & 0x7fff) {
              mask[l / 16 * 16 + r] |= 1u << (2 * (l % 16) + e);
              std::memcpy(value, &v, 2), value += 2;
            }
      std::memcpy(tile, mask, 128);
    }
  });
  return a;
}

}  // namespace gossamer
