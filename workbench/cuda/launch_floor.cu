// SPDX-License-Identifier: Apache-2.0
// What launches cost in one CUDA graph, ordinary ones and overlapped ones: kernels that do nothing,
// and kernels of 2048 threads or more of which each loads a word that the kernel before it wrote,
// as the least product of a chain does. nvcc -O3 -std=c++20 -arch=sm_90 launch_floor.cu && ./a.out
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

__global__ void nothing(const float*, float*) {
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

__global__ void one_word(const float* from, float* to) {
  asm volatile("griddepcontrol.launch_dependents;");
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  asm volatile("griddepcontrol.wait;" ::: "memory");
  to[i] = from[i ^ 1] + 1;
}

static void check(cudaError_t error) {
  if (error != cudaSuccess) {
    std::printf("%s\n", cudaGetErrorString(error));
    std::exit(1);
  }
}

static float microseconds(void (*kernel)(const float*, float*), int blocks, bool overlap, float* a,
                          float* b) {
  constexpr int launches = 96, replays = 41;
  cudaStream_t stream;
  check(cudaStreamCreate(&stream));
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int i = 0; i < launches; ++i) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = blocks;
    config.blockDim = 256;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = overlap && i > 0;
    check(cudaLaunchKernelEx(&config, kernel, i % 2 ? (const float*)b : (const float*)a,
                             i % 2 ? a : b));
  }
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  for (int i = 0; i < 200; ++i) check(cudaGraphLaunch(exec, stream));
  std::vector<float> times;
  for (int i = 0; i < replays; ++i) {
    check(cudaEventRecord(begin, stream));
    check(cudaGraphLaunch(exec, stream));
    check(cudaEventRecord(end, stream));
    check(cudaEventSynchronize(end));
    float ms;
    check(cudaEventElapsedTime(&ms, begin, end));
    times.push_back(ms * 1e3f / launches);
  }
  std::nth_element(times.begin(), times.begin() + replays / 2, times.end());
  return times[replays / 2];
}

int main() {
  float *a, *b;
  check(cudaMalloc(&a, 1 << 24));
  check(cudaMalloc(&b, 1 << 24));
  for (int blocks : {8, 128, 512}) {
    std::printf(
        "%d blocks of 256: nothing %.2f us, overlapped %.2f; one word %.2f us, overlapped %.2f\n",
        blocks, microseconds(nothing, blocks, false, a, b),
        microseconds(nothing, blocks, true, a, b), microseconds(one_word, blocks, false, a, b),
        microseconds(one_word, blocks, true, a, b));
  }
}
