// SPDX-License-Identifier: Apache-2.0
#include "cuda/runtime.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "device_memory.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::testing {

TEST_CASE("devices are numbered, and one that is not there is named") {
  REQUIRE(cuda::available());
  CHECK(cuda::device_properties(0).multiprocessors > 0);
  CHECK_THROWS_AS(cuda::device_properties(cuda::device_count()), InvalidArgument);
}

TEST_CASE("a CUDA error names its operation, and the next call succeeds") {
  const cuda::Stream nowhere{cuda::device_count(), nullptr};
  CHECK_THROWS_WITH_AS(cuda::DeviceScope(nowhere, "product"), doctest::Contains("product: "),
                       cuda::CudaError);
  const DeviceMemory<int> memory(std::vector<int>{1, 2, 3});
  CHECK(memory.host() == std::vector<int>{1, 2, 3});
}

/// Whether a count comes to be that within five seconds: CUDA releases a little later.
bool becomes(const std::atomic<int>& count, int expected) {
  for (int turn = 0; turn < 500 && count != expected; ++turn) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return count == expected;
}

TEST_CASE("what is kept with a graph is released when its last copy and last replay are gone") {
  DeviceMemory<int> memory(1 << 20);
  std::atomic<int> released = 0;
  const auto release = [](void* state) { ++*static_cast<std::atomic<int>*>(state); };
  cudaStream_t native = nullptr;
  require(cudaStreamCreate(&native));
  const cuda::Stream stream{0, native};
  CHECK_THROWS_AS(cuda::release_with_graph(stream, release, &released), cuda::CudaError);
  CHECK(released == 1);  // nothing is captured, so nothing keeps it

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t first = nullptr, second = nullptr;
  require(cudaStreamBeginCapture(native, cudaStreamCaptureModeGlobal));
  require(cudaMemsetAsync(memory.data(), 1, memory.size() * sizeof(int), native));
  cuda::release_with_graph(stream, release, &released);
  require(cudaStreamEndCapture(native, &graph));
  require(cudaGraphInstantiate(&first, graph, 0));
  require(cudaGraphInstantiate(&second, graph, 0));
  require(cudaGraphDestroy(graph));
  require(cudaGraphLaunch(first, native));
  require(cudaGraphExecDestroy(first));
  require(cudaStreamSynchronize(native));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(released == 1);
  require(cudaGraphLaunch(second, native));
  require(cudaGraphExecDestroy(second));
  require(cudaStreamSynchronize(native));
  CHECK(becomes(released, 2));
  require(cudaStreamDestroy(native));
}

TEST_CASE("an executable graph that is updated takes over what the other graph keeps") {
  DeviceMemory<int> memory(1 << 20);
  std::array<std::atomic<int>, 2> released = {0, 0};
  const auto release = [](void* state) { ++*static_cast<std::atomic<int>*>(state); };
  cudaStream_t native = nullptr;
  require(cudaStreamCreate(&native));
  std::array<cudaGraph_t, 2> graphs{};
  for (int i = 0; i < 2; ++i) {
    require(cudaStreamBeginCapture(native, cudaStreamCaptureModeGlobal));
    require(cudaMemsetAsync(memory.data(), i, memory.size() * sizeof(int), native));
    cuda::release_with_graph({0, native}, release, &released[i]);
    require(cudaStreamEndCapture(native, &graphs[i]));
  }
  cudaGraphExec_t made = nullptr;
  cudaGraphExecUpdateResultInfo updated{};
  require(cudaGraphInstantiate(&made, graphs[0], 0));
  require(cudaGraphDestroy(graphs[0]));
  require(cudaGraphExecUpdate(made, graphs[1], &updated));
  require(cudaGraphDestroy(graphs[1]));
  CHECK(becomes(released[0], 1));
  require(cudaGraphLaunch(made, native));
  require(cudaStreamSynchronize(native));
  CHECK(released[1] == 0);
  require(cudaGraphExecDestroy(made));
  CHECK(becomes(released[1], 1));
  require(cudaStreamDestroy(native));
}

}  // namespace gossamer::testing
