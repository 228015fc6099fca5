// SPDX-License-Identifier: Apache-2.0
#include "ops/values/values.hpp"

#include "core/scalar.hpp"
#include "core/threads.hpp"
#include "core/visit.hpp"
#include "formats/csr.hpp"

namespace gossamer {
namespace {

/// Elements in a task: enough to hide its start, few enough to share a short array.
constexpr std::int64_t values_grain = 65'536;

}  // namespace

void gather(DType dtype, const void* values, DType index_dtype, const void* map, std::int64_t count,
            void* out) {
  visit_value(dtype, "values", [&](auto value) {
    visit_index(index_dtype, "map", [&](auto index) {
      using T = typename decltype(value)::type;
      const auto* from = static_cast<const typename decltype(index)::type*>(map);
      const T* source = static_cast<const T*>(values);
      T* target = static_cast<T*>(out);
      parallel_ranges(count, values_grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          target[i] = from[i] < 0 ? T{} : source[from[i]];
        }
      });
    });
  });
}

void segment_sum(DType dtype, const void* values, DType index_dtype, const void* map,
                 const void* segments, std::int64_t count, void* out) {
  visit_value(dtype, "values", [&](auto value) {
    visit_index(index_dtype, "segments", [&](auto index) {
      using T = typename decltype(value)::type;
      using I = typename decltype(index)::type;
      const T* source = static_cast<const T*>(values);
      const I* offsets = static_cast<const I*>(segments);
      T* target = static_cast<T*>(out);
      const auto sum_with = [&](auto at) {
        // Shares of equally many values: segments may be long.
        const std::int64_t pieces = (offsets[count] - offsets[0] + count) / values_grain + 1;
        for_row_pieces(offsets, count, pieces, [&](std::int64_t begin, std::int64_t end) {
          I p = offsets[begin];
          for (std::int64_t s = begin; s < end; ++s) {
            const I last = offsets[s + 1];
            // The first value starts the sum, so that a single negative zero stays one.
            Accumulator<T> sum = p < last ? widen(source[at(p++)]) : Accumulator<T>{};
            while (p < last) sum += widen(source[at(p++)]);
            target[s] = narrow<T>(sum);
          }
        });
      };
      if (map == nullptr) {
        sum_with([](I p) { return p; });
      } else {
        sum_with([from = static_cast<const I*>(map)](I p) { return from[p]; });
      }
    });
  });
}

}  // namespace gossamer
