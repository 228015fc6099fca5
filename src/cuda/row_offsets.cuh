// SPDX-License-Identifier: Apache-2.0
// Row offsets from the rows' counts: the end of the first phase of every result of unknown size.
#pragma once

#include <cub/device/device_scan.cuh>

#include "cuda/runtime.hpp"

namespace gossamer::cuda {

/// Bytes of workspace that to_row_offsets needs.
template <class I>
std::size_t row_offsets_workspace(std::int64_t rows) {
  std::size_t bytes = 0;
  I* const counts = nullptr;
  check(cub::DeviceScan::ExclusiveSum(nullptr, bytes, counts, counts, rows + 1), "row_offsets");
  return bytes;
}

/// Replaces the counts of `rows` rows and a zero behind them by row offsets. Returns the last one;
/// waits for the stream.
template <class I>
std::int64_t to_row_offsets(I* counts, std::int64_t rows, Workspace workspace, Stream stream,
                            const char* operation) {
  std::size_t bytes = row_offsets_workspace<I>(rows);
  check_workspace(workspace, bytes, operation);
  const cudaStream_t on = native(stream);
  check(cub::DeviceScan::ExclusiveSum(workspace.data, bytes, counts, counts, rows + 1, on),
        operation);
  I total = 0;
  check(cudaMemcpyAsync(&total, counts + rows, sizeof(I), cudaMemcpyDeviceToHost, on), operation);
  check(cudaStreamSynchronize(on), operation);
  return total;
}

}  // namespace gossamer::cuda
