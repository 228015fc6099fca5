// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdio>
#include <string>
#include <string_view>

namespace gossamer {

namespace detail {

inline void append(std::string& text, std::string_view part) { text += part; }

template <std::integral Number>
void append(std::string& text, Number number) {
  text += std::to_string(number);
}

inline void append(std::string& text, double number) {
  char digits[32];
  text.append(digits, static_cast<std::size_t>(std::snprintf(digits, sizeof digits, "%g", number)));
}

}  // namespace detail

/// Joins texts and numbers. Without streams: these look up a locale's facets in tables that two
/// copies of the C++ library in one process can confuse.
template <class... Parts>
std::string message(const Parts&... parts) {
  std::string text;
  (detail::append(text, parts), ...);
  return text;
}

}  // namespace gossamer
