// SPDX-License-Identifier: Apache-2.0
// The one place where a run-time element type becomes a compile-time one.
#pragma once

#include "core/message.hpp"
#include "gossamer/dtype.hpp"
#include "gossamer/errors.hpp"

namespace gossamer {

template <class T>
struct TypeTag {
  using type = T;
};

/// Calls body(TypeTag<T>{}) with the C++ type of a value dtype.
template <class Body>
decltype(auto) visit_value(DType dtype, std::string_view argument, Body&& body) {
  switch (dtype) {
#define GOSSAMER_CASE(enumerator, type, ...) \
  case DType::enumerator:                    \
    return body(TypeTag<type>{});
    GOSSAMER_FOR_EACH_VALUE_DTYPE(GOSSAMER_CASE)
#undef GOSSAMER_CASE
    default:
      throw InvalidDType(
          message(argument, " has dtype ", name(dtype),
                  "; supported are float16, bfloat16, float32, float64, complex64 and "
                  "complex128: cast the values first"));
  }
}

/// Calls body(TypeTag<I>{}) with the C++ type of an index dtype.
template <class Body>
decltype(auto) visit_index(DType dtype, std::string_view argument, Body&& body) {
  switch (dtype) {
#define GOSSAMER_CASE(enumerator, type) \
  case DType::enumerator:               \
    return body(TypeTag<type>{});
    GOSSAMER_FOR_EACH_INDEX_DTYPE(GOSSAMER_CASE)
#undef GOSSAMER_CASE
    default:
      throw InvalidDType(
          message(argument, " has dtype ", name(dtype), "; indices must be int32 or int64"));
  }
}

}  // namespace gossamer
