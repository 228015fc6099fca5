// SPDX-License-Identifier: Apache-2.0
// What travels with each position through a reordering.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/scalar.hpp"
#include "core/visit.hpp"

namespace gossamer {

/// Nothing, each position's number (an index map), or its value as raw bytes.
struct Payload {
  const void* in = nullptr;  ///< null: the position's own number
  void* out = nullptr;       ///< null: nothing travels
  std::size_t size = 0;      ///< bytes an element
};

inline Payload index_map(DType index_dtype, void* map) {
  return {nullptr, map, item_size(index_dtype)};
}

struct NoPayload {};

/// Calls body(TypeTag<E>{}) with an integer type as wide as an element, or NoPayload.
template <class Body>
decltype(auto) visit_payload(const Payload& payload, Body&& body) {
  if (payload.out == nullptr) return body(TypeTag<NoPayload>{});
  switch (payload.size) {
    case 2:
      return body(TypeTag<std::uint16_t>{});
    case 4:
      return body(TypeTag<std::uint32_t>{});
    case 8:
      return body(TypeTag<std::uint64_t>{});
    default:
      return body(TypeTag<std::array<std::uint64_t, 2>>{});
  }
}

/// Elements of E in memory of another type, perhaps less aligned than E.
template <class E>
GOSSAMER_INLINE E load_element(const void* base, std::int64_t i) {
  E element;
  std::memcpy(&element, static_cast<const std::byte*>(base) + i * std::int64_t{sizeof(E)},
              sizeof(E));
  return element;
}

template <class E>
GOSSAMER_INLINE void store_element(void* base, std::int64_t i, E element) {
  std::memcpy(static_cast<std::byte*>(base) + i * std::int64_t{sizeof(E)}, &element, sizeof(E));
}

template <>
GOSSAMER_INLINE NoPayload load_element<NoPayload>(const void*, std::int64_t) {
  return {};
}

template <>
GOSSAMER_INLINE void store_element<NoPayload>(void*, std::int64_t, NoPayload) {}

/// The payload that position i starts with.
template <class E>
GOSSAMER_INLINE E initial_element(const void* in, std::int64_t i) {
  if constexpr (sizeof(E) == 4 || sizeof(E) == 8) {
    if (in == nullptr) return static_cast<E>(i);
  }
  return load_element<E>(in, i);
}

}  // namespace gossamer
