// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gossamer::tuning {

/// Multiply-adds below which a product stays on the calling thread.
inline constexpr std::int64_t matmul_serial_work = 32'768;

/// Pieces of rows for each thread: enough to even out rows of unequal cost.
inline constexpr std::int64_t matmul_pieces_per_thread = 8;

/// Nonzeros in a piece when a batch walks it once for each member: such a piece stays in the L2 cache.
inline constexpr std::int64_t matmul_batch_piece_nnz = 16'384;

}  // namespace gossamer::tuning
