// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>

namespace gossamer {

/// Value of an environment variable, or null: a shell's VARIABLE= sets it to nothing, and means
/// unset.
inline const char* environment_variable(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace gossamer
