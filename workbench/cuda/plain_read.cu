// SPDX-License-Identifier: Apache-2.0
// The read limit: loads `bytes` once, 16 bytes a thread, and keeps nothing.
#include <cuda_runtime.h>

__global__ void __launch_bounds__(512) plain_read(const uint4* data, size_t count, unsigned* sink) {
  unsigned sum = 0;
  const size_t stride = size_t(gridDim.x) * blockDim.x;
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + 7 * stride < count; i += 8 * stride) {
    uint4 v[8];
#pragma unroll
    for (int k = 0; k < 8; k++) v[k] = __ldcs(data + i + k * stride);
#pragma unroll
    for (int k = 0; k < 8; k++) sum ^= v[k].x ^ v[k].y ^ v[k].z ^ v[k].w;
  }
  for (; i < count; i += stride) {
    uint4 v = __ldcs(data + i);
    sum ^= v.x ^ v.y ^ v.z ^ v.w;
  }
  if (sum == 0x9e3779b9u) *sink = sum;
}

extern "C" int launch_plain_read(const void* data, size_t bytes, void* sink, int blocks,
                                 void* stream) {
  plain_read<<<blocks, 512, 0, (cudaStream_t)stream>>>((const uint4*)data, bytes / 16,
                                                       (unsigned*)sink);
  return cudaGetLastError();
}
