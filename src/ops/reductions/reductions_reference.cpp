// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "gossamer/reductions.hpp"
#include "ops/reductions/row_extremes.hpp"

namespace gossamer::reference {

void row_extremes(const CsrView& a, Extreme extreme, void* extremes) {
  check_row_extremes(a);
  visit_value(a.dtype, "values", [&](auto value) {
    visit_index(a.pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      if constexpr (!is_complex<T>) {
        const I* indptr = static_cast<const I*>(a.pattern.indptr);
        const double sign = extreme == Extreme::largest ? 1 : -1;
        for (std::int64_t i = 0; i < a.pattern.rows; ++i) {
          const bool full = indptr[i + 1] - indptr[i] == a.pattern.cols;
          double best = full ? -sign * std::numeric_limits<double>::infinity() : 0;
          for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
            const double x = widen(static_cast<const T*>(a.values)[p]);
            if (best == best && !(sign * x <= sign * best)) best = x;
          }
          static_cast<T*>(extremes)[i] = narrow<T>(static_cast<Accumulator<T>>(best));
        }
      }
    });
  });
}

void diagonal(const CsrView& a, std::int64_t k, void* elements) {
  visit_value(a.dtype, "values", [&](auto value) {
    visit_index(a.pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const I* indptr = static_cast<const I*>(a.pattern.indptr);
      const I* indices = static_cast<const I*>(a.pattern.indices);
      T* out = static_cast<T*>(elements);
      for (std::int64_t i = 0; i < a.pattern.rows; ++i) {
        if (i + k < 0 || i + k >= a.pattern.cols) continue;
        Wide<T> sum{};
        for (I p = indptr[i]; p < indptr[i + 1]; ++p) {
          if (indices[p] == i + k) sum += Wide<T>(widen(static_cast<const T*>(a.values)[p]));
        }
        *out++ = narrow<T>(static_cast<Accumulator<T>>(sum));
      }
    });
  });
}

}  // namespace gossamer::reference
