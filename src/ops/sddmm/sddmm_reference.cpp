// SPDX-License-Identifier: Apache-2.0
#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "gossamer/sddmm.hpp"
#include "ops/sddmm/sddmm.hpp"

namespace gossamer::reference {
namespace {

template <class T, class I>
void sample(const SddmmOperands& op) {
  const auto* indptr = static_cast<const I*>(op.pattern.indptr);
  const auto* indices = static_cast<const I*>(op.pattern.indices);
  const auto* u = static_cast<const T*>(op.u.data);
  const auto* v = static_cast<const T*>(op.v.data);
  for (std::int64_t i = 0; i < op.pattern.rows; ++i) {
    for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
      Wide<T> sum{};
      for (std::size_t member = 0; member < op.u.batch.size(); ++member) {
        for (std::int64_t c = 0; c < op.cols; ++c) {
          const T left = u[op.u.batch[member] + i * op.u.row_stride + c * op.u.col_stride];
          Wide<T> right(
              widen(v[op.v.batch[member] + indices[p] * op.v.row_stride + c * op.v.col_stride]));
          if constexpr (is_complex<T>) {
            if (op.conjugate) right = std::conj(right);
          }
          sum = multiply_add(Wide<T>(widen(left)), right, sum);
        }
      }
      static_cast<T*>(op.values)[p] = narrow<T>(static_cast<Accumulator<T>>(sum));
    }
  }
}

}  // namespace

void sddmm(const CsrPattern& pattern, const ArrayView& u, const ArrayView& v, void* values,
           bool conjugate) {
  const SddmmOperands operands = check_sddmm(pattern, u, v, values, conjugate);
  visit_value(u.dtype, "U", [&](auto value) {
    visit_index(pattern.index_dtype, "the pattern's indices", [&](auto index) {
      sample<typename decltype(value)::type, typename decltype(index)::type>(operands);
    });
  });
}

}  // namespace gossamer::reference
