// SPDX-License-Identifier: Apache-2.0
// Packing of dense matrices, a warp a row.
#include <cmath>
#include <cub/device/device_scan.cuh>

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

  /// Calls body(column, kept, values) for 256 columns at a time, by all lanes together: a lane has
  /// eight from `column` on, of which those whose bit is set in `kept` are stored.
  template <class Body>
  __device__ void for_each(std::int64_t row, Body&& body) const {
    const T* from = data + row * row_stride;
    const bool aligned =
        col_stride == 1 && reinterpret_cast<std::uintptr_t>(from) % alignof(EightColumns<T>) == 0;
    for (std::int64_t begin = 0; begin < cols; begin += 256) {
      const std::int64_t column = begin + threadIdx.x % 32 * 8, left = cols - column;
      EightColumns<T> eight{};
      if (aligned && left >= 8) {
        eight = *reinterpret_cast<const EightColumns<T>*>(from + column);
      } else {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          if (j < left) eight.value[j] = from[(column + j) * col_stride];
        }
      }
      float value[8];
      unsigned kept = 0;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        value[j] = widened(eight.value[j]);
        if (j < left && !(fabsf(value[j]) <= threshold)) kept |= 1u << j;
      }
      body(static_cast<int>(column), kept, value);
    }
  }
};

/// Gaps between stored columns that come as Source::for_each gives them. Only the first one of a
/// lane can need fillers: the others are shorter than eight columns.
class FirstGaps {
 public:
  /// Of this lane, where it keeps any; called by all lanes together.
  __device__ int next(int column, unsigned kept) {
    const unsigned lanes = __ballot_sync(all_lanes, kept != 0), below = lanes & lanes_below();
    const int last = column + 31 - __clz(kept);
    const int neighbour = __shfl_sync(all_lanes, last, 31 - __clz(below | 1));
    const int gap = column + __ffs(kept) - 2 - (below != 0 ? neighbour : previous_);
    const int of_all = __shfl_sync(all_lanes, last, 31 - __clz(lanes | 1));
    if (lanes != 0) previous_ = of_all;
    return gap;
  }

 private:
  int previous_ = -1;  ///< stored column before the next 256
};

__device__ std::int64_t row_of_warp() {
  return std::int64_t{blockIdx.x} * rows_a_block + threadIdx.x / 32;
}

/// counts: (formats, rows + 1); what counts row i goes to element i + 1.
template <class T>
__global__ void count_rows(Source<T> source, std::int64_t* counts) {
  const std::int64_t row = row_of_warp();
  if (row >= source.rows) return;
  int slots[3] = {};  // of bitmap, gap4 and gap8
  FirstGaps gaps;
  source.for_each(row, [&](int column, unsigned kept, const float (&)[8]) {
    const int gap = gaps.next(column, kept), stored = __popc(kept);
    slots[0] += stored;
    slots[1] += stored + (kept != 0 ? gap >> 4 : 0);
    slots[2] += stored + (kept != 0 ? gap >> 8 : 0);
  });
  for (int& count : slots) count = __reduce_add_sync(all_lanes, count);
  if (threadIdx.x % 32 == 0) {
    for (int k = 0; k < 3; ++k) counts[k * (source.rows + 1) + row + 1] = slots[k];
  }
}

template <class T>
__global__ void find_scales(Source<T> source, float largest, float* scales) {
  const std::int64_t row = row_of_warp();
  if (row >= source.rows) return;
  float magnitude = 0.0f;
  bool finite = true;
  source.for_each(row, [&](int, unsigned kept, const float (&value)[8]) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      if ((kept >> j & 1) == 0) continue;
      finite = finite && isfinite(value[j]);
      magnitude = fmaxf(magnitude, fabsf(value[j]));
    }
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

/// A row's slots on their way to memory: values, and gaps of so many bits or none. A warp leaves
/// them in a window in shared memory and writes it when it is full, so that neighbours go together.
/// Words of nibbles that the row shares with other rows must be zero before: they are combined.
template <class V, int Bits>
class SlotWindow {
 public:
  static constexpr int slots = 256;
  struct Shared {
    alignas(8) std::uint8_t gaps[Bits == 0 ? 8 : slots];
    V values[slots];
  };

  /// begin: the row's first slot.
  __device__ SlotWindow(Shared& window, const PackedOutput& packed, std::int64_t begin)
      : window_(window),
        before_(static_cast<int>(begin % 8)),
        start_(-before_),
        values_(static_cast<V*>(packed.values) + begin - before_),
        positions_(packed.positions + (begin - before_) * Bits / 8) {
    if (lane() < 8) window_.gaps[lane()] = 0;
    __syncwarp();
  }

  /// Takes a lane's `fillers`, then its kept values, of which the first one is `gap` columns behind
  /// the slot before; called by all lanes together.
  __device__ void put(int fillers, int gap, unsigned kept, const V (&value)[8]) {
    const int count = fillers + __popc(kept), end = inclusive_scan(count),
              first = slots_ + end - count;
    slots_ += __shfl_sync(all_lanes, end, 31);
    while (true) {
      int at = first - start_;
      for (int k = max(0, -at); k < min(fillers, slots - at); ++k) {
        set(at + k, V{}, (1 << Bits) - 1);
      }
      at += fillers;
      int columns = gap - (__ffs(kept) - 1);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        if (kept >> j & 1) {
          if (static_cast<unsigned>(at) < slots) set(at, value[j], columns);
          ++at;
          columns = 0;
        } else {
          ++columns;
        }
      }
      if (slots_ - start_ < slots) return;
      write(slots);
      start_ += slots;
      values_ += slots;
      positions_ += slots * Bits / 8;
      before_ = 0;
    }
  }

  /// Writes what is left; called by all lanes together.
  __device__ void finish() {
    const int end = slots_ - start_;
    if (Bits == 4 && lane() < 8 && end + lane() < slots) window_.gaps[end + lane()] = 0;
    write(end);
  }

 private:
  __device__ static int lane() { return threadIdx.x % 32; }
  __device__ void set(int at, V value, int gap) {
    window_.values[at] = value;
    if constexpr (Bits != 0) window_.gaps[at] = static_cast<std::uint8_t>(gap);
  }
  __device__ void write(int end) {
    __syncwarp();
    for (int at = lane(); at < end; at += 32) {
      if (at < before_) continue;
      values_[at] = window_.values[at];
      if constexpr (Bits == 8) positions_[at] = window_.gaps[at];
    }
    if constexpr (Bits == 4) write_nibbles(end);
    __syncwarp();
  }
  /// Eight slots a lane.
  __device__ void write_nibbles(int end) {
    const int at = 8 * lane();
    if (at >= end) return;
    const uint2 gaps = reinterpret_cast<const uint2*>(window_.gaps)[lane()];
    const unsigned word = lower_halves(gaps.x) | lower_halves(gaps.y) << 16;
    unsigned* to = reinterpret_cast<unsigned*>(positions_) + lane();
    if (at < before_ || at + 8 > end) {
      atomicOr(to, word);
    } else {
      *to = word;
    }
  }
  /// Of four bytes.
  __device__ static unsigned lower_halves(unsigned bytes) {
    const unsigned pairs = (bytes | bytes >> 4) & 0x00ff00ffu;
    return (pairs | pairs >> 8) & 0xffffu;
  }

  Shared& window_;
  int before_;               ///< slots of the window that are other rows'
  int start_;                ///< slot of the row where the window begins
  int slots_ = 0;            ///< of the row so far
  V* values_;                ///< of the window
  std::uint8_t* positions_;  ///< likewise
};

/// Bits of a gap; 0 for a bitmap. Nibbles must be zero.
template <class V, int Bits, class T>
__global__ void pack_rows(Source<T> source, PackedOutput packed) {
  using Window = SlotWindow<V, Bits>;
  __shared__ typename Window::Shared windows[rows_a_block];
  const std::int64_t row = row_of_warp();
  if (row >= source.rows) return;
  const float scale = packed.scales != nullptr ? packed.scales[row] : 1.0f;
  const std::int64_t row_bytes = (source.cols + 31) / 32 * 4;
  FirstGaps gaps;
  Window window(windows[threadIdx.x / 32], packed,
                row_offset(packed.offset_dtype, packed.row_offsets, row));
  source.for_each(row, [&](int column, unsigned kept, const float (&value)[8]) {
    V stored[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) stored[j] = store_value<V>(value[j], scale);
    if constexpr (Bits == 0) {
      if (column / 8 < row_bytes) {
        packed.positions[row * row_bytes + column / 8] = static_cast<std::uint8_t>(kept);
      }
      window.put(0, 0, kept, stored);
    } else {
      const int gap = gaps.next(column, kept), fillers = kept != 0 ? gap >> Bits : 0;
      window.put(fillers, gap & ((1 << Bits) - 1), kept, stored);
    }
  });
  window.finish();
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
    const float largest = largest_value(dtype);
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
          return pack_rows<V, 0><<<blocks, threads, 0, native(stream)>>>(source, packed);
        case PackedFormat::gap4:
          return pack_rows<V, 4><<<blocks, threads, 0, native(stream)>>>(source, packed);
        case PackedFormat::gap8:
          return pack_rows<V, 8><<<blocks, threads, 0, native(stream)>>>(source, packed);
      }
    });
    check_launch("pack");
  });
}

}  // namespace gossamer::cuda
