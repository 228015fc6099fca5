// SPDX-License-Identifier: Apache-2.0
// Y = X A^T for the arrangement of bitmap_tiles.hpp and up to 16 rows of X. A block has some rows
// of pairs to itself and its warps share the columns, so that nothing is exchanged between blocks.
// Each warp has the copy engine bring its pairs into a ring of its own, expands them, and
// multiplies them by X, which comes to shared memory a column of tiles ahead; then the warps' sums
// are added in the order of the columns.
#include <algorithm>

#include "cuda/async_copy.cuh"
#include "cuda/launch.cuh"
#include "cuda/mbarrier.cuh"
#include "cuda/runtime.hpp"
#include "ops/packed_matmul/cuda/bitmap_tiles_decode.cuh"
#include "ops/packed_matmul/cuda/delta_rows_decode.cuh"
#include "ops/packed_matmul/cuda/packed_matmul_cuda_tuning.hpp"

namespace gossamer::cuda::bitmap_tiles {
namespace {

template <int Tiles>
inline constexpr int warps_for = tuning::bitmap_tiles_warps[Tiles - 1];
inline constexpr int most_stages = 8;
inline constexpr unsigned shared_bytes = 223 << 10;

/// A lane's sums for a row of pairs, as m16n8k16 leaves them.
template <int Tiles>
using Sums = float[pair_tiles][Tiles][4];

/// Bytes of a column of tiles of X: a warp's sums take as many.
template <int Tiles>
inline constexpr unsigned x_bytes = 16 * tile_cols * Tiles;
static_assert(x_bytes<1> == 32 * sizeof(Sums<1>));

/// Where things are in shared memory: a ring of stages and zeros for each warp, then its X of a
/// column of tiles or, when a row is complete, its sums.
struct Layout {
  unsigned stage, ring, rings, bytes;
  int stages;
  Layout(const View& a, int warps, unsigned sums)
      : stage((a.largest_pair + 15) / 16 * 16),
        ring((shared_bytes / warps - sums) / 16 * 16),
        stages(std::min<int>(most_stages, (ring - zero_bytes(a)) / stage)) {
    ring = stages * stage + zero_bytes(a);
    rings = (warps * ring + 127) / 128 * 128;
    bytes = rings + warps * sums;
  }
};

/// Four 8x8 matrices of 16-bit elements, a row at each lane's address.
__device__ __forceinline__ void load_matrices(unsigned* d, unsigned address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(address)
               : "memory");
}

/// The rows of pairs [begin, end) that are a block's. It takes Group at once, which share loads of
/// X.
template <int Group>
struct Rows {
  int begin, end;
  __device__ explicit Rows(const View& a)
      : begin(long(a.row_pairs()) * blockIdx.x / gridDim.x),
        end(long(a.row_pairs()) * (blockIdx.x + 1) / gridDim.x) {}
  /// Of the group from `row` on.
  __device__ int count(int row) const { return min(Group, end - row); }
};

/// One warp's pairs in the order of their use: of each group of rows the columns [first, last) of
/// tiles, and of each column the group's pairs. A lane has an offset, and the next ones are on
/// their way meanwhile.
template <int Group>
class Walk {
 public:
  __device__ Walk(const View& a, const Rows<Group>& rows, int first, int last)
      : a_(a), rows_(rows), first_(first), last_(last), row_(rows.begin), column_(first) {
    next_ = load();
  }

  /// Bounds of the next pair in units of 16 bytes; none are left where they are equal.
  __device__ uint2 next() {
    if (at_ == left_) {
      offset_ = next_;
      count_ = rows_.count(row_);
      at_ = 0;
      left_ = row_ < rows_.end ? count_ * min(lanes - 1, last_ - column_) : 0;
      column_ += lanes - 1;
      if (column_ >= last_) column_ = first_, row_ += Group;
      next_ = load();
    }
    const int from = count_ == 1 ? at_ : at_ % Group * lanes + at_ / Group;
    const uint2 bounds{__shfl_sync(~0u, offset_, from), __shfl_sync(~0u, offset_, from + 1)};
    if (left_ == 0) return {};
    ++at_;
    return bounds;
  }

 private:
  static constexpr int lanes = 32 / Group;  ///< for the offsets of a row
  __device__ unsigned load() const {
    const int lane = threadIdx.x % 32, row = row_ + lane / lanes;
    if (row >= rows_.end) return 0;
    return a_.offset[row * a_.tile_columns() + min(column_ + lane % lanes, last_)];
  }
  const View& a_;
  const Rows<Group>& rows_;
  int first_, last_, row_, column_, at_ = 0, left_ = 0, count_ = 0;
  unsigned offset_ = 0, next_;
};

/// A warp's ring of pairs.
struct Ring {
  unsigned base, stage, barriers;
  int stages;
  __device__ unsigned at(const RingPosition& p) const { return base + p.stage * stage; }
  __device__ unsigned full(const RingPosition& p) const { return barriers + 8 * p.stage; }
  /// Has the copy engine bring the next pair of the walk, if there is one, to a stage that the
  /// warp has left.
  template <int Group>
  __device__ void bring(const View& a, Walk<Group>& walk, const RingPosition& p) const {
    const uint2 bounds = walk.next();
    if (bounds.x == bounds.y || threadIdx.x % 32 != 0) return;
    mbarrier_arrive_expecting(full(p), 16 * (bounds.y - bounds.x));
    mbarrier_bulk_copy(at(p), a.stream + 16 * size_t(bounds.x), 16 * (bounds.y - bounds.x),
                       full(p));
  }
};

/// B fragments of 64 columns of X, by eight rows and eight columns, and their way there.
template <class V, int Tiles>
struct Vectors {
  unsigned b[Tiles][tile_cols / 8];
  __device__ static void copy(unsigned to, const VectorRows<V>& x, int column) {
    __syncwarp();  // what was there is loaded
    x.template copy<8 * Tiles>(to, column);
    async_commit();
  }
  /// Waits for the copy.
  __device__ void load(unsigned from) {
    async_wait<0>();
    __syncwarp();
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
#pragma unroll
      for (int i = 0; i < tile_cols / 8; i += 4)
        load_matrices(&b[n][i], from + swizzled(8 * n + threadIdx.x % 8, i + threadIdx.x % 32 / 8));
  }
};

/// Adds up the warps' sums for a row of pairs and writes them to Y.
template <class V, int Tiles>
__device__ void finish_rows(const Sums<Tiles>& sum, unsigned char* shared, V* y, int rows,
                            int batch, int pair_row) {
  constexpr int warps = warps_for<Tiles>, count = pair_tiles * Tiles * 32;  // of four sums, a warp
  auto* sums = reinterpret_cast<float4*>(shared);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < pair_tiles * Tiles; ++i) {
    const float (&s)[4] = sum[i / Tiles][i % Tiles];
    sums[warp * count + i * 32 + lane] = {s[0], s[1], s[2], s[3]};
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 4 * count; i += 32 * warps) {
    float total = 0;
#pragma unroll
    for (int w = 0; w < warps; ++w) total += reinterpret_cast<float*>(sums + w * count)[i];
    const int tile = i / 128 / Tiles, n = i / 128 % Tiles, from = i / 4 % 32;
    const int row = pair_row * pair_rows + tile * tile_rows + i % 4 / 2 * 8 + from / 4,
              vector = 8 * n + from % 4 * 2 + i % 2;
    if (row < rows && vector < batch) y[(long)vector * rows + row] = V(total);
  }
  __syncthreads();  // sums and X that follow overwrite these
}

/// Tiles: rows of X / 8. Group: rows of pairs at once. early: stages that are filled before X is
/// asked for.
template <class V, int Tiles, int Group>
__global__ void __launch_bounds__(32 * warps_for<Tiles>, 1)
    few_kernel(const __grid_constant__ View a, const __grid_constant__ Layout layout,
               const V* __restrict__ x, V* __restrict__ y, int batch, int early) {
  using Pair = delta_rows::Pair<V>;
  constexpr int warps = warps_for<Tiles>;
  extern __shared__ __align__(128) unsigned char shared[];
  __shared__ uint64_t barriers[warps][most_stages];
  __shared__ unsigned constant_table[32 * Constants::count];
  launch_dependents();
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), lane = threadIdx.x % 32;
  const Rows<Group> rows(a);
  const int first = a.tile_columns() * warp / warps, last = a.tile_columns() * (warp + 1) / warps;
  Walk<Group> walk(a, rows, first, last);
  const Ring ring{shared_address(shared) + warp * layout.ring, layout.stage,
                  shared_address(barriers[warp]), layout.stages};
  for (int s = 0; s < ring.stages; ++s)  // by one lane: as in matmul_many
    if (lane == 0) mbarrier_init(ring.barriers + 8 * s, 1);
  mbarrier_init_fence();
  __syncwarp();
  RingPosition position{ring.stages};
  for (int s = 0; s < early; ++s) ring.bring(a, walk, {ring.stages, s});
  const unsigned zeros_at = ring.stages * ring.stage;
  for (unsigned i = zeros_at + 16 * lane; i < layout.ring; i += 16 * 32)
    *reinterpret_cast<uint4*>(shared + warp * layout.ring + i) = {};
  if (warp < Constants::count) constant_table[threadIdx.x] = Constants::value(warp, lane);
  __syncthreads();
  const Constants constants(shared_address(constant_table));
  wait_for_launches_before();
  const VectorRows<V> x_rows(x, batch, a.cols);
  const unsigned x_at = shared_address(shared) + layout.rings + warp * x_bytes<Tiles>;
  for (int row = rows.begin; row < rows.end; row += Group) {
    const int count = rows.count(row);
    Sums<Tiles> sum[Group] = {};
    Vectors<V, Tiles> vectors;
    if (first < last) vectors.copy(x_at, x_rows, first * tile_cols);
    if (row == rows.begin)
      for (int s = early; s < ring.stages; ++s) ring.bring(a, walk, {ring.stages, s});
    for (int column = first; column < last; ++column) {
      vectors.load(x_at);
      if (column + 1 < last) vectors.copy(x_at, x_rows, (column + 1) * tile_cols);
#pragma unroll
      for (int pair = 0; pair < Group; ++pair) {
        if (pair >= count) break;
        mbarrier_wait(ring.full(position), position.round & 1);
        __syncwarp();  // with lane 0, whose copy it was
#pragma unroll
        for (int tile = 0; tile < pair_tiles; ++tile) {
          unsigned av[4][4];
          expand(av, constants, ring.at(position), tile, ring.base + zeros_at, [] {});
#pragma unroll
          for (int k = 0; k < 4; ++k) {
#pragma unroll
            for (int n = 0; n < Tiles; ++n) {
              const auto& b = vectors.b[n];
              delta_rows::product_mma(sum[pair][tile][n], av[k], (const Pair&)b[2 * k],
                                      (const Pair&)b[2 * k + 1]);
            }
          }
        }
        __syncwarp();
        ring.bring(a, walk, position);
        position.advance();
      }
    }
#pragma unroll
    for (int pair = 0; pair < Group; ++pair)
      if (pair < count)
        finish_rows<V, Tiles>(sum[pair], shared + layout.rings, y, a.rows, batch, row + pair);
  }
}

template <class V, int Tiles, int Group>
cudaError_t launch(const Launch& product) {
  auto* kernel = few_kernel<V, Tiles, Group>;
  static SharedMemoryLimit limit;
  if (const cudaError_t error = limit.raise(kernel, product.device, shared_bytes)) return error;
  constexpr int warps = warps_for<Tiles>;
  const Layout layout(product.a, warps, x_bytes<Tiles>);
  return launch_overlapped(kernel, std::min(product.blocks, product.a.row_pairs()), 32 * warps,
                           layout.bytes, product.stream, product.overlap, product.a, layout,
                           static_cast<const V*>(product.x), static_cast<V*>(product.y),
                           product.vectors, product.overlap ? layout.stages : 1);
}

/// Where a block has but one row of pairs, Group 1 is faster: 3% at 4096 rows.
template <class V, int Tiles>
cudaError_t launch(const Launch& product) {
  return product.a.row_pairs() <= product.blocks ? launch<V, Tiles, 1>(product)
                                                 : launch<V, Tiles, 2>(product);
}

template <class V>
cudaError_t launch(const Launch& product) {
  return product.vectors <= 8 ? launch<V, 1>(product) : launch<V, 2>(product);
}

}  // namespace

cudaError_t matmul_few(const Launch& product) {
  return product.dtype == DType::float16 ? launch<__half>(product) : launch<__nv_bfloat16>(product);
}

}  // namespace gossamer::cuda::bitmap_tiles
