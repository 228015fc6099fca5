// SPDX-License-Identifier: Apache-2.0
// What every device operation needs of the CUDA runtime.
//
// Where a device operation goes: its public functions in include/gossamer/cuda/<op>.hpp, kernels
// and launches in src/ops/<op>/<op>_cuda*.cu beside the host's files, parameters with their
// measurements in <op>_cuda_tuning.hpp, what several share in src/cuda/, the binding in
// python/bindings/cuda/<op>.cpp, tests in tests/gpu/. CMake finds the files. *_sm90a.cu is compiled
// for Hopper alone and may use its own instructions.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>

#include "gossamer/cuda.hpp"

namespace gossamer::cuda {

/// Throws CudaError for a failure of `operation`, and clears it from the runtime.
inline void check(cudaError_t error, const char* operation) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw CudaError(std::string(operation) + ": " + cudaGetErrorString(error) + " (" +
                  cudaGetErrorName(error) + ")");
}

/// Throws CudaError if the launch just made failed.
inline void check_launch(const char* operation) { check(cudaGetLastError(), operation); }

/// Makes a stream's device the current one while it lives.
class DeviceScope {
 public:
  DeviceScope(Stream stream, const char* operation) {
    check(cudaGetDevice(&previous_), operation);
    if (previous_ != stream.device) {
      check(cudaSetDevice(stream.device), operation);
      changed_ = true;
    }
  }
  ~DeviceScope() {
    if (changed_) cudaSetDevice(previous_);
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int previous_ = 0;
  bool changed_ = false;
};

inline cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

/// Lets one kernel have more dynamic shared memory than usual; asks the runtime once a device. All
/// such kernels take the largest share of the L1: a multiprocessor changes it only when it is idle,
/// so that a kernel of another share could not begin beside the one before it.
class SharedMemoryLimit {
 public:
  template <class Kernel>
  cudaError_t raise(Kernel* kernel, int device, int bytes) {
    const std::uint64_t bit = device < 64 ? std::uint64_t{1} << device : 0;
    if ((raised_.load(std::memory_order_relaxed) & bit) != 0) return cudaSuccess;
    const auto set = [&](cudaFuncAttribute attribute, int value) {
      return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
    };
    cudaError_t error = set(cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error == cudaSuccess) {
      error = set(cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    }
    if (error == cudaSuccess) raised_.fetch_or(bit, std::memory_order_relaxed);
    return error;
  }

 private:
  std::atomic<std::uint64_t> raised_{0};  ///< a bit for each device
};

/// Throws InvalidArgument unless a workspace has that many bytes.
void check_workspace(Workspace workspace, std::size_t bytes, const char* operation);

}  // namespace gossamer::cuda
