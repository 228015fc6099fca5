// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "formats/packed.hpp"
#include "ops/packed_matmul/packed_matmul.hpp"

namespace gossamer::reference {

void packed_matmul(const PackedView& packed, const ArrayView& x, const ArrayView& y,
                   bool transpose) {
  const PackedMatmulOperands op = check_packed_matmul(packed, x, y, transpose);
  std::vector<std::int32_t> columns(static_cast<std::size_t>(decoded_length(packed)));
  std::vector<float> values(columns.size());
  visit_dense(op.x.dtype, "X", [&](auto x_tag) {
    visit_dense(op.y.dtype, "Y", [&](auto y_tag) {
      using X = typename decltype(x_tag)::type;
      using Y = typename decltype(y_tag)::type;
      for (std::size_t c = 0; c < op.x.columns.size(); ++c) {
        const X* from = static_cast<const X*>(op.x.data) + op.x.columns[c];
        Y* to = static_cast<Y*>(op.y.data) + op.y.columns[c];
        std::vector<double> sums(static_cast<std::size_t>(op.y.rows));
        for (std::int64_t i = 0; i < packed.rows; ++i) {
          const std::int64_t first = row_offset(packed, i);
          const std::int64_t count = row_offset(packed, i + 1) - first;
          decode_columns(packed, i, columns.data());
          decode_values(packed, first, count, values.data());
          for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
            if (values[k] == 0.0f) continue;
            const std::int64_t input = transpose ? i : columns[k];
            const std::int64_t output = transpose ? columns[k] : i;
            sums[static_cast<std::size_t>(output)] +=
                static_cast<double>(values[k]) * row_scale(packed, i) *
                static_cast<double>(widen(from[input * op.x.row_stride]));
          }
        }
        for (std::int64_t i = 0; i < op.y.rows; ++i) {
          to[i * op.y.row_stride] =
              narrow<Y>(static_cast<float>(sums[static_cast<std::size_t>(i)]));
        }
      }
    });
  });
}

}  // namespace gossamer::reference
