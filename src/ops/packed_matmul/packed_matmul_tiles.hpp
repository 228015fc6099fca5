// SPDX-License-Identifier: Apache-2.0
// Products of packed rows with many columns by bfloat16 tiles, where simd::Target::amx is current.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gossamer/packed.hpp"
#include "ops/packed_matmul/aligned_floats.hpp"
#include "ops/packed_matmul/packed_matmul.hpp"

namespace gossamer {

/// Rows of P in a tile register.
inline constexpr std::int64_t tile_rows = 16;
/// Columns of P that one multiplication of tiles sums over: a step.
inline constexpr std::int64_t step_columns = 32;
/// Elements of a tile.
inline constexpr std::int64_t tile_words = 512;

/// Whether the system lets this process use tile registers, which the first call asks for. The
/// process keeps the permission, and from then on needs larger alternate signal stacks.
bool tiles_are_permitted();

/// X split into bfloat16 parts that add up to it, in tiles of `step_columns` of its rows by 16 of
/// its columns: within a tile the two of each column in rows 2i and 2i + 1 lie side by side. Each
/// 64 rows are in the order in which P's columns are expanded.
struct TilesOfX {
  const std::uint16_t* data;
  std::int64_t width;  ///< columns, a multiple of 16, absent ones zero
  std::int64_t steps;  ///< tiles along X's rows, an even number
  int parts;           ///< 3 for float32, 2 for float16, 1 for bfloat16

  const std::uint16_t* tile(std::int64_t block, int part, std::int64_t step) const {
    return data + ((block * parts + part) * steps + step) * tile_words;
  }
};

/// What load_tiles returns.
struct LoadedTiles {
  AlignedFloats data;
  TilesOfX x;
  std::vector<std::size_t> not_finite;  ///< columns with infinities or NaN, taken as zero
  bool in_range;                        ///< whether tiles may multiply X
};

/// Columns [first, first + count) of X for products with that matrix.
LoadedTiles load_tiles(const PackedView& packed, const PackedMatmulOperand& x, std::size_t first,
                       std::size_t count);

/// Rows whose sums tile_products writes together: it writes a multiple of them.
inline constexpr std::int64_t tile_pair_rows = 2 * tile_rows;

/// Whether bfloat16 holds every value of a type.
inline bool fits_tiles(PackedDType dtype) {
  return dtype != PackedDType::float32 && dtype != PackedDType::float16;
}

/// Sums of rows [begin, end) of any format, of a type that fits, times X: sums[(i - begin) *
/// x.width + c], 64-byte aligned, with room for a multiple of tile_pair_rows rows. Returns false if
/// a value is too small, too large or not finite for tiles, so that the sums are of no use.
bool tile_products(const PackedView& packed, const TilesOfX& x, std::int64_t begin,
                   std::int64_t end, float* sums);

}  // namespace gossamer
