// SPDX-License-Identifier: Apache-2.0
// Packing of dense matrices, a warp a row.
#include <algorithm>
#include <cmath>
#include <cub/device/device_scan.cuh>
#include <limits>

#include "core/message.hpp"
#include "cuda/packed_rows.cuh"
#include "cuda/packed_values.cuh"
#include "cuda/runtime.hpp"
#include "formats/packed.hpp"
#include "gossamer/cuda/packed.hpp"

namespace gossamer::cuda {
namespace {

/// The largest float not above a threshold: |x| exceeds the one exactly if it exceeds the other.
float float_threshold(double threshold) {
  if (!(threshold >= 0.0)) {
    throw InvalidArgument(message("threshold = ", threshold, "; it must be 0 or more"));
  }
  const float rounded = static_cast<float>(threshold);
  return static_cast<double>(rounded) > threshold ? std::nextafter(rounded, 0.0f) : rounded;
}

/// A dense matrix whose elements beyond a threshold are kept, NaN included.
template <class T>
struct Source {
  const T* data;
  std::int64_t rows, cols, row_stride, col_stride;
  float threshold;

  /// Calls body(kept, column, value) for 32 columns at a time, by all lanes together.
  template <class Body>
  __device__ void for_each(std::int64_t row, Body&& body) const {
    const T* from = data + row * row_stride;
    for (std::int64_t begin = 0; begin < cols; begin += 32) {
      const std::int64_t column = begin + threadIdx.x % 32;
      const float value = column < cols ? widened(from[column * col_stride]) : 0.0f;
      body(column < cols && !(fabsf(value) <= threshold), static_cast<int>(column), value);
    }
  }
};

__device__ std::int64_t row_of_warp() {
  return std::int64_t{blockIdx.x} * rows_a_block + threadIdx.x / 32;
}

/// counts: (formats, rows + 1); what counts row i goes to element i + 1.
template <class T>
__global__ void count_rows(Source<T> source, std::int64_t* counts) {
  const std::int64_t row = row_of_warp();
  if (row >= source.rows) return;
  int stored = 0, previous = -1;
  int fillers[2] = {};  // of gap4 and gap8
  source.for_each(row, [&](bool kept, int column, float) {
    const unsigned mask = __ballot_sync(all_lanes, kept), below = mask & lanes_below();
    const int begin = column - static_cast<int>(threadIdx.x % 32);
    const int gap = column - 1 - (below != 0 ? begin + 31 - __clz(below) : previous);
    stored += __popc(mask);
    if (kept) {
      fillers[0] += gap >> 4;
      fillers[1] += gap >> 8;
    }
    if (mask != 0) previous = begin + 31 - __clz(mask);
  });
  for (int& count : fillers) count = __reduce_add_sync(all_lanes, count);
  if (threadIdx.x % 32 == 0) {
    counts[row + 1] = stored;
    for (int k = 0; k < 2; ++k) counts[(k + 1) * (source.rows + 1) + row + 1] = stored + fillers[k];
  }
}

template <class T>
__global__ void find_scales(Source<T> source, float largest, float* scales) {
  const std::int64_t row = row_of_warp();
  if (row >= source.rows) return;
  float magnitude = 0.0f;
  bool finite = true;
  source.for_each(row, [&](bool kept, int, float value) {
    if (!kept) return;
    finite = finite && isfinite(value);
    magnitude = fmaxf(magnitude, fabsf(value));
  });
  for (int k = 16; k > 0; k /= 2) {
    magnitude = fmaxf(magnitude, __shfl_xor_sync(all_lanes, magnitude, k));
  }
  finite = __all_sync(all_lanes, finite);
  if (threadIdx.x % 32 != 0) return;
  // The smallest subnormals have no quotient by the largest value: they round to the smallest
  // scale.
  const float scale = magnitude == 0.0f ? 1.0f : fmaxf(__fdiv_rn(magnitude, largest), 0x1p-126f);
  scales[row] = finite ? scale : __int_as_float(0x7fc00000);
}

template <class V>
__device__ V store_value(float value, float scale) {
  return narrowed<V>(sizeof(V) == 1 ? __fdiv_rn(value, scale) : value);
}

template <class V, class T>
__global__ void pack_bitmap(Source<T> source, PackedOutput packed) {
  const std::int64_t row = row_of_warp();
  if (row >= source.rows) return;
  V* to = static_cast<V*>(packed.values) + row_offset(packed.offset_dtype, packed.row_offsets, row);
  auto* bits = reinterpret_cast<std::uint32_t*>(packed.positions) + row * ((source.cols + 31) / 32);
  const float scale = packed.scales != nullptr ? packed.scales[row] : 1.0f;
  source.for_each(row, [&](bool kept, int column, float value) {
    const unsigned mask = __ballot_sync(all_lanes, kept);
    if (kept) to[__popc(mask & lanes_below())] = store_value<V>(value, scale);
    if (threadIdx.x % 32 == 0) bits[column / 32] = mask;
    to += __popc(mask);
  });
}

/// The positions must be zero: nibbles that share a word are combined.
template <class V, int Bits, class T>
__global__ void pack_gaps(Source<T> source, PackedOutput packed) {
  const std::int64_t row = row_of_warp();
  if (row >= source.rows) return;
  const std::int64_t begin = row_offset(packed.offset_dtype, packed.row_offsets, row);
  V* to = static_cast<V*>(packed.values) + begin;
  const float scale = packed.scales != nullptr ? packed.scales[row] : 1.0f;
  BridgedDistances<1 << Bits> distances;
  source.for_each(row, [&](bool kept, int column, float value) {
    distances.next(kept, column);
    for (int k = 0; k < distances.count; ++k) {
      const bool last = k + 1 == distances.count;
      const std::int64_t slot = distances.first + k;
      const unsigned gap = static_cast<unsigned>(distances.slot_distance(k) - 1);
      to[slot] = last ? store_value<V>(value, scale) : V{};
      if constexpr (Bits == 8) {
        packed.positions[begin + slot] = static_cast<std::uint8_t>(gap);
      } else if (gap != 0) {
        atomicOr(reinterpret_cast<unsigned*>(packed.positions) + ((begin + slot) >> 3),
                 gap << (begin + slot) % 8 * 4);
      }
    }
  });
}

template <class Body>
void visit_source(const ArrayView& dense, double threshold, Body&& body) {
  if (dense.rank != 2) {
    throw InvalidArgument(message("dense has rank ", dense.rank, "; it must be 2"));
  }
  packed_layout(PackedFormat::bitmap, dense.shape[0], dense.shape[1], 0);
  visit_dense(dense.dtype, "dense", [&](auto tag) {
    using T = typename decltype(tag)::type;
    body(Source<T>{static_cast<const T*>(dense.data), dense.shape[0], dense.shape[1],
                   dense.strides[0], dense.strides[1], float_threshold(threshold)});
  });
}

std::size_t scan_bytes(std::int64_t rows) {
  std::size_t bytes = 0;
  std::int64_t* none = nullptr;
  check(cub::DeviceScan::InclusiveSum(nullptr, bytes, none, none, rows), "count_packed");
  return bytes;
}

}  // namespace

std::size_t count_packed_workspace(std::int64_t rows) { return rows > 0 ? scan_bytes(rows) : 0; }

void count_packed(const ArrayView& dense, double threshold, std::int64_t* offsets,
                  Workspace workspace, Stream stream) {
  const DeviceScope scope(stream, "count_packed");
  visit_source(dense, threshold, [&](auto source) {
    const std::int64_t rows = source.rows;
    std::size_t bytes = count_packed_workspace(rows);
    check_workspace(workspace, bytes, "count_packed");
    check(cudaMemsetAsync(offsets, 0, sizeof(std::int64_t) * packed_formats.size() * (rows + 1),
                          native(stream)),
          "count_packed");
    if (rows == 0) return;
    count_rows<<<row_blocks(rows), 32 * rows_a_block, 0, native(stream)>>>(source, offsets);
    check_launch("count_packed");
    for (std::size_t k = 0; k < packed_formats.size(); ++k) {
      std::int64_t* counts = offsets + static_cast<std::int64_t>(k) * (rows + 1) + 1;
      check(cub::DeviceScan::InclusiveSum(workspace.data, bytes, counts, counts, rows,
                                          native(stream)),
            "count_packed");
    }
  });
}

void row_scales(const ArrayView& dense, double threshold, PackedDType dtype, float* scales,
                Stream stream) {
  if (!has_scales(dtype)) {
    throw InvalidDType(message("dtype ", name(dtype), " has no scales; int8 and float8_e4m3 do"));
  }
  const DeviceScope scope(stream, "row_scales");
  visit_source(dense, threshold, [&](auto source) {
    if (source.rows == 0) return;
    const float largest = dtype == PackedDType::int8 ? 127.0f : 448.0f;
    find_scales<<<row_blocks(source.rows), 32 * rows_a_block, 0, native(stream)>>>(source, largest,
                                                                                   scales);
    check_launch("row_scales");
  });
}

void pack(const ArrayView& dense, double threshold, const PackedOutput& packed, std::int64_t slots,
          Stream stream) {
  const DeviceScope scope(stream, "pack");
  visit_source(dense, threshold, [&](auto source) {
    const PackedLayout layout = packed_layout(packed.format, source.rows, source.cols, slots);
    const std::size_t item = item_size(packed.dtype);
    // The padding is zero, and so are nibbles before they are combined.
    check(cudaMemsetAsync(static_cast<char*>(packed.values) + slots * item, 0,
                          static_cast<std::size_t>(layout.values - slots) * item, native(stream)),
          "pack");
    const std::int64_t kept = packed.format == PackedFormat::gap8 ? slots : 0;
    if (packed.format != PackedFormat::bitmap) {
      check(cudaMemsetAsync(packed.positions + kept, 0,
                            static_cast<std::size_t>(layout.positions - kept), native(stream)),
            "pack");
    }
    if (source.rows == 0) return;
    const unsigned blocks = row_blocks(source.rows), threads = 32 * rows_a_block;
    visit_packed(packed.dtype, [&](auto tag) {
      using V = typename decltype(tag)::type;
      switch (packed.format) {
        case PackedFormat::bitmap:
          return pack_bitmap<V><<<blocks, threads, 0, native(stream)>>>(source, packed);
        case PackedFormat::gap4:
          return pack_gaps<V, 4><<<blocks, threads, 0, native(stream)>>>(source, packed);
        case PackedFormat::gap8:
          return pack_gaps<V, 8><<<blocks, threads, 0, native(stream)>>>(source, packed);
      }
    });
    check_launch("pack");
  });
}

}  // namespace gossamer::cuda
