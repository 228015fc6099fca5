// SPDX-License-Identifier: Apache-2.0
#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "gossamer/matmul.hpp"
#include "ops/matmul/matmul.hpp"

namespace gossamer::reference {
namespace {

template <class T, class I>
void multiply(const MatmulOperands& op) {
  const auto* indptr = static_cast<const I*>(op.a.pattern.indptr);
  const auto* indices = static_cast<const I*>(op.a.pattern.indices);
  const auto* values = static_cast<const T*>(op.a.values);
  for (std::size_t member = 0; member < op.x_batch.size(); ++member) {
    const T* x = static_cast<const T*>(op.x) + op.x_batch[member];
    T* y = static_cast<T*>(op.y) + op.y_batch[member];
    for (std::int64_t i = 0; i < op.a.pattern.rows; ++i) {
      for (std::int64_t c = 0; c < op.cols; ++c) {
        Wide<T> sum{};
        for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
          Wide<T> a(widen(values[p]));
          if constexpr (is_complex<T>) {
            if (op.conjugate) a = std::conj(a);
          }
          const T element = x[indices[p] * op.x_row_stride + c * op.x_col_stride];
          sum = multiply_add(a, Wide<T>(widen(element)), sum);
        }
        y[i * op.y_row_stride + c * op.y_col_stride] = narrow<T>(static_cast<Accumulator<T>>(sum));
      }
    }
  }
}

}  // namespace

void matmul(const CsrView& a, const ArrayView& x, const ArrayView& y, bool conjugate) {
  const MatmulOperands operands = check_matmul(a, x, y, conjugate);
  visit_value(a.dtype, "A", [&](auto value) {
    visit_index(a.pattern.index_dtype, "A", [&](auto index) {
      multiply<typename decltype(value)::type, typename decltype(index)::type>(operands);
    });
  });
}

}  // namespace gossamer::reference
