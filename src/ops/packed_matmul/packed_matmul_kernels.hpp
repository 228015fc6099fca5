// SPDX-License-Identifier: Apache-2.0
// The row kernels of packed products. Each takes X in float32, laid out as its comment says, and
// adds up in float32.
#pragma once

#include <cstdint>

#include "gossamer/packed.hpp"

namespace gossamer {

/// X as 1, 2, 4, 8 or 16 vectors, absent ones being zero.
///
/// For each 64 columns of P it has 64 elements of the first vector, 64 of the second ..., zero
/// beyond P's columns. Aligned to 64 bytes.
struct VectorsOfX {
  const float* data;
  std::int64_t width;  ///< vectors, absent ones included
};

/// X as rows: element (j, c) at data[j * width + c], 64-byte aligned, zero from count to width,
/// which is a multiple of 16 but for gap_columns.
struct RowsOfX {
  const float* data;
  std::int64_t width;
};

/// X as columns: element (i, c) at data[c * stride + i], 64-byte aligned. count is a multiple of
/// 4, absent columns are zero.
struct ColumnsOfX {
  const float* data;
  std::int64_t stride, count;
};

/// The place of each of 64 columns in the order in which bitmap_rows expands this type and wants X;
/// null for the plain order.
const std::uint8_t* bitmap_lanes(PackedDType dtype);

/// Sums of rows [begin, end) times each vector: sums[(i - begin) * x.width + c], 64-byte aligned.
void bitmap_rows(const PackedView& packed, const VectorsOfX& x, std::int64_t begin,
                 std::int64_t end, float* sums);

/// The same for a gap format and one vector in plain order.
void gap_rows(const PackedView& packed, const VectorsOfX& x, std::int64_t begin, std::int64_t end,
              float* sums);

/// Sums of rows [begin, end) of a gap format times X of 4, 8, 16 or 32 columns, absent ones
/// included: sums[(i - begin) * x.width + c], 64-byte aligned.
void gap_columns(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                 float* sums);

/// Sums of rows [begin, end) of any format times X: sums[(i - begin) * x.width + c], 64-byte
/// aligned.
void columns_rows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                  float* sums);

/// Rows whose sums panel_rows writes together: it writes a multiple of them.
inline constexpr std::int64_t panel_tile_rows = 12;

/// The same by decoding zeros too, which pays where many elements are nonzero. sums has room for a
/// multiple of panel_tile_rows rows, X need not be aligned. An infinity or NaN in X reaches the
/// sums of every row.
void panel_rows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                float* sums);

/// Floats between two columns of X in the sums of panels_transposed, for that many columns of P:
/// not a multiple of 1 KiB, as these would share places in the L1 cache.
constexpr std::int64_t transposed_sums_stride(std::int64_t columns) {
  return (columns + 31) / 32 * 32 + 16;
}

/// Sums of columns [begin, end) of P times each column of X: sums[c * transposed_sums_stride(end -
/// begin) + j - begin], 64-byte aligned. begin is a multiple of 64. Decodes zeros too.
void panels_transposed(const PackedView& packed, const ColumnsOfX& x, std::int64_t begin,
                       std::int64_t end, float* sums);

/// Adds the transposed rows [begin, end) times rows [begin, end) of X to y[j * x.width + c].
void columns_transposed(const PackedView& packed, const RowsOfX& x, std::int64_t begin,
                        std::int64_t end, float* y);

/// The same for one vector: adds to y[j]. y is 64-byte aligned, with room for a multiple of 64
/// elements.
void vector_transposed(const PackedView& packed, const float* x, std::int64_t begin,
                       std::int64_t end, float* y);

}  // namespace gossamer
