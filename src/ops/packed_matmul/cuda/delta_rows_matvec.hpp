// SPDX-License-Identifier: Apache-2.0
// The launch of the kernel for delta_rows, and what host and kernel both know of its memory.
#pragma once

#include <cuda_runtime_api.h>

#include "gossamer/packed.hpp"
#include "ops/packed_matmul/cuda/delta_rows.hpp"

namespace gossamer::cuda::delta_rows {

/// Bytes of a unit of values of sizeof(Item).
template <class Item, int Bits>
inline constexpr int unit_bytes = DistanceCode<Bits>::steps * 256 * static_cast<int>(sizeof(Item)) +
                                  DistanceCode<Bits>::words * 128;

/// Whether a launch takes several vectors. 3 bits are for 16-bit values, whose products with
/// several are for bitmap tiles; their kernel has no register left.
template <int Bits>
inline constexpr bool has_vectors = Bits != 3;

/// Bytes of the sums that blocks send each other, for one vector.
constexpr std::size_t partial_bytes(int blocks) { return 16 * sizeof(std::uint64_t) * blocks; }

/// Bytes of the workspace of a product: a launch takes as many vectors as fit.
inline constexpr std::size_t workspace_bytes = std::size_t{1} << 18;
static_assert(partial_bytes(max_blocks) <= workspace_bytes);

/// One product with a vector or a few, the rows of X: each by a grid of its own in one launch.
struct Launch {
  const View& a;
  int bits;
  const void* x;
  void* y;
  const void* bias;        ///< an element a row, added to its rounded sum; null unless has_vectors
  int vectors;             ///< 1 unless has_vectors
  std::uint64_t* partial;  ///< [vectors][blocks][16], zero before and after
  bool overlap;
  int device;
  cudaStream_t stream;
};

/// Launches Y = X Aᵀ for values and vectors of these types. Throws InvalidDType for types that do
/// not go together.
cudaError_t matvec(PackedDType values, DType vectors, const Launch& launch);

/// The launch for one C++ type of values and vectors; delta_rows_<values>_cuda.cu has them.
template <class V, class X>
cudaError_t matvec(const Launch& launch);

}  // namespace gossamer::cuda::delta_rows
