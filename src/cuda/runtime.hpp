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

/// Throws InvalidArgument unless a workspace has that many bytes.
void check_workspace(Workspace workspace, std::size_t bytes, const char* operation);

}  // namespace gossamer::cuda
