// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "core/message.hpp"
#include "cuda/runtime.hpp"
#include "gossamer/errors.hpp"

namespace gossamer::cuda {
namespace {

std::vector<DeviceProperties> all_properties() {
  std::vector<DeviceProperties> all(static_cast<std::size_t>(device_count()));
  for (std::size_t i = 0; i < all.size(); ++i) {
    cudaDeviceProp found;
    check(cudaGetDeviceProperties(&found, static_cast<int>(i)), "device_properties");
    all[i] = {found.name, found.multiProcessorCount, found.major * 10 + found.minor,
              found.sharedMemPerBlockOptin};
  }
  return all;
}

}  // namespace

std::string unavailable() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return "";
  cudaGetLastError();
  return error == cudaSuccess ? "no CUDA device" : cudaGetErrorString(error);
}

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

const DeviceProperties& device_properties(int device) {
  static const std::vector<DeviceProperties> all = all_properties();
  if (device < 0 || device >= static_cast<int>(all.size())) {
    throw InvalidArgument(
        message("device = ", device, "; there are ", all.size(), " CUDA devices, numbered from 0"));
  }
  return all[static_cast<std::size_t>(device)];
}

unsigned long long capture_id(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  unsigned long long id = 0;
  check(cudaStreamGetCaptureInfo(native(stream), &status, &id), "capture_id");
  return status == cudaStreamCaptureStatusNone ? 0 : id;
}

void release_with_graph(Stream stream, void (*release)(void*), void* state) {
  const char* const operation = "release_with_graph";
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaGraph_t graph = nullptr;
  cudaUserObject_t object = nullptr;
  cudaError_t error = cudaStreamGetCaptureInfo(native(stream), &status, nullptr, &graph);
  if (error == cudaSuccess && graph == nullptr) error = cudaErrorIllegalState;
  if (error == cudaSuccess) {
    error = cudaUserObjectCreate(&object, state, release, 1, cudaUserObjectNoDestructorSync);
  }
  if (error != cudaSuccess) {
    release(state);
    check(error, operation);
  }
  error = cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove);
  if (error != cudaSuccess) cudaUserObjectRelease(object, 1);  // which calls release
  check(error, operation);
}

void check_workspace(Workspace workspace, std::size_t bytes, const char* operation) {
  if (workspace.bytes < bytes) {
    throw InvalidArgument(message(operation, ": the workspace has ", workspace.bytes,
                                  " bytes; it must have ", bytes));
  }
}

}  // namespace gossamer::cuda
