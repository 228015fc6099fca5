// SPDX-License-Identifier: Apache-2.0
// Counts and fills the arrangement of bitmap_tiles.hpp, by way of the dense matrix.
#include <algorithm>
#include <vector>

#include "core/message.hpp"
#include "cuda/packed_values.cuh"
#include "cuda/runtime.hpp"
#include "formats/packed.hpp"
#include "gossamer/cuda/packed.hpp"
#include "gossamer/errors.hpp"
#include "ops/packed_matmul/cuda/bitmap_tiles.hpp"
#include "ops/packed_matmul/cuda/packed_matmul_cuda_tuning.hpp"
#include "ops/packed_matmul/cuda/vectors.hpp"

namespace gossamer::cuda {
namespace bitmap_tiles {
namespace {

constexpr int tiles_a_block = 8;
constexpr std::int64_t most_rows = std::int64_t{1} << 22;
static_assert(most_rows / block_rows * sizeof(unsigned) <= zeroed_workspace);

struct Dense {
  const std::uint16_t* data;
  int rows, cols, row_tiles, col_tiles;

  __device__ unsigned element(int row, int col) const {
    return row < rows && col < cols ? data[std::size_t(row) * cols + col] : 0;
  }
};

/// The pair of elements of a lane and register of a tile, and which of the two are not zero.
struct Pair {
  unsigned low, high, mask;
  __device__ Pair(const Dense& dense, int tile, int lane, int reg) {
    const int row = tile / dense.col_tiles * tile_rows + register_row(lane, reg);
    const int col = tile % dense.col_tiles * tile_cols + register_col(lane, reg);
    low = dense.element(row, col);
    high = dense.element(row, col + 1);
    mask = ((low & 0x7fff) != 0 ? 1 : 0) | ((high & 0x7fff) != 0 ? 2 : 0);
  }
};

__device__ int tile_of_warp() { return blockIdx.x * tiles_a_block + threadIdx.x / 32; }

/// A warp counts the elements of a tile.
__global__ void count_tiles(Dense dense, int* counts) {
  const int tile = tile_of_warp(), lane = threadIdx.x % 32;
  if (tile >= dense.row_tiles * dense.col_tiles) return;
  unsigned count = 0;
  for (int reg = 0; reg < 16; ++reg) count += __popc(Pair(dense, tile, lane, reg).mask);
  count = __reduce_add_sync(~0u, count);
  if (lane == 0) counts[tile] = static_cast<int>(count);
}

/// A warp writes a tile.
__global__ void fill_tiles(Dense dense, const std::uint32_t* offset, std::uint8_t* stream) {
  const int tile = tile_of_warp(), lane = threadIdx.x % 32;
  if (tile >= dense.row_tiles * dense.col_tiles) return;
  std::uint8_t* to = stream + 16 * std::size_t(offset[tile]);
  auto* masks = reinterpret_cast<std::uint32_t*>(to);
  auto* values = reinterpret_cast<std::uint16_t*>(to + mask_bytes);
  const unsigned half = lane < 16 ? 0xffffu : 0xffff0000u;
  const int shift = 2 * (lane % 16);
  int before = 0;
  for (int reg = 0; reg < 16; ++reg) {
    const Pair pair(dense, tile, lane, reg);
    const unsigned word = __reduce_or_sync(half, pair.mask << shift);
    const unsigned first = __shfl_sync(~0u, word, 0), second = __shfl_sync(~0u, word, 16);
    if (lane % 16 == 0) masks[lane + reg] = word;
    int at = before + (lane < 16 ? 0 : __popc(first)) + __popc(word & ((1u << shift) - 1));
    if (pair.mask & 1) values[at++] = static_cast<std::uint16_t>(pair.low);
    if (pair.mask & 2) values[at] = static_cast<std::uint16_t>(pair.high);
    before += __popc(first) + __popc(second);
  }
}

/// The way back: the dense matrix, by a warp a tile.
template <class T>
__global__ void unpack_tiles(View a, Dense shape, DType dtype, T* dense, std::int64_t row_stride,
                             std::int64_t col_stride) {
  const int tile = tile_of_warp(), lane = threadIdx.x % 32;
  if (tile >= shape.row_tiles * shape.col_tiles) return;
  const std::uint8_t* from = a.stream + 16 * std::size_t(a.offset[tile]);
  const auto* masks = reinterpret_cast<const std::uint32_t*>(from);
  const auto* values = reinterpret_cast<const std::uint16_t*>(from + mask_bytes);
  const int shift = 2 * (lane % 16);
  int before = 0;
  for (int reg = 0; reg < 16; ++reg) {
    const unsigned first = masks[reg], second = masks[16 + reg];
    const unsigned word = lane < 16 ? first : second;
    int at = before + (lane < 16 ? 0 : __popc(first)) + __popc(word & ((1u << shift) - 1));
    const int row = tile / shape.col_tiles * tile_rows + register_row(lane, reg);
    for (int e = 0; e < 2; ++e) {
      const int col = tile % shape.col_tiles * tile_cols + register_col(lane, reg) + e;
      const std::uint16_t bits = word >> (shift + e) & 1 ? values[at++] : 0;
      if (row >= a.rows || col >= a.cols) continue;
      const float value =
          dtype == DType::float16 ? widened(float16{bits}) : widened(bfloat16{bits});
      dense[row * row_stride + col * col_stride] = narrowed<T>(value);
    }
    before += __popc(first) + __popc(second);
  }
}

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

std::int64_t tiles_of(const PackedView& packed) {
  return (packed.rows + tile_rows - 1) / tile_rows * ((packed.cols + tile_cols - 1) / tile_cols);
}

std::size_t dense_bytes(const PackedView& packed) {
  return aligned(static_cast<std::size_t>(packed.rows * packed.cols) * sizeof(std::uint16_t));
}

class BitmapTiles final : public Arrangement {
 public:
  BitmapTiles(const PackedView& packed, Workspace workspace, Stream stream) {
    if (!has_bitmap_tiles(packed, stream.device)) {
      throw InvalidArgument(message(
          "arrange_bitmap_tiles: a (", packed.rows, ", ", packed.cols, ") matrix of ",
          name(packed.dtype), " on device ", stream.device,
          "; it takes float16 and bfloat16, up to 2^23 tiles of 16x64 and 2^22 rows, on devices of "
          "compute capability 9.0"));
    }
    check_workspace(workspace, bitmap_tiles_workspace(packed), "arrange_bitmap_tiles");
    const DeviceScope scope(stream, "arrange_bitmap_tiles");
    dtype_ = packed.dtype == PackedDType::float16 ? DType::float16 : DType::bfloat16;
    view_.rows = static_cast<int>(packed.rows);
    view_.cols = static_cast<int>(packed.cols);
    multiprocessors_ = device_properties(stream.device).multiprocessors;
    const std::int64_t tiles = tiles_of(packed);
    if (tiles == 0) return;
    cuda::unpack(packed, ArrayView::contiguous(workspace.data, dtype_, {packed.rows, packed.cols}),
                 stream);
    const Dense dense = dense_in(workspace);
    auto* counts = reinterpret_cast<int*>(static_cast<char*>(workspace.data) + dense_bytes(packed));
    count_tiles<<<blocks(), 32 * tiles_a_block, 0, native(stream)>>>(dense, counts);
    check_launch("arrange_bitmap_tiles");
    std::vector<int> count(static_cast<std::size_t>(tiles));
    check(cudaMemcpyAsync(count.data(), counts, count.size() * sizeof(int), cudaMemcpyDeviceToHost,
                          native(stream)),
          "arrange_bitmap_tiles");
    check(cudaStreamSynchronize(native(stream)), "arrange_bitmap_tiles");
    offset_.assign(count.size() + 1, 0);
    for (std::size_t k = 0; k < count.size(); ++k) {
      const unsigned pieces = mask_bytes / 16 + (static_cast<unsigned>(count[k]) + 7) / 8;
      view_.largest = std::max(view_.largest, (16 * pieces + 127) / 128 * 128);
      offset_[k + 1] = offset_[k] + pieces;
    }
  }

  std::size_t bytes() const override {
    return offset_.empty() ? 0
                           : aligned(16 * std::size_t(offset_.back())) +
                                 aligned(offset_.size() * sizeof(std::uint32_t));
  }

  void fill(const PackedView&, void* memory, Workspace workspace, Stream stream) override {
    if (offset_.empty()) return;
    const DeviceScope scope(stream, "arrange_bitmap_tiles");
    auto* values = static_cast<std::uint8_t*>(memory);
    const std::size_t bytes = 16 * std::size_t(offset_.back());
    auto* offset = reinterpret_cast<std::uint32_t*>(values + aligned(bytes));
    check(cudaMemsetAsync(values, 0, bytes, native(stream)), "arrange_bitmap_tiles");
    check(cudaMemcpyAsync(offset, offset_.data(), offset_.size() * sizeof(std::uint32_t),
                          cudaMemcpyHostToDevice, native(stream)),
          "arrange_bitmap_tiles");
    fill_tiles<<<blocks(), 32 * tiles_a_block, 0, native(stream)>>>(dense_in(workspace), offset,
                                                                    values);
    check_launch("arrange_bitmap_tiles");
    // An overlapped product reads the stream before it waits for the kernels before it.
    check(cudaStreamSynchronize(native(stream)), "arrange_bitmap_tiles");
    view_.stream = values;
    view_.offset = offset;
  }

  void unpack(const ArrayView& dense, Stream stream, bool) const override {
    check_dense(dense, view_.rows, view_.cols);
    if (offset_.empty()) return;
    const DeviceScope scope(stream, "unpack");
    visit_dense(dense.dtype, "dense", [&](auto tag) {
      using T = typename decltype(tag)::type;
      unpack_tiles<<<blocks(), 32 * tiles_a_block, 0, native(stream)>>>(
          view_, dense_in({}), dtype_, static_cast<T*>(dense.data), dense.strides[0],
          dense.strides[1]);
    });
    check_launch("unpack");
  }

  std::size_t workspace_bytes(std::int64_t vectors) const override {
    return zeroed_workspace + sizeof(float) * splits(vectors) * padded_vectors(vectors) *
                                  std::size_t(row_blocks()) * block_rows;
  }

  void matmul(const ArrayView& x, const ArrayView& y, Workspace workspace, Stream stream,
              bool overlap) const override {
    const std::int64_t vectors = check_vectors(x, y, view_.rows, view_.cols);
    if (vectors > 64 || x.dtype != dtype_) {
      throw InvalidArgument(message("packed_matmul: X has ", vectors, " vectors of ", name(x.dtype),
                                    "; bitmap tiles take up to 64 of ", name(dtype_)));
    }
    check_workspace(workspace, workspace_bytes(vectors), "packed_matmul");
    if (vectors == 0 || view_.rows == 0) return;
    const DeviceScope scope(stream, "packed_matmul");
    if (view_.cols == 0) {
      check(cudaMemsetAsync(y.data, 0, item_size(y.dtype) * vectors * view_.rows, native(stream)),
            "packed_matmul");
      return;
    }
    check(bitmap_tiles::matmul(
              {view_, dtype_, x.data, y.data, static_cast<int>(vectors), splits(vectors),
               reinterpret_cast<float*>(static_cast<char*>(workspace.data) + zeroed_workspace),
               static_cast<unsigned*>(workspace.data), overlap, stream.device, native(stream)}),
          "packed_matmul");
  }

 private:
  int row_tiles() const { return (view_.rows + tile_rows - 1) / tile_rows; }
  int col_tiles() const { return (view_.cols + tile_cols - 1) / tile_cols; }
  int row_blocks() const { return (view_.rows + block_rows - 1) / block_rows; }
  unsigned blocks() const {
    return static_cast<unsigned>((std::int64_t{row_tiles()} * col_tiles() + tiles_a_block - 1) /
                                 tiles_a_block);
  }
  Dense dense_in(Workspace workspace) const {
    return {static_cast<const std::uint16_t*>(workspace.data), view_.rows, view_.cols, row_tiles(),
            col_tiles()};
  }
  /// Blocks that share rows: what fills the device in the fewest waves without leaving too much of
  /// the last one empty.
  int splits(std::int64_t vectors) const {
    const int resident = vectors <= 32 ? 3 : 2;  // blocks a multiprocessor, by __launch_bounds__
    const int most = std::max(1, view_.cols / tuning::bitmap_tiles_least_cols);
    int splits = 1;
    for (int waves = 1; waves <= tuning::bitmap_tiles_most_waves; ++waves) {
      const int slots = waves * multiprocessors_ * resident;
      splits = std::clamp(slots / std::max(row_blocks(), 1), 1, most);
      if (splits * row_blocks() >= slots * tuning::bitmap_tiles_filled) break;
    }
    return splits;
  }

  DType dtype_ = DType::float16;
  int multiprocessors_ = 0;
  View view_{};
  std::vector<std::uint32_t> offset_;
};

}  // namespace
}  // namespace bitmap_tiles

bool has_bitmap_tiles(const PackedView& packed, int device) {
  return (packed.dtype == PackedDType::float16 || packed.dtype == PackedDType::bfloat16) &&
         packed.rows <= bitmap_tiles::most_rows && bitmap_tiles::tiles_of(packed) <= (1 << 23) &&
         device_properties(device).compute_capability == 90;
}

std::size_t bitmap_tiles_workspace(const PackedView& packed) {
  return bitmap_tiles::dense_bytes(packed) +
         sizeof(int) * static_cast<std::size_t>(bitmap_tiles::tiles_of(packed));
}

std::unique_ptr<Arrangement> arrange_bitmap_tiles(const PackedView& packed, Workspace workspace,
                                                  Stream stream) {
  return std::make_unique<bitmap_tiles::BitmapTiles>(packed, workspace, stream);
}

}  // namespace gossamer::cuda
