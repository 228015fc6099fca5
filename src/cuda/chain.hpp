// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "gossamer/cuda.hpp"

namespace gossamer::cuda {

/// Whether a product follows another one in a graph that is being captured; lives while it is
/// launched.
///
/// A product that is launched early (programmatic dependent launch) reads what was complete before
/// any product of its matrix was launched, and then waits for the kernel before it, so it is right
/// behind any kernel. It is quicker where that kernel lets it begin early, as products alone do,
/// and slower elsewhere. A capture says which kernel that is.
class ChainedProduct {
 public:
  explicit ChainedProduct(Stream stream);
  ~ChainedProduct();
  ChainedProduct(const ChainedProduct&) = delete;
  ChainedProduct& operator=(const ChainedProduct&) = delete;

  bool follows_product() const { return follows_; }

 private:
  Stream stream_;
  cudaGraphNode_t before_;
  bool follows_;
};

}  // namespace gossamer::cuda
