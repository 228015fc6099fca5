// SPDX-License-Identifier: Apache-2.0
// Counts and fills the arrangement of bitmap_tiles.hpp, by way of the dense matrix.
#include <algorithm>
#include <vector>

#include "core/message.hpp"
#include "cuda/packed_rows.cuh"
#include "cuda/packed_values.cuh"
#include "cuda/runtime.hpp"
#include "formats/packed.hpp"
#include "gossamer/cuda/packed.hpp"
#include "gossamer/cuda/values.hpp"
#include "gossamer/errors.hpp"
#include "ops/packed_matmul/cuda/bitmap_tiles.hpp"
#include "ops/packed_matmul/cuda/vectors.hpp"

namespace gossamer::cuda {
namespace bitmap_tiles {
namespace {

constexpr std::int64_t most_rows = std::int64_t{1} << 22;

/// A matrix of 16-bit elements, and the tiles of its pairs: warp w of block p is tile w of pair p.
struct Dense {
  const std::uint16_t* data;
  int rows, cols;

  __device__ unsigned element(int row, int col) const {
    return row < rows && col < cols ? data[std::size_t(row) * cols + col] : 0;
  }
  __device__ int tile_row() const {
    return blockIdx.x / tile_columns() * pair_rows + threadIdx.x / 32 * tile_rows;
  }
  __device__ int tile_col() const { return blockIdx.x % tile_columns() * tile_cols; }

 private:
  __device__ unsigned tile_columns() const { return (cols + tile_cols - 1) / tile_cols; }
};

/// Which elements of a column of 16 rows are not zero.
__device__ unsigned column_mask(const Dense& dense, int row, int col) {
  unsigned mask = 0;
  for (int r = 0; r < tile_rows; ++r) {
    mask |= ((dense.element(row + r, col) & 0x7fff) != 0 ? 1u : 0u) << r;
  }
  return mask;
}

/// Values of the tile's first and second 32 columns.
struct HalfCounts {
  std::uint16_t first, second;
  __host__ __device__ unsigned padded_first() const { return (first + 3u) / 4 * 4; }
  __host__ __device__ unsigned bytes() const {
    return static_cast<unsigned>(sizeof(std::uint16_t)) * (padded_first() + second);
  }
};

__global__ void count_tiles(Dense dense, HalfCounts* counts) {
  const int lane = threadIdx.x % 32, row = dense.tile_row(), col = dense.tile_col();
  unsigned count[2];
  for (int half = 0; half < 2; ++half) {
    count[half] = __reduce_add_sync(
        all_lanes, __popc(column_mask(dense, row, col + column_at(32 * half + lane))));
  }
  if (lane == 0) {
    counts[blockIdx.x * pair_tiles + threadIdx.x / 32] = {static_cast<std::uint16_t>(count[0]),
                                                          static_cast<std::uint16_t>(count[1])};
  }
}

/// A warp writes a tile, a lane two of its columns.
__global__ void fill_tiles(Dense dense, const HalfCounts* counts, const std::uint32_t* offset,
                           std::uint8_t* stream) {
  __shared__ std::uint16_t masks_of_tiles[pair_tiles][tile_cols];
  const int tile = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int row = dense.tile_row(), col = dense.tile_col();
  std::uint8_t* pair = stream + 16 * std::size_t(offset[blockIdx.x]);
  counts += blockIdx.x * pair_tiles;
  const unsigned second = values_at + counts[0].bytes(), start = tile == 0 ? values_at : second;
  if (threadIdx.x == 0) *reinterpret_cast<std::uint32_t*>(pair) = second;
  auto* masks = masks_of_tiles[tile];
  for (int half = 0; half < 2; ++half) {
    const int place = 32 * half + lane, column = column_at(place);
    const unsigned mask = column_mask(dense, row, col + column);
    const int count = __popc(mask);
    int at = inclusive_scan(count) - count + (half == 0 ? 0 : counts[tile].padded_first());
    auto* values = reinterpret_cast<std::uint16_t*>(pair + start);
    for (int r = 0; r < tile_rows; ++r) {
      if (mask >> r & 1) {
        values[at++] = static_cast<std::uint16_t>(dense.element(row + r, col + column));
      }
    }
    const unsigned byte = lane < 31 ? count : half == 0 ? 0 : counts[tile].padded_first() / 4;
    pair[counts_at + tile_cols * tile + count_byte(place)] = static_cast<std::uint8_t>(byte);
    masks[column] = static_cast<std::uint16_t>(mask);
  }
  __syncwarp();
  std::uint32_t word = 0;
  for (int eight = 0; eight < tile_cols / 8; ++eight) {
    const unsigned four = masks[8 * eight + lane / 4] >> 4 * (lane % 4);
    for (int j = 0; j < 4; ++j) word |= (four >> j & 1) << (8 * j + eight);
  }
  reinterpret_cast<std::uint32_t*>(pair + masks_at)[32 * tile + lane] = word;
}

/// The way back: the dense matrix, by a warp a tile.
template <class T>
__global__ void unpack_tiles(View a, Dense shape, DType dtype, T* dense, std::int64_t row_stride,
                             std::int64_t col_stride) {
  const int tile = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int row0 = shape.tile_row(), col0 = shape.tile_col();
  const std::uint8_t* pair = a.stream + 16 * std::size_t(a.offset[blockIdx.x]);
  const auto* masks = reinterpret_cast<const std::uint32_t*>(pair + masks_at) + 32 * tile;
  const auto* values = reinterpret_cast<const std::uint16_t*>(
      pair + (tile == 0 ? values_at : *reinterpret_cast<const std::uint32_t*>(pair)));
  for (int half = 0; half < 2; ++half) {
    const int column = column_at(32 * half + lane);
    unsigned mask = 0;
    for (int r = 0; r < tile_rows; ++r) {
      mask |= (masks[column % 8 * 4 + r / 4] >> (8 * (r % 4) + column / 8) & 1) << r;
    }
    const int end = inclusive_scan(__popc(mask));
    int at = end - __popc(mask);
    for (int r = 0; r < tile_rows; ++r) {
      const std::uint16_t bits = mask >> r & 1 ? values[at++] : 0;
      if (row0 + r >= a.rows || col0 + column >= a.cols) continue;
      const float value =
          dtype == DType::float16 ? widened(float16{bits}) : widened(bfloat16{bits});
      dense[(row0 + r) * row_stride + (col0 + column) * col_stride] = narrowed<T>(value);
    }
    values += (__shfl_sync(all_lanes, end, 31) + 3) / 4 * 4;
  }
}

std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

std::int64_t pairs_of(const PackedView& packed) {
  return (packed.rows + pair_rows - 1) / pair_rows * ((packed.cols + tile_cols - 1) / tile_cols);
}

std::size_t dense_bytes(std::int64_t rows, std::int64_t cols) {
  return aligned(static_cast<std::size_t>(rows * cols) * sizeof(std::uint16_t));
}

class BitmapTiles final : public Arrangement {
 public:
  BitmapTiles(const PackedView& packed, Workspace workspace, Stream stream) {
    if (!has_bitmap_tiles(packed, stream.device)) {
      throw InvalidArgument(message(
          "arrange_bitmap_tiles: a (", packed.rows, ", ", packed.cols, ") matrix of ",
          name(packed.dtype), " on device ", stream.device,
          "; it takes float16 and bfloat16, up to 2^22 pieces of 32x64 and 2^22 rows, on devices "
          "of compute capability 9.0"));
    }
    check_workspace(workspace, bitmap_tiles_workspace(packed), "arrange_bitmap_tiles");
    const DeviceScope scope(stream, "arrange_bitmap_tiles");
    dtype_ = packed.dtype == PackedDType::float16 ? DType::float16 : DType::bfloat16;
    view_.rows = static_cast<int>(packed.rows);
    view_.cols = static_cast<int>(packed.cols);
    multiprocessors_ = device_properties(stream.device).multiprocessors;
    pairs_ = static_cast<unsigned>(pairs_of(packed));
    if (pairs_ == 0) return;
    cuda::unpack(packed, ArrayView::contiguous(workspace.data, dtype_, {packed.rows, packed.cols}),
                 stream);
    const std::size_t tiles = std::size_t{pairs_} * pair_tiles;
    HalfCounts* counts = counts_in(workspace);
    count_tiles<<<pairs_, 32 * pair_tiles, 0, native(stream)>>>(dense_in(workspace), counts);
    check_launch("arrange_bitmap_tiles");
    std::vector<HalfCounts> count(tiles);
    check(cudaMemcpyAsync(count.data(), counts, tiles * sizeof(HalfCounts), cudaMemcpyDeviceToHost,
                          native(stream)),
          "arrange_bitmap_tiles");
    check(cudaStreamSynchronize(native(stream)), "arrange_bitmap_tiles");
    offset_.assign(pairs_ + 1, 0);
    for (std::size_t pair = 0; pair < pairs_; ++pair) {
      unsigned bytes = values_at;
      for (std::size_t tile = pair * pair_tiles; tile < (pair + 1) * pair_tiles; ++tile) {
        bytes += count[tile].bytes();
        view_.largest_tile = std::max(view_.largest_tile, count[tile].bytes());
      }
      view_.largest_pair = std::max(view_.largest_pair, bytes);
      offset_[pair + 1] = offset_[pair] + (bytes + 15) / 16;
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
    fill_tiles<<<pairs_, 32 * pair_tiles, 0, native(stream)>>>(
        dense_in(workspace), counts_in(workspace), offset, values);
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
      unpack_tiles<<<pairs_, 32 * pair_tiles, 0, native(stream)>>>(
          view_, dense_in({}), dtype_, static_cast<T*>(dense.data), dense.strides[0],
          dense.strides[1]);
    });
    check_launch("unpack");
  }

  std::size_t workspace_bytes(std::int64_t vectors) const override {
    if (takes_few(vectors)) return 0;
    return partial_bytes(padded_vectors(vectors), multiprocessors_);
  }

  void matmul(const ArrayView& x, const ArrayView& y, Workspace workspace, Stream stream,
              bool overlap, const void* bias) const override {
    const std::int64_t vectors = check_vectors(x, y, view_.rows, view_.cols);
    if (x.dtype != dtype_) {
      throw InvalidArgument(message("packed_matmul: X is ", name(x.dtype), "; bitmap tiles of ",
                                    name(dtype_), " take ", name(dtype_)));
    }
    check_workspace(workspace, workspace_bytes(vectors), "packed_matmul");
    if (vectors == 0 || view_.rows == 0) return;
    const DeviceScope scope(stream, "packed_matmul");
    if (view_.cols == 0) {
      check(cudaMemsetAsync(y.data, 0, item_size(y.dtype) * vectors * view_.rows, native(stream)),
            "packed_matmul");
    }
    for (std::int64_t begin = 0; view_.cols > 0 && begin < vectors; begin += most_vectors) {
      const auto part = [&](void* data, int length) {
        return static_cast<std::uint16_t*>(data) + begin * length;
      };
      const Launch launch{view_,
                          dtype_,
                          part(x.data, view_.cols),
                          part(y.data, view_.rows),
                          static_cast<int>(std::min<std::int64_t>(vectors - begin, most_vectors)),
                          multiprocessors_,
                          workspace.data,
                          overlap,
                          stream.device,
                          native(stream)};
      check(takes_few(launch.vectors) ? matmul_few(launch) : matmul_many(launch), "packed_matmul");
    }
    if (bias != nullptr) add_to_rows(y.dtype, y.data, vectors, view_.rows, bias, stream);
  }

 private:
  /// Whether matmul_few takes them: not where its blocks, which share no rows, would leave more
  /// than a tenth of the multiprocessors idle on average. H200, 16 vectors, float16 at 50%:
  /// 11008x4096 25.7 us by matmul_few, 20.9 by matmul_many; 4096x4096 11.0 and 11.6.
  bool takes_few(std::int64_t vectors) const {
    const int rows = view_.row_pairs(), rounds = (rows + multiprocessors_ - 1) / multiprocessors_;
    return vectors <= few_vectors && (rounds == 1 || 10 * rounds * multiprocessors_ <= 11 * rows);
  }
  Dense dense_in(Workspace workspace) const {
    return {static_cast<const std::uint16_t*>(workspace.data), view_.rows, view_.cols};
  }
  /// Behind the dense matrix, as the factory left them.
  HalfCounts* counts_in(Workspace workspace) const {
    return reinterpret_cast<HalfCounts*>(static_cast<char*>(workspace.data) +
                                         dense_bytes(view_.rows, view_.cols));
  }

  DType dtype_ = DType::float16;
  int multiprocessors_ = 0;
  View view_{};
  unsigned pairs_ = 0;
  std::vector<std::uint32_t> offset_;
};

}  // namespace
}  // namespace bitmap_tiles

bool has_bitmap_tiles(const PackedView& packed, int device) {
  return (packed.dtype == PackedDType::float16 || packed.dtype == PackedDType::bfloat16) &&
         packed.rows <= bitmap_tiles::most_rows && bitmap_tiles::pairs_of(packed) <= (1 << 22) &&
         device_properties(device).compute_capability == 90;
}

std::size_t bitmap_tiles_workspace(const PackedView& packed) {
  return bitmap_tiles::dense_bytes(packed.rows, packed.cols) +
         sizeof(bitmap_tiles::HalfCounts) * bitmap_tiles::pair_tiles *
             static_cast<std::size_t>(bitmap_tiles::pairs_of(packed));
}

std::unique_ptr<Arrangement> arrange_bitmap_tiles(const PackedView& packed, Workspace workspace,
                                                  Stream stream) {
  return std::make_unique<bitmap_tiles::BitmapTiles>(packed, workspace, stream);
}

}  // namespace gossamer::cuda
