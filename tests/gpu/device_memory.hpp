// SPDX-License-Identifier: Apache-2.0
// Device memory that owns itself, for tests.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <vector>

#include "gossamer/cuda.hpp"

namespace gossamer::testing {

inline void require(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

/// An array of `count` elements on device 0. Without contents it is filled with 0xee: what a kernel
/// should have written shows.
template <class T>
class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t count) : count_(count) {
    require(cudaMalloc(&data_, std::max<std::size_t>(count * sizeof(T), 1)));
    require(cudaMemset(data_, 0xee, count * sizeof(T)));
  }
  explicit DeviceMemory(std::span<const T> host) : DeviceMemory(host.size()) {
    require(cudaMemcpy(data_, host.data(), host.size_bytes(), cudaMemcpyHostToDevice));
  }
  explicit DeviceMemory(const std::vector<T>& host) : DeviceMemory(std::span<const T>(host)) {}
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  T* data() const { return static_cast<T*>(data_); }
  std::size_t size() const { return count_; }
  void clear() { require(cudaMemset(data_, 0, count_ * sizeof(T))); }

  /// A copy on the host; waits for the device.
  std::vector<T> host() const {
    std::vector<T> copy(count_);
    require(cudaMemcpy(copy.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return copy;
  }

  cuda::Workspace workspace() const { return {data_, count_ * sizeof(T)}; }

 private:
  void* data_ = nullptr;
  std::size_t count_;
};

}  // namespace gossamer::testing
