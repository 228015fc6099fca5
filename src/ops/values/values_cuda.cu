// SPDX-License-Identifier: Apache-2.0

#include "core/visit.hpp"
#include "cuda/runtime.hpp"
#include "cuda/scalar.cuh"
#include "gossamer/cuda/values.hpp"

namespace gossamer::cuda {
namespace {

constexpr int block = 256;

unsigned blocks_for(std::int64_t threads) {
  return static_cast<unsigned>((threads + block - 1) / block);
}

template <class T, class I>
__global__ void gather(const T* values, const I* map, std::int64_t count, T* out) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
  if (i >= count) return;
  const I from = map[i];
  out[i] = from < 0 ? narrow<T>(DeviceAccumulator<T>{}) : values[from];
}

/// grid: blocks over the elements of y.
template <class T>
__global__ void add_to_rows(T* y, std::int64_t count, std::int64_t length, const T* bias) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x;
  if (i < count) y[i] = narrow<T>(widen(y[i]) + widen(bias[i % length]));
}

/// What every number stays when it is added to: a sum of negative zeros is one.
template <class T>
__device__ T negative_zero() {
  if constexpr (is_device_complex<T>) {
    return {-0.0f, -0.0f};
  } else {
    return -0.0f;
  }
}

/// `lanes` lanes sum a segment.
template <class T, class I>
__global__ void sum_segments(const T* values, const I* map, const I* segments, std::int64_t count,
                             T* out, int log_lanes) {
  using Sum = DeviceAccumulator<T>;
  const int lanes = 1 << log_lanes, lane = threadIdx.x & (lanes - 1);
  const std::int64_t s = (static_cast<std::int64_t>(blockIdx.x) * block + threadIdx.x) >> log_lanes;
  const std::int64_t begin = s < count ? segments[s] : 0, end = s < count ? segments[s + 1] : 0;
  Sum sum = negative_zero<Sum>();
  for (std::int64_t p = begin + lane; p < end; p += lanes) {
    sum = sum + widen(values[map == nullptr ? p : static_cast<std::int64_t>(map[p])]);
  }
  sum = sum_lanes(sum, lanes);
  if (s < count && lane == 0) out[s] = narrow<T>(begin < end ? sum : Sum{});
}

}  // namespace

void gather(DType dtype, const void* values, DType index_dtype, const void* map, std::int64_t count,
            void* out, Stream stream) {
  if (count == 0) return;
  const DeviceScope scope(stream, "gather");
  visit_value(dtype, "values", [&](auto value) {
    visit_index(index_dtype, "map", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      gather<<<blocks_for(count), block, 0, native(stream)>>>(
          static_cast<const T*>(values), static_cast<const I*>(map), count, static_cast<T*>(out));
    });
  });
  check_launch("gather");
}

void add_to_rows(DType dtype, void* y, std::int64_t rows, std::int64_t length, const void* bias,
                 Stream stream) {
  if (rows == 0 || length == 0) return;
  const DeviceScope scope(stream, "add_to_rows");
  visit_value(dtype, "y", [&](auto value) {
    using T = DeviceType<typename decltype(value)::type>;
    add_to_rows<<<blocks_for(rows * length), block, 0, native(stream)>>>(
        static_cast<T*>(y), rows * length, length, static_cast<const T*>(bias));
  });
  check_launch("add_to_rows");
}

void segment_sum(DType dtype, const void* values, DType index_dtype, const void* map,
                 std::int64_t length, const void* segments, std::int64_t count, void* out,
                 Stream stream) {
  if (count == 0) return;
  const DeviceScope scope(stream, "segment_sum");
  int log_lanes = 0;
  while (log_lanes < 5 && (std::int64_t{4} << log_lanes) < length / count) ++log_lanes;
  visit_value(dtype, "values", [&](auto value) {
    visit_index(index_dtype, "segments", [&](auto index) {
      using T = DeviceType<typename decltype(value)::type>;
      using I = typename decltype(index)::type;
      sum_segments<<<blocks_for(count << log_lanes), block, 0, native(stream)>>>(
          static_cast<const T*>(values), static_cast<const I*>(map),
          static_cast<const I*>(segments), count, static_cast<T*>(out), log_lanes);
    });
  });
  check_launch("segment_sum");
}

}  // namespace gossamer::cuda
