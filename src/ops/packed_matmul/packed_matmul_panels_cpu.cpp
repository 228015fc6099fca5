// SPDX-License-Identifier: Apache-2.0
// Packed rows times many columns, for matrices that are not very sparse: a few rows at a time are
// decoded, zeros included, and multiplied as a dense matrix is, with all sums in registers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_panels_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "formats/packed.hpp"
#include "ops/packed_matmul/aligned_floats.hpp"
#include "ops/packed_matmul/packed_matmul_kernels.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "ops/packed_matmul/row_cursors-inl.hpp"
#include "ops/packed_matmul/tile_product-inl.hpp"
#include "simd/expand-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// Some rows of P, and the buffers of their product with X.
template <class V>
class Panels {
 public:
  Panels(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end)
      : packed_(packed),
        x_(x),
        rows_(end - begin),
        block_rows_(std::min(round_up(rows_), tuning::packed_panel_rows)),
        step_(std::min(tuning::packed_panel_step, tuning::packed_block_floats / x.width)),
        lines_(packed.slots / packed.rows * panel_columns / packed.cols *
                   static_cast<std::int64_t>(sizeof(V)) / 64 +
               1),
        panel_(aligned_floats(block_rows_ * panel_stride)),
        cursors_(packed, begin, end, panel_columns) {
    std::fill(panel_.get(), panel_.get() + block_rows_ * panel_stride, 0.0f);
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t line = 0; line < lines_; ++line) fetch(cursors_.values(r), line);
    }
  }

  /// sums = the rows times X, with room for a multiple of tile_rows.
  void multiply(float* sums) {
    std::fill(sums, sums + round_up(rows_) * x_.width, 0.0f);
    for (std::int64_t j = 0; j < packed_.cols; j += panel_columns) {
      const std::int64_t columns = std::min(panel_columns, packed_.cols - j);
      for (std::int64_t r = 0; r < rows_; r += block_rows_) {
        const std::int64_t end = std::min(rows_, r + block_rows_);
        for (std::int64_t i = r; i < end; ++i) {
          cursors_.fetch_values(std::min(i + tuning::packed_rows_ahead, end - 1), lines_);
          cursors_.expand_row(i, j, j + columns, panel_.get() + (i - r) * panel_stride);
        }
        for (std::int64_t first = 0; first < columns; first += step_) {
          multiply_step(j, first, std::min(step_, columns - first), r, end, sums);
        }
      }
    }
  }

 private:
  static std::int64_t round_up(std::int64_t rows) {
    return (rows + tile_rows - 1) / tile_rows * tile_rows;
  }

  /// Rows [begin, end) of the panel that begins with column j: `columns` of it from its `first` on
  /// times X.
  void multiply_step(std::int64_t j, std::int64_t first, std::int64_t columns, std::int64_t begin,
                     std::int64_t end, float* sums) {
    const float* x = x_.data + (j + first) * x_.width;
    for (std::int64_t r = begin; r < end; r += tile_rows) {
      // The next panel's values come from memory while this one is multiplied.
      for (std::int64_t i = r; i < std::min(r + tile_rows, end); ++i) {
        for (std::int64_t line = lines_ * first / panel_columns;
             line < lines_ * (first + columns) / panel_columns; ++line) {
          fetch(cursors_.values(i), line);
        }
      }
      // X's next rows may lie in memory: each tile fetches its share of them.
      const std::int64_t x_lines = columns * x_.width / 16;
      for (std::int64_t line = x_lines * (r - begin) / (end - begin);
           line < x_lines * std::min(r + tile_rows - begin, end - begin) / (end - begin); ++line) {
        fetch(x + columns * x_.width, line);
      }
      const Rows panel{panel_.get() + (r - begin) * panel_stride + first, panel_stride};
      for (std::int64_t c = 0; c < x_.width;) {
        const bool wide = c + tile_vectors * float_lanes <= x_.width;
        const auto multiply =
            wide ? multiply_tile<tile_rows, tile_vectors> : multiply_tile<tile_rows, 1>;
        multiply(panel, columns, {x + c, x_.width}, sums + r * x_.width + c, x_.width);
        c += (wide ? tile_vectors : 1) * float_lanes;
      }
    }
  }

  const PackedView& packed_;
  const RowsOfX& x_;
  std::int64_t rows_, block_rows_, step_, lines_;
  AlignedFloats panel_;
  RowCursors<V> cursors_;
};

void PanelRows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
               float* sums) {
  visit_packed(packed.dtype, [&](auto tag) {
    Panels<typename decltype(tag)::type>(packed, x, begin, end).multiply(sums);
  });
  for (std::int64_t i = begin; packed.scales != nullptr && i < end; ++i) {
    for (std::int64_t c = 0; c < x.width; ++c) *sums++ *= packed.scales[i];
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void panel_rows(const PackedView& packed, const RowsOfX& x, std::int64_t begin, std::int64_t end,
                float* sums) {
  GOSSAMER_SIMD_FUNCTION(PanelRows)(packed, x, begin, end, sums);
}

}  // namespace gossamer
#endif  // HWY_ONCE
