// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Threads for each multiprocessor that a small pattern is spread over.
inline constexpr std::int64_t sddmm_cuda_threads = 1024;

}  // namespace gossamer::tuning
