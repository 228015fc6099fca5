// SPDX-License-Identifier: Apache-2.0
// Which products begin early. A product that is launched so (programmatic dependent launch) reads
// its arrangement, which was complete before any product of it was launched, and then waits for the
// kernel before it, so it is right behind any kernel. It is quicker where that kernel lets it begin
// early, as products alone do, and slower elsewhere. A capture says which kernel that is.
#include "cuda/runtime.hpp"
#include "gossamer/cuda/packed.hpp"

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
  check(
      cudaStreamGetCaptureInfo(native(stream), &status, &capture, nullptr, &nodes, &edges, &count),
      "packed_matmul");
  if (status == cudaStreamCaptureStatusNone || count != 1) return {};
  return {capture, nodes[0]};
}

/// Where this thread's last product ended a capture.
thread_local CaptureEnd last_product;

}  // namespace

void matmul(const Arrangement& a, const ArrayView& x, const ArrayView& y, Workspace workspace,
            Stream stream) {
  const CaptureEnd before = capture_end(stream);
  const bool follows_product = before.node != nullptr && before == last_product;
  a.matmul(x, y, workspace, stream, follows_product);
  last_product = before.node == nullptr ? CaptureEnd{} : capture_end(stream);
}

}  // namespace gossamer::cuda
