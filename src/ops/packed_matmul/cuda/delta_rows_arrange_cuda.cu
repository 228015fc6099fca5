// SPDX-License-Identifier: Apache-2.0
// Counts and fills the arrangement of delta_rows.hpp from the stored formats.
#include <algorithm>
#include <utility>
#include <vector>

#include "core/message.hpp"
#include "cuda/packed_rows.cuh"
#include "cuda/packed_values.cuh"
#include "cuda/runtime.hpp"
#include "formats/packed.hpp"
#include "gossamer/cuda/packed.hpp"
#include "gossamer/cuda/values.hpp"
#include "gossamer/errors.hpp"
#include "ops/packed_matmul/cuda/delta_rows.hpp"
#include "ops/packed_matmul/cuda/delta_rows_matvec.hpp"
#include "ops/packed_matmul/cuda/packed_matmul_cuda_tuning.hpp"
#include "ops/packed_matmul/cuda/vectors.hpp"

namespace gossamer::cuda {
namespace delta_rows {
namespace {

/// grid: row_blocks(rows) blocks of rows_a_block warps.
template <class Item, int Bits>
__global__ void count_slots(PackedView packed, unsigned ignored, int* slots) {
  const std::int64_t row = std::int64_t{blockIdx.x} * rows_a_block + threadIdx.x / 32;
  if (row >= packed.rows) return;
  BridgedDistances<reach<Bits>> distances;
  walk_row<Item>(packed, row, ignored,
                 [&](bool stored, int column, std::int64_t) { distances.next(stored, column); });
  if (threadIdx.x % 32 == 0) slots[row] = static_cast<int>(distances.slots);
}

/// Where a slot of a row lies in the stream.
template <class Item, int Bits>
struct SlotPlace {
  using Code = DistanceCode<Bits>;
  static constexpr int planes = Code::steps * 8 * sizeof(Item) / 16;

  std::int64_t value;      ///< byte of the value
  std::int64_t distances;  ///< byte of the unit's distances
  int reg, byte;           ///< of the distance, in the words of
  int lane;                ///< this lane

  __device__ SlotPlace(std::int64_t step, int slot, int place) {
    const std::int64_t unit = step / Code::steps * unit_bytes<Item, Bits>;
    const int in_unit = static_cast<int>(step % Code::steps);
    const int at = (8 * in_unit + 4 * (slot / 8) + 2 * (place / 8) + slot % 2) *
                   static_cast<int>(sizeof(Item));
    const int value_lane = 4 * (place % 8) + slot % 8 / 2;
    value = unit + at / 16 * 512 + value_lane * 16 + at % 16;
    distances = unit + planes * 512;
    reg = 2 * in_unit + place / 8;
    byte = slot % 4;
    lane = 4 * (place % 8) + slot / 4;
  }
  /// Number of a word of the lane: 16 or 8 bytes a lane; of three words the third has a plane of
  /// its own.
  __device__ int word(int k) const {
    return Code::words == 3 ? (k < 2 ? lane * 2 + k : 64 + lane) : lane * Code::words + k;
  }
};

/// Writes a slot of a row into the stream; words are combined, for lanes and groups share them.
template <class Item, int Bits>
__device__ void put_slot(std::uint8_t* stream, std::int64_t step, int slot, int place,
                         unsigned distance, Item value) {
  using Code = DistanceCode<Bits>;
  const SlotPlace<Item, Bits> to(step, slot, place);
  *reinterpret_cast<Item*>(stream + to.value) = value;
  unsigned word[Code::words] = {};
  Code::put(word, to.reg, distance - Code::least);
  auto* words = reinterpret_cast<unsigned*>(stream + to.distances);
  for (int k = 0; k < Code::words; ++k) {
    if (word[k] != 0) atomicOr(words + to.word(k), word[k] << 8 * to.byte);
  }
}

/// The way back: the dense matrix. grid: as fill_group.
template <class V, int Bits, class T>
__global__ void __launch_bounds__(512)
    unpack_group(const __grid_constant__ View a, bool scaled, T* dense, std::int64_t row_stride,
                 std::int64_t col_stride) {
  using Code = DistanceCode<Bits>;
  const int group = blockIdx.x, place = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int row = a.row[16 * group + place];
  if (row < 0) return;
  const float scale = scaled && a.scale != nullptr ? a.scale[16 * group + place] : 1.0f;
  T* to = dense + row * row_stride;
  for (int column = lane; column < a.cols; column += 32) to[column * col_stride] = T{};
  __syncwarp();
  const int end = a.group_step[group + 1];
  int column = -1;
  for (int step = a.group_step[group]; step < end; step += 2) {
    const bool valid = step + lane / 16 < end;
    const SlotPlace<V, Bits> from(step + lane / 16, lane % 16, place);
    std::uint8_t bytes[Code::words] = {};
    float value = 0;
    if (valid) {
      for (int k = 0; k < Code::words; ++k) {
        bytes[k] = a.stream[from.distances + 4 * from.word(k) + from.byte];
      }
      value = widened(*reinterpret_cast<const V*>(a.stream + from.value));
    }
    const int distance = Code::least + static_cast<int>(Code::get(bytes, from.reg));
    const int through = column + inclusive_scan(distance);
    if (value != 0) to[through * col_stride] = narrowed<T>(value * scale);
    column = __shfl_sync(all_lanes, through, 31);
  }
}

/// grid: a block of 16 warps for each group, a warp for each of its rows.
template <class Item, int Bits>
__global__ void __launch_bounds__(512)
    fill_group(PackedView packed, unsigned ignored, const __grid_constant__ View a,
               std::uint8_t* stream, float* scale, void* start) {
  const int group = blockIdx.x, place = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int row = a.row[16 * group + place];
  if (row < 0) return;
  if (lane == 0 && scale != nullptr) scale[16 * group + place] = packed.scales[row];

  // Workers that begin inside this group start behind the slot before.
  const int workers = a.blocks * warps;
  int first = 0;
  for (int count = workers; count > 0;) {
    const int half = count / 2;
    if (a.worker[first + half].group < group) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  const auto step_of = [&](int worker) {
    const int b = worker / warps, units = a.block_unit[b + 1] - a.block_unit[b];
    return (a.block_unit[b] + warp_unit(units, worker % warps, warps)) * DistanceCode<Bits>::steps;
  };
  const int group_begin = a.group_step[group];
  const auto for_each_worker = [&](auto&& body) {
    for (int w = first; w < workers && a.worker[w].group == group; ++w) {
      body(w, step_of(w) - group_begin);
    }
  };

  const auto start_at = [&](int w, int column) {
    const int i = 16 * w + place;
    if (narrow_starts(a.cols)) {
      static_cast<std::uint16_t*>(start)[i] = static_cast<std::uint16_t>(column);
    } else {
      static_cast<int*>(start)[i] = column;
    }
  };

  BridgedDistances<reach<Bits>> distances;
  int reached = -1;
  walk_row<Item>(packed, row, ignored, [&](bool stored, int column, std::int64_t item) {
    distances.next(stored, column);
    reached = distances.previous;
    int at = column - distances.distance;
    for (int k = 0; k < distances.count; ++k) {
      const std::int64_t slot = distances.first + k;
      const int distance = distances.slot_distance(k);
      const Item value =
          k + 1 < distances.count ? Item{} : static_cast<const Item*>(packed.values)[item];
      put_slot<Item, Bits>(stream, group_begin + slot / 16, static_cast<int>(slot % 16), place,
                           distance, value);
      at += distance;
      if (slot % 16 == 15) {
        for_each_worker([&](int w, int step) {
          if (slot + 1 == std::int64_t{step} * 16) start_at(w, at + 1);
        });
      }
    }
  });
  if (lane == 0) {
    for_each_worker([&](int w, int step) {
      if (std::int64_t{step} * 16 > distances.slots) start_at(w, reached + 1);
    });
  }
}

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// The distances' width for a matrix of that density.
int choose_width(double density, PackedDType dtype) {
  const auto first = [&](const auto& widths) {
    for (const auto& [at_least, bits] : widths) {
      if (density >= at_least) return bits;
    }
    return 8;
  };
  return item_size(dtype) == 4 ? first(tuning::delta_rows_wide_values)
                               : first(tuning::delta_rows_widths);
}

class DeltaRows final : public Arrangement {
 public:
  DeltaRows(const PackedView& packed, Workspace workspace, Stream stream) : dtype_(packed.dtype) {
    if (packed.rows > (1 << 30) || packed.cols > (1 << 28)) {
      throw InvalidArgument(message("arrange_delta_rows: shape = (", packed.rows, ", ", packed.cols,
                                    "); at most 2^30 rows and 2^28 columns are supported"));
    }
    check_workspace(workspace, delta_rows_workspace(packed), "arrange_delta_rows");
    const DeviceScope scope(stream, "arrange_delta_rows");
    const double size = static_cast<double>(packed.rows) * static_cast<double>(packed.cols);
    bits_ = choose_width(size > 0 ? static_cast<double>(packed.slots) / size : 0.0, packed.dtype);
    view_.rows = static_cast<int>(packed.rows);
    view_.cols = static_cast<int>(packed.cols);
    if (packed.rows == 0) return;

    auto* counts = static_cast<int*>(workspace.data);
    visit_item(packed.dtype, [&](auto item) {
      visit_width(bits_, [&](auto bits) {
        count_slots<decltype(item), bits>
            <<<row_blocks(packed.rows), 32 * rows_a_block, 0, native(stream)>>>(
                packed, ignored_bits(packed.dtype), counts);
      });
    });
    check_launch("arrange_delta_rows");
    std::vector<int> slots(static_cast<std::size_t>(packed.rows));
    check(cudaMemcpyAsync(slots.data(), counts, slots.size() * sizeof(int), cudaMemcpyDeviceToHost,
                          native(stream)),
          "arrange_delta_rows");
    check(cudaStreamSynchronize(native(stream)), "arrange_delta_rows");

    view_.blocks = std::min(device_properties(stream.device).multiprocessors, max_blocks);
    const int steps = visit_width(bits_, [](auto bits) { return DistanceCode<bits>::steps; });
    plan_ = plan(slots, view_.blocks, steps);
    view_.groups = plan_.groups;
    std::copy(plan_.block_unit.begin(), plan_.block_unit.end(), view_.block_unit);
    visit_item(packed.dtype, [&](auto item) {
      visit_width(bits_, [&](auto bits) {
        stream_bytes_ = std::size_t(plan_.units) * unit_bytes<decltype(item), bits>;
      });
    });
  }

  std::size_t bytes() const override {
    return aligned(stream_bytes_) + aligned(plan_.row.size() * sizeof(int)) +
           aligned(scale_bytes()) + aligned(plan_.group_step.size() * sizeof(int)) +
           aligned(plan_.worker.size() * sizeof(Worker)) + aligned(start_bytes()) +
           aligned(plan_.owner.size() * sizeof(int));
  }

  void fill(const PackedView& packed, void* memory, Workspace, Stream stream) override {
    if (view_.rows == 0) return;
    const DeviceScope scope(stream, "arrange_delta_rows");
    auto* at = static_cast<std::uint8_t*>(memory);
    const auto take = [&](std::size_t bytes) { return std::exchange(at, at + aligned(bytes)); };
    const auto copy = [&](const auto& table) {
      const std::size_t bytes = table.size() * sizeof(table[0]);
      void* to = take(bytes);
      check(cudaMemcpyAsync(to, table.data(), bytes, cudaMemcpyHostToDevice, native(stream)),
            "arrange_delta_rows");
      return to;
    };
    std::uint8_t* values = take(stream_bytes_);
    view_.row = static_cast<const int*>(copy(plan_.row));
    auto* scale = has_scales(dtype_) ? reinterpret_cast<float*>(take(scale_bytes())) : nullptr;
    view_.group_step = static_cast<const int*>(copy(plan_.group_step));
    view_.worker = static_cast<const Worker*>(copy(plan_.worker));
    void* start = take(start_bytes());
    view_.owner = static_cast<const int*>(copy(plan_.owner));
    view_.stream = values;
    view_.scale = scale;
    view_.start = start;
    check(cudaMemsetAsync(values, 0, stream_bytes_, native(stream)), "arrange_delta_rows");
    check(cudaMemsetAsync(start, 0, start_bytes(), native(stream)), "arrange_delta_rows");
    check(cudaMemsetAsync(scale, 0, scale_bytes(), native(stream)), "arrange_delta_rows");
    visit_item(packed.dtype, [&](auto item) {
      visit_width(bits_, [&](auto bits) {
        fill_group<decltype(item), bits><<<plan_.groups, 512, 0, native(stream)>>>(
            packed, ignored_bits(packed.dtype), view_, values, scale, start);
      });
    });
    check_launch("arrange_delta_rows");
    // An overlapped product reads the stream before it waits for the kernels before it.
    check(cudaStreamSynchronize(native(stream)), "arrange_delta_rows");
  }

  void unpack(const ArrayView& dense, Stream stream, bool scaled) const override {
    check_dense(dense, view_.rows, view_.cols);
    if (view_.rows == 0) return;
    const DeviceScope scope(stream, "unpack");
    visit_dense(dense.dtype, "dense", [&](auto tag) {
      using T = typename decltype(tag)::type;
      visit_packed(dtype_, [&](auto value) {
        visit_width(bits_, [&](auto bits) {
          unpack_group<typename decltype(value)::type, bits>
              <<<plan_.groups, 512, 0, native(stream)>>>(view_, scaled, static_cast<T*>(dense.data),
                                                         dense.strides[0], dense.strides[1]);
        });
      });
    });
    check_launch("unpack");
  }

  std::size_t workspace_bytes(std::int64_t) const override { return delta_rows::workspace_bytes; }

  void matmul(const ArrayView& x, const ArrayView& y, Workspace workspace, Stream stream,
              bool overlap, const void* bias) const override {
    const std::int64_t vectors = check_vectors(x, y, view_.rows, view_.cols);
    check_workspace(workspace, workspace_bytes(vectors), "packed_matmul");
    if (view_.rows == 0) return;
    const DeviceScope scope(stream, "packed_matmul");
    const std::size_t item = item_size(x.dtype);
    const bool has_overlap = device_properties(stream.device).compute_capability >= 90;
    const bool adds_bias = visit_width(bits_, [](auto bits) { return has_vectors<bits>; });
    const std::int64_t at_once = visit_width(bits_, [&](auto bits) {
      return has_vectors<bits> ? delta_rows::workspace_bytes / partial_bytes(view_.blocks) : 1;
    });
    for (std::int64_t i = 0; i < vectors; i += at_once) {
      const Launch launch{view_,
                          bits_,
                          static_cast<const char*>(x.data) + item * view_.cols * i,
                          static_cast<char*>(y.data) + item * view_.rows * i,
                          adds_bias ? bias : nullptr,
                          static_cast<int>(std::min(at_once, vectors - i)),
                          static_cast<std::uint64_t*>(workspace.data),
                          (overlap || i > 0) && has_overlap,
                          stream.device,
                          native(stream)};
      check(matvec(dtype_, x.dtype, launch), "packed_matmul");
    }
    if (bias != nullptr && !adds_bias) {
      add_to_rows(y.dtype, y.data, vectors, view_.rows, bias, stream);
    }
  }

 private:
  std::size_t scale_bytes() const {
    return has_scales(dtype_) ? plan_.row.size() * sizeof(float) : 0;
  }
  std::size_t start_bytes() const {
    return 16 * plan_.worker.size() * (narrow_starts(view_.cols) ? 2 : 4);
  }

  PackedDType dtype_;
  int bits_ = 8;
  std::size_t stream_bytes_ = 0;
  View view_{};
  Plan plan_;
};

}  // namespace
}  // namespace delta_rows

std::size_t delta_rows_workspace(const PackedView& packed) {
  return sizeof(int) * static_cast<std::size_t>(packed.rows);
}

std::unique_ptr<Arrangement> arrange_delta_rows(const PackedView& packed, Workspace workspace,
                                                Stream stream) {
  return std::make_unique<delta_rows::DeltaRows>(packed, workspace, stream);
}

}  // namespace gossamer::cuda
