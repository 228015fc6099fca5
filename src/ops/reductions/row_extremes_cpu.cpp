// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/reductions/row_extremes_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <limits>

#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"
#include "ops/reductions/row_extremes.hpp"
#include "ops/structure/structure_tuning.hpp"
#include "simd/load-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

/// The further one of two in each lane, the first of equals; NaN where one is.
template <Extreme extreme, class V>
HWY_INLINE V further(V best, V value) {
  const auto beyond = extreme == Extreme::largest ? hn::Gt(value, best) : hn::Lt(value, best);
  return hn::IfThenElse(hn::Or(beyond, hn::IsNaN(value)), value, best);
}

/// The furthest of n values and `initial`.
template <Extreme extreme, class T>
HWY_INLINE Accumulator<T> furthest(const T* values, std::int64_t n, Accumulator<T> initial) {
  const hn::CappedTag<Accumulator<T>, 8> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto best = hn::Set(d, initial);
  if (n >= lanes) {
    auto second = best;
    std::int64_t p = 0;
    for (; p + 2 * lanes <= n; p += 2 * lanes) {
      best = further<extreme>(best, load(d, values + p));
      second = further<extreme>(second, load(d, values + p + lanes));
    }
    if (p + lanes <= n) best = further<extreme>(best, load(d, values + p));
    // The last ones, some of them perhaps again.
    second = further<extreme>(second, load(d, values + n - lanes));
    best = further<extreme>(best, second);
  } else if (n > 0) {
    const auto valid = hn::FirstN(d, static_cast<std::size_t>(n));
    best = hn::IfThenElse(valid, further<extreme>(best, load_first(d, values, n)), best);
  }
  if (!hn::AllFalse(d, hn::IsNaN(best))) return std::numeric_limits<Accumulator<T>>::quiet_NaN();
  return hn::GetLane(extreme == Extreme::largest ? hn::MaxOfLanes(d, best)
                                                 : hn::MinOfLanes(d, best));
}

template <Extreme extreme, class T, class I>
void furthest_of_rows(const CsrView& a, std::int64_t first, std::int64_t last, T* extremes) {
  using A = Accumulator<T>;
  const I* indptr = static_cast<const I*>(a.pattern.indptr);
  const A infinity = std::numeric_limits<A>::infinity();
  const A least = extreme == Extreme::largest ? -infinity : infinity;
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t n = indptr[i + 1] - indptr[i];
    // Where a row is not full there are zeros.
    const A initial = n == a.pattern.cols ? least : A{};
    const T* values = static_cast<const T*>(a.values) + indptr[i];
    extremes[i] = narrow<T>(furthest<extreme>(values, n, initial));
  }
}

void RowExtremes(const CsrView& a, Extreme extreme, void* extremes) {
  visit_value(a.dtype, "values", [&](auto value) {
    visit_index(a.pattern.index_dtype, "indices", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      if constexpr (!is_complex<T>) {
        const std::int64_t pieces = (a.pattern.nnz + a.pattern.rows) / tuning::stream_grain + 1;
        for_row_pieces(static_cast<const I*>(a.pattern.indptr), a.pattern.rows, pieces,
                       [&](std::int64_t first, std::int64_t last) HWY_ATTR {
                         T* const out = static_cast<T*>(extremes);
                         if (extreme == Extreme::largest) {
                           furthest_of_rows<Extreme::largest, T, I>(a, first, last, out);
                         } else {
                           furthest_of_rows<Extreme::smallest, T, I>(a, first, last, out);
                         }
                       });
      }
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gossamer {

void row_extremes_cpu(const CsrView& a, Extreme extreme, void* extremes) {
  GOSSAMER_SIMD_FUNCTION(RowExtremes)(a, extreme, extremes);
}

}  // namespace gossamer
#endif  // HWY_ONCE
