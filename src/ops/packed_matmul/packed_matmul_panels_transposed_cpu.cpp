// SPDX-License-Identifier: Apache-2.0
// The transpose of packed rows times many columns, for matrices that are not very sparse: blocks of
// some columns are decoded, zeros included, and meet the columns of X as a dense matrix does.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_panels_transposed_cpu.cpp"
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

inline constexpr std::int64_t tile_columns = tile_vectors * float_lanes;

/// Some columns of P, and the buffers of their product with X.
template <class V>
class TransposedPanels {
 public:
  TransposedPanels(const PackedView& packed, const ColumnsOfX& x, std::int64_t begin,
                   std::int64_t end, float* sums)
      : packed_(packed),
        x_(x),
        begin_(begin),
        end_(end),
        sums_(sums),
        sums_stride_(transposed_sums_stride(end - begin)),
        lines_(packed.slots / packed.rows * panel_columns / packed.cols *
                   static_cast<std::int64_t>(sizeof(V)) / 64 +
               1),
        panel_(aligned_floats(tuning::packed_transposed_rows * panel_stride)),
        cursors_(packed, 0, packed.rows, panel_columns) {
    std::fill(panel_.get(), panel_.get() + tuning::packed_transposed_rows * panel_stride, 0.0f);
    std::fill(sums, sums + x.count * sums_stride_, 0.0f);
    for (std::int64_t r = 0; begin > 0 && r < packed.rows; ++r) cursors_.skip(r, begin);
  }

  void multiply() {
    for (std::int64_t j = begin_; j < end_; j += panel_columns) {
      const std::int64_t columns = std::min(panel_columns, end_ - j);
      for (std::int64_t r = 0; r < packed_.rows; r += tuning::packed_transposed_rows) {
        const std::int64_t rows = std::min(tuning::packed_transposed_rows, packed_.rows - r);
        expand(j, columns, r, rows);
        for (std::int64_t first = 0; first < columns; first += tile_columns) {
          fetch_next(r + rows, first, columns);
          float* sums = sums_ + (j - begin_) + first;
          const Rows panel{panel_.get() + first, panel_stride};
          for (std::int64_t c = 0; c < x_.count;) {
            c += multiply_columns(c, r, rows, panel, sums + c * sums_stride_);
          }
        }
      }
    }
  }

 private:
  void expand(std::int64_t j, std::int64_t columns, std::int64_t first, std::int64_t rows) {
    for (std::int64_t r = 0; r < rows; ++r) {
      float* elements = panel_.get() + r * panel_stride;
      cursors_.fetch_values(first + std::min(r + tuning::packed_rows_ahead, rows - 1), lines_);
      cursors_.expand_row(first + r, j, j + columns, elements);
      if (packed_.scales == nullptr) continue;
      for (std::int64_t k = 0; k < columns; ++k) elements[k] *= packed_.scales[first + r];
    }
  }

  /// A tile's share of what the next rows of the panel read: it comes from memory meanwhile.
  void fetch_next(std::int64_t next, std::int64_t first, std::int64_t columns) {
    const std::int64_t rows = std::min(tuning::packed_transposed_rows, packed_.rows - next);
    for (std::int64_t r = rows * first / columns;
         r < rows * std::min(first + tile_columns, columns) / columns; ++r) {
      for (std::int64_t line = 0; line < lines_; ++line) fetch(cursors_.values(next + r), line);
    }
  }

  /// Adds rows [r, r + rows) of X's columns from c on times the panel. Returns how many columns.
  std::int64_t multiply_columns(std::int64_t c, std::int64_t r, std::int64_t rows, Rows panel,
                                float* sums) {
    const Rows columns{x_.data + c * x_.stride + r, x_.stride};
    const auto take = [&]<int Height>() {
      multiply_tile<Height, tile_vectors>(columns, rows, panel, sums, sums_stride_);
      return std::int64_t{Height};
    };
    constexpr int third = tile_rows / 3;
    const std::int64_t left = x_.count - c;
    if (left <= third) return take.template operator()<third>();
    if (left <= 2 * third) return take.template operator()<2 * third>();
    return take.template operator()<tile_rows>();
  }

  const PackedView& packed_;
  const ColumnsOfX& x_;
  std::int64_t begin_, end_;
  float* sums_;
  std::int64_t sums_stride_, lines_;
  AlignedFloats panel_;
  RowCursors<V> cursors_;
};

void PanelsTransposed(const PackedView& packed, const ColumnsOfX& x, std::int64_t begin,
                      std::int64_t end, float* sums) {
  visit_packed(packed.dtype, [&](auto tag) {
    TransposedPanels<typename decltype(tag)::type>(packed, x, begin, end, sums).multiply();
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void panels_transposed(const PackedView& packed, const ColumnsOfX& x, std::int64_t begin,
                       std::int64_t end, float* sums) {
  GOSSAMER_SIMD_FUNCTION(PanelsTransposed)(packed, x, begin, end, sums);
}

}  // namespace gossamer
#endif  // HWY_ONCE
