// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Multiply-adds below which everything stays on the calling thread.
inline constexpr std::int64_t sddmm_serial_work = 32'768;

/// Pieces of rows for each thread: enough to even out rows of unequal cost.
inline constexpr std::int64_t sddmm_pieces_per_thread = 8;

}  // namespace gossamer::tuning
