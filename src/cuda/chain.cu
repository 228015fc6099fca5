// SPDX-License-Identifier: Apache-2.0
#include "cuda/chain.hpp"
#include "cuda/runtime.hpp"

namespace gossamer::cuda {
namespace {

/// The one node that what is captured next on a stream depends on; none outside of captures.
struct CaptureEnd {
  unsigned long long capture = 0;
  cudaGraphNode_t node = nullptr;

  bool operator==(const CaptureEnd&) const = default;
};

CaptureEnd capture_end(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  unsigned long long capture = 0;
  const cudaGraphNode_t* nodes = nullptr;
  const cudaGraphEdgeData* edges = nullptr;
  std::size_t count = 0;
  if (cudaStreamGetCaptureInfo(native(stream), &status, &capture, nullptr, &nodes, &edges,
                               &count) != cudaSuccess) {
    cudaGetLastError();  // the launch reports what is wrong with the stream
    return {};
  }
  if (status == cudaStreamCaptureStatusNone || count != 1) return {};
  return {capture, nodes[0]};
}

/// Where this thread's last product ended a capture.
thread_local CaptureEnd last_product;

}  // namespace

ChainedProduct::ChainedProduct(Stream stream) : stream_(stream) {
  const CaptureEnd before = capture_end(stream);
  before_ = before.node;
  follows_ = before.node != nullptr && before == last_product;
}

ChainedProduct::~ChainedProduct() {
  if (before_ == nullptr) {
    last_product = {};
    return;
  }
  const CaptureEnd after = capture_end(stream_);
  if (after.node != before_) last_product = after;
}

}  // namespace gossamer::cuda
