// SPDX-License-Identifier: Apache-2.0
#include "cuda/runtime.hpp"

#include <doctest/doctest.h>

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

}  // namespace gossamer::testing
