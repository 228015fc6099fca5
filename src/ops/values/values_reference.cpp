// SPDX-License-Identifier: Apache-2.0
#include "core/scalar.hpp"
#include "core/visit.hpp"
#include "ops/values/values.hpp"

namespace gossamer::reference {

void gather(DType dtype, const void* values, DType index_dtype, const void* map, std::int64_t count,
            void* out) {
  visit_value(dtype, "values", [&](auto value) {
    visit_index(index_dtype, "map", [&](auto index) {
      using T = typename decltype(value)::type;
      const auto* from = static_cast<const typename decltype(index)::type*>(map);
      for (std::int64_t i = 0; i < count; ++i) {
        static_cast<T*>(out)[i] = from[i] == -1 ? T{} : static_cast<const T*>(values)[from[i]];
      }
    });
  });
}

void segment_sum(DType dtype, const void* values, DType index_dtype, const void* map,
                 const void* segments, std::int64_t count, void* out) {
  visit_value(dtype, "values", [&](auto value) {
    visit_index(index_dtype, "segments", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const I* offsets = static_cast<const I*>(segments);
      for (std::int64_t s = 0; s < count; ++s) {
        Wide<T> sum{};
        for (I p = offsets[s]; p < offsets[s + 1]; ++p) {
          const I from = map == nullptr ? p : static_cast<const I*>(map)[p];
          const Wide<T> term(widen(static_cast<const T*>(values)[from]));
          sum = p == offsets[s] ? term : sum + term;
        }
        static_cast<T*>(out)[s] = narrow<T>(static_cast<Accumulator<T>>(sum));
      }
    });
  });
}

}  // namespace gossamer::reference
