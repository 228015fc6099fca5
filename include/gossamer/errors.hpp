// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>

namespace gossamer {

/// A shape, length, index or value that an operation cannot take; the message names it.
struct InvalidArgument : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// An element type that an operation does not support; the message names it.
struct InvalidDType : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

}  // namespace gossamer
