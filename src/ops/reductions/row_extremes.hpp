// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gossamer/reductions.hpp"

namespace gossamer {

/// What row_extremes may be asked for. Throws as it does.
void check_row_extremes(const CsrView& a);

void row_extremes_cpu(const CsrView& a, Extreme extreme, void* extremes);

}  // namespace gossamer
