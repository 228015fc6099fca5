// SPDX-License-Identifier: Apache-2.0
#include "formats/packed.hpp"

namespace gossamer {

void decode_values(const PackedView& packed, std::int64_t first, std::int64_t count,
                   float* values) {
  visit_packed(packed.dtype, [&](auto tag) {
    const auto* from = static_cast<const typename decltype(tag)::type*>(packed.values) + first;
    for (std::int64_t i = 0; i < count; ++i) values[i] = widen(from[i]);
  });
}

}  // namespace gossamer
