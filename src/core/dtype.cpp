// SPDX-License-Identifier: Apache-2.0
#include "gossamer/dtype.hpp"

namespace gossamer {

std::size_t item_size(DType dtype) {
  switch (dtype) {
#define GOSSAMER_CASE(enumerator, type, ...) \
  case DType::enumerator:                    \
    return sizeof(type);
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CASE)
    GOSSAMER_FOR_EACH_INDEX_DTYPE(GOSSAMER_CASE)
#undef GOSSAMER_CASE
  }
  return 0;
}

std::string_view name(DType dtype) {
  switch (dtype) {
#define GOSSAMER_CASE(enumerator, ...) \
  case DType::enumerator:              \
    return #enumerator;
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CASE)
    GOSSAMER_FOR_EACH_INDEX_DTYPE(GOSSAMER_CASE)
#undef GOSSAMER_CASE
  }
  return "unknown";
}

}  // namespace gossamer
