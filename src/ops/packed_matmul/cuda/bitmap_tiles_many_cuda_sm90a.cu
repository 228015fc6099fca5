// SPDX-License-Identifier: Apache-2.0
// Y = X A^T for the arrangement of bitmap_tiles.hpp and up to 64 rows of X: one decode serves them
// all. One persistent block a multiprocessor takes an even share of the units of 128 rows x 64
// columns, and its two teams take turns at them. A team has a ring of stages of its own: a warp
// brings pairs, by the copy engine, another one X, and eight warps expand a tile each into A
// fragments, which wgmma multiplies by X in shared memory. At the end of its rows warps that have
// the same tiles of both teams add up, half of the vectors each. Of blocks that share rows the one
// that has their first columns adds up, or, where they share whole units, up to four of them a part
// each, in the order of the columns.
#include <algorithm>

#include "cuda/async_copy.cuh"
#include "cuda/launch.cuh"
#include "cuda/mbarrier.cuh"
#include "cuda/runtime.hpp"
#include "cuda/wgmma.cuh"
#include "ops/packed_matmul/cuda/bitmap_tiles_decode.cuh"

namespace gossamer::cuda::bitmap_tiles {
namespace {

inline constexpr int teams = 2;
inline constexpr int tiles = unit_pairs * pair_tiles;  ///< of a unit, each a warp's of a team
inline constexpr int warps = teams * tiles;            ///< that expand
inline constexpr int bringing_warps = 2;               ///< of a team
inline constexpr int threads = 32 * (warps + teams * bringing_warps);
inline constexpr unsigned most_stages = 32 / unit_pairs;
inline constexpr unsigned shared_bytes = 224 << 10;

/// Registers of a thread: warps that bring give most of theirs to those that expand.
inline constexpr int bringing_registers = 32, expanding_registers = 112;

/// Where things are in shared memory: for each team X of all stages, then for each stage of each
/// team a unit's pairs with zeros behind them, then what the teams exchange.
struct Layout {
  unsigned pair, zeros, pairs, x, exchange, bytes;
  int stages;
  Layout(const View& a, int vectors)
      : pair((a.largest_pair + 15) / 16 * 16),
        zeros(unit_pairs * pair),
        pairs(zeros + zero_bytes(a)),
        x(2 * tile_cols * vectors) {
    const unsigned exchanged = sizeof(float) * unit_rows * vectors / teams;
    stages = std::min(most_stages, (shared_bytes - exchanged) / (teams * (x + pairs)));
    exchange = teams * stages * (x + pairs);
    bytes = exchange + exchanged;
  }
  __device__ unsigned pairs_at(int team, int stage) const {
    return teams * stages * x + (team * stages + stage) * pairs;
  }
};

constexpr int row_units(const View& a) { return (a.rows + unit_rows - 1) / unit_rows; }

/// Units [first(s), first(s + 1)) are share s. Blocks have them in reverse order: the one that adds
/// up for others comes to these units last, and waits for blocks that were launched before it.
/// There are at most 2^22 units and fewer than 2^10 blocks.
struct Shares {
  unsigned units, count;
  __device__ unsigned mine() const { return count - 1 - blockIdx.x; }
  __device__ unsigned first(unsigned share) const { return units * share / count; }
  __device__ unsigned of(unsigned unit) const { return ((unit + 1) * count - 1) / units; }
};

/// A team's ring, and its units: every other one of the block's, which are before `last`.
struct Ring {
  unsigned base, barriers;
  const Layout& layout;
  int team;
  unsigned first, last;
  __device__ unsigned x_at(int stage) const {
    return base + (team * layout.stages + stage) * layout.x;
  }
  __device__ unsigned pairs_at(int stage) const { return base + layout.pairs_at(team, stage); }
  __device__ unsigned full(int stage) const { return barriers + 8 * stage; }
  __device__ unsigned empty(int stage) const { return barriers + 8 * (most_stages + stage); }
  /// By one lane: compute-sanitizer loses track of barriers that lanes initialize at once.
  __device__ void init_barriers() const {
    for (int s = 0; s < layout.stages; ++s) {
      if (threadIdx.x % 32 != 0) continue;
      mbarrier_init(full(s), unit_pairs + 32);
      mbarrier_init(empty(s), 32 * tiles);
    }
    mbarrier_init_fence();
  }
  /// Waits until the team left the stage.
  __device__ void wait_empty(const RingPosition& p) const {
    if (p.round > 0) mbarrier_wait(empty(p.stage), (p.round - 1) & 1);
  }
};

/// A lane's pair of its stage, one of each round, which it has the copy engine bring.
class LanePair {
 public:
  LanePair() = default;
  __device__ LanePair(const View& a, const Ring& ring) : unit_(ring.first + teams * stage()) {
    find(a, ring);
  }
  __device__ static int stage() { return threadIdx.x % 32 / unit_pairs; }
  /// Turns to the next round's.
  __device__ void bring(const View& a, const Ring& ring) {
    const unsigned bytes = 16 * (to_ - from_);
    mbarrier_arrive_expecting(ring.full(stage()), bytes);
    if (bytes != 0)
      mbarrier_bulk_copy(ring.pairs_at(stage()) + index() * ring.layout.pair,
                         a.stream + 16 * size_t(from_), bytes, ring.full(stage()));
    unit_ += teams * ring.layout.stages;
    find(a, ring);
  }

 private:
  __device__ static unsigned index() { return threadIdx.x % unit_pairs; }
  /// Asks where it is; waits for nothing. Behind the last rows it is the last pair again, whose
  /// sums are not stored there: warps of a warpgroup are not to differ in what they do.
  __device__ void find(const View& a, const Ring& ring) {
    from_ = to_ = 0;
    if (stage() >= ring.layout.stages || unit_ >= ring.last) return;
    const unsigned columns = a.tile_columns(),
                   row = min(unit_ / columns * unit_pairs + index(), a.row_pairs() - 1);
    const unsigned* offset = a.offset + (row * columns + unit_ % columns);
    from_ = offset[0], to_ = offset[1];
  }
  unsigned unit_, from_, to_;  ///< units of 16 bytes
};

/// The warp that brings a team's pairs.
__device__ void bring_pairs(const View& a, const Ring& ring, LanePair& pair) {
  RingPosition position{ring.layout.stages};
  for (unsigned unit = ring.first; unit < ring.last; unit += teams) {
    ring.wait_empty(position);
    if (pair.stage() == position.stage) pair.bring(a, ring);
    __syncwarp();
    position.advance();
  }
}

/// The warp that brings a team's X.
template <class V, int Tiles>
__device__ void bring_x(const VectorRows<V>& x, const Ring& ring, unsigned columns) {
  RingPosition position{ring.layout.stages};
  unsigned column = ring.first % columns;
  for (unsigned unit = ring.first; unit < ring.last; unit += teams) {
    ring.wait_empty(position);
    x.template copy<8 * Tiles>(ring.x_at(position.stage), column * tile_cols);
    if (x.aligned) {
      mbarrier_arrive_after_copies(ring.full(position.stage));
    } else {
      mbarrier_arrive(ring.full(position.stage));
    }
    position.advance();
    for (column += teams; column >= columns;) column -= columns;
  }
}

/// A barrier of the warps that have the same tile of both teams.
__device__ __forceinline__ void sync_tile(int tile) {
  asm volatile("bar.sync %0, %1;" ::"r"(1 + tile), "n"(32 * teams) : "memory");
}

/// Sums that blocks leave for each other come without fences or counters: a word of the workspace
/// is 0 until a sum is there, as the complement of its bits. No sum is the float whose bits are all
/// ones: an addition's NaN is 0x7fffffff.
__device__ __forceinline__ void send(uint4* to, const float (&sum)[4]) {
  asm volatile("st.relaxed.gpu.global.v4.u32 [%0],{%1,%2,%3,%4};" ::"l"(to),
               "r"(~__float_as_uint(sum[0])), "r"(~__float_as_uint(sum[1])),
               "r"(~__float_as_uint(sum[2])), "r"(~__float_as_uint(sum[3]))
               : "memory");
}
__device__ __forceinline__ uint4 look(const uint4* from) {
  uint4 v;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0,%1,%2,%3},[%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from)
               : "memory");
  return v;
}
__device__ __forceinline__ bool is_there(const uint4& v) {
  return v.x != 0 && v.y != 0 && v.z != 0 && v.w != 0;
}
__device__ __forceinline__ void add(float (&sum)[4], const uint4& sent) {
  sum[0] += __uint_as_float(~sent.x), sum[1] += __uint_as_float(~sent.y);
  sum[2] += __uint_as_float(~sent.z), sum[3] += __uint_as_float(~sent.w);
}

/// Waits for those sums that a bit of `asked` stands for.
template <int Looks, class From>
__device__ __forceinline__ void wait_for_sums(uint4 (&v)[Looks], unsigned asked, From&& from) {
  for (unsigned missing = asked, looked = asked; missing != 0;) {
#pragma unroll
    for (int i = 0; i < Looks; ++i)
      if (looked >> i & 1) v[i] = look(from(i));
    const unsigned before = missing;
#pragma unroll
    for (int i = 0; i < Looks; ++i)
      if (__all_sync(~0u, is_there(v[i]))) missing &= ~(1u << i);
    // Who waits for long looks at one only: else it would slow down what it waits for.
    looked = missing == before ? missing & -missing : missing;
  }
}

/// Adds up the sums of both teams: each takes half of the vectors. By way of shared memory.
template <int Half, int Tiles>
__device__ __forceinline__ void add_teams(float (&total)[Half][4], const float (&sum)[Tiles][4],
                                          float4* given, int team, int tile) {
  const auto give = [&](int n) {
    for (int i = 0; i < Half; ++i) {
      const float (&s)[4] = sum[n + i];
      given[32 * i] = {s[0], s[1], s[2], s[3]};
    }
  };
  const auto take = [&](int n) {
    for (int i = 0; i < Half; ++i) {
      const float4 v = given[32 * i];
      const float (&s)[4] = sum[n + i];
      total[i][0] = s[0] + v.x, total[i][1] = s[1] + v.y;
      total[i][2] = s[2] + v.z, total[i][3] = s[3] + v.w;
    }
  };
  if (team == 1) give(0);
  sync_tile(tile);
  if (team == 0) take(0), give(Half);
  sync_tile(tile);
  if (team == 1) take(Half);
}

/// Sums of one block for the rows of one unit: written to Y, or, of vectors that another block adds
/// up, to `partial` for that one. A warp has a tile's rows and the half of the vectors that is its
/// team's.
template <class V, int Tiles>
__device__ void finish_rows(const float (&sum)[Tiles][4], const View& a, V* y, int batch,
                            uint4* partial, const Shares& shares, unsigned row_unit,
                            float4* exchange) {
  constexpr int half = Tiles / teams, looks = 2 * half;  // for sums of others, at once
  unsigned thread = threadIdx.x, mine = shares.mine();
  asm volatile("" : "+r"(thread), "+r"(mine));  // nothing of it takes registers before
  const int warp = thread / 32, team = warp / tiles, tile = warp % tiles, lane = thread % 32;
  float total[half][4];
  add_teams(total, sum, exchange + tile * (half * 32) + lane, team, tile);
  const unsigned begin = row_unit * a.tile_columns(), first = shares.of(begin),
                 last = shares.of(begin + a.tile_columns() - 1), own = mine - first;
  // Where blocks share whole units of rows, each of the first ones adds up eight vectors of a team.
  const bool spread = shares.count % row_units(a) == 0 && last - first + 1 >= half;
  const auto part = [&](unsigned share, int n) {
    return partial + ((share * warps + warp) * half + n) * 32 + lane;
  };
#pragma unroll
  for (int n = 0; n < half; ++n)
    if (own != (spread ? n : 0)) send(part(mine, n), total[n]);
  if (own >= (spread ? half : 1)) return;
  if (spread)
#pragma unroll
    for (int n = 1; n < half; ++n)
      for (int k = 0; k < 4; ++k)
        if (own == n) total[0][k] = total[n][k];
  for (unsigned share = first + !spread; share <= last; share += spread ? looks : looks / half) {
    const auto share_of = [&](int i) { return share + (spread ? i : i / half); };
    const auto from = [&](int i) { return part(share_of(i), spread ? own : i % half); };
    uint4 v[looks];
    unsigned asked = 0;
#pragma unroll
    for (int i = 0; i < looks; ++i) {
      if (share_of(i) <= last && share_of(i) != mine) asked |= 1u << i;
      v[i] = {~0u, ~0u, ~0u, ~0u};
    }
    wait_for_sums(v, asked, from);
#pragma unroll
    for (int i = 0; i < looks; ++i) {
      if (spread) {
        add(total[0], v[i]);
      } else {
        add(total[i % half], v[i]);
      }
      if (asked >> i & 1) __stcg(from(i), uint4{});
    }
  }
  const int vector0 = team * (8 * half) + 2 * (lane % 4),
            row0 = row_unit * unit_rows + tile * tile_rows + lane / 4;
#pragma unroll
  for (int n = 0; n < half; ++n) {
    if (spread && n > 0) break;
    for (int k = 0; k < 4; ++k) {
      const int row = row0 + k / 2 * 8, vector = 8 * (spread ? own : n) + vector0 + k % 2;
      if (row < a.rows && vector < batch) y[(long)vector * a.rows + row] = V(total[n][k]);
    }
  }
}

/// Tiles: rows of X / 8.
template <class V, int Tiles>
__global__ void __launch_bounds__(threads, 1)
    many_kernel(const __grid_constant__ View a, const __grid_constant__ Layout layout,
                const V* __restrict__ x, V* __restrict__ y, uint4* partial, int batch) {
  extern __shared__ __align__(1024) unsigned char shared[];
  __shared__ uint64_t barriers[teams][2 * most_stages];
  __shared__ unsigned constant_table[32 * Constants::count];
  launch_dependents();
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0), lane = threadIdx.x % 32,
            col_units = a.tile_columns(), stages = layout.stages;
  const Shares shares{unsigned(row_units(a) * col_units), gridDim.x};
  const unsigned first = shares.first(shares.mine()), last = shares.first(shares.mine() + 1);
  const int team = warp < warps ? warp / tiles : (warp - warps) / bringing_warps;
  const Ring ring{
      shared_address(shared), shared_address(barriers[team]), layout, team, first + team, last};
  const int tile = warp % tiles;
  const bool brings_pairs = warp >= warps && (warp - warps) % bringing_warps == 0;
  LanePair pair;
  if (brings_pairs) {
    pair = LanePair(a, ring);  // what it asks for is on its way meanwhile
    ring.init_barriers();
  } else if (warp < warps) {
    for (int s = tile; s < stages; s += tiles)
      for (unsigned i = layout.zeros + 16 * lane; i < layout.pairs; i += 16 * 32)
        *reinterpret_cast<uint4*>(shared + layout.pairs_at(team, s) + i) = {};
    if (warp < Constants::count) constant_table[threadIdx.x] = Constants::value(warp, lane);
  }
  __syncthreads();
  if (warp >= warps) {
    set_registers<false, bringing_registers>();
    if (brings_pairs) {
      bring_pairs(a, ring, pair);  // the matrix is not of the kernel before, as X is
    } else {
      wait_for_launches_before();
      bring_x<V, Tiles>(VectorRows<V>(x, batch, a.cols), ring, col_units);
    }
    return;
  }
  set_registers<true, expanding_registers>();
  wait_for_launches_before();
  const Constants constants(shared_address(constant_table));
  float sum[Tiles][4];
  unsigned av[4][4] = {};
  RingPosition position{stages};
  int previous = -1;  // stage that the products under way read
  const auto leave = [&] {
    wgmma_wait();
    if (previous >= 0) mbarrier_arrive(ring.empty(previous));  // each lane, for what it loaded
  };
  unsigned unit = ring.first;
  for (unsigned row_unit = first / col_units; row_unit * col_units < last; ++row_unit) {
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
      for (int k = 0; k < 4; ++k) sum[n][k] = 0;
    const unsigned end = min(last, (row_unit + 1) * col_units);
    for (; unit < end; unit += teams) {
      const unsigned pairs = ring.pairs_at(position.stage);
      mbarrier_wait(ring.full(position.stage), position.round & 1);
      fence_for_tensor_cores();
      expand(av, constants, pairs + tile / pair_tiles * layout.pair, tile % pair_tiles,
             pairs + layout.zeros, leave);
      const uint64_t b = swizzled_descriptor(ring.x_at(position.stage));
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; ++k) wgmma<V, Tiles>(sum, av[k], b + (32 * k >> 4));
      wgmma_commit();
      previous = position.stage;
      position.advance();
    }
    leave();
    previous = -1;
    finish_rows<V, Tiles>(sum, a, y, batch, partial, shares, row_unit,
                          reinterpret_cast<float4*>(shared + layout.exchange));
  }
}

/// As many as the units keep busy; if 5% fewer make each row unit begin with a block, these: where
/// a block has the end of one and the begin of another, it sends or adds up sums twice. H200, 64
/// vectors, float16 at 50%: 4096x4096 14.0 us with 128 blocks, 16.6 with 132.
int blocks(const Launch& product) {
  const int rows = row_units(product.a),
            most = std::min(product.blocks, rows * product.a.tile_columns()),
            even = most / rows * rows;
  return 20 * even >= 19 * most ? even : most;
}

template <class V, int Tiles>
cudaError_t launch(const Launch& product) {
  auto* kernel = many_kernel<V, Tiles>;
  static SharedMemoryLimit limit;
  if (const cudaError_t error = limit.raise(kernel, product.device, shared_bytes)) return error;
  const Layout layout(product.a, 8 * Tiles);
  return launch_overlapped(kernel, blocks(product), threads, layout.bytes, product.stream,
                           product.overlap, product.a, layout, static_cast<const V*>(product.x),
                           static_cast<V*>(product.y), reinterpret_cast<uint4*>(product.partial),
                           product.vectors);
}

template <class V>
cudaError_t launch(const Launch& product) {
  switch (padded_vectors(product.vectors)) {
    case 16:
      return launch<V, 2>(product);
    case 32:
      return launch<V, 4>(product);
    default:
      return launch<V, 8>(product);
  }
}

}  // namespace

cudaError_t matmul_many(const Launch& product) {
  return product.dtype == DType::float16 ? launch<__half>(product) : launch<__nv_bfloat16>(product);
}

}  // namespace gossamer::cuda::bitmap_tiles
