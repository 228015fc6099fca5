// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gossamer {

/// Instruction sets that were compiled in and that this processor runs, best first.
std::vector<std::string> supported_simd_targets();

/// The one in use: the first supported, or the one that GOSSAMER_SIMD names, unless empty.
std::string simd_target();

/// Uses the named target from now on. Throws InvalidArgument if it is not supported here.
void set_simd_target(std::string_view target);

}  // namespace gossamer
