// SPDX-License-Identifier: Apache-2.0
// Bitonic sorting networks over a few vectors: no branch depends on the keys. After K. E. Batcher,
// Sorting networks and their applications (1968). Included once for each SIMD target.
#if defined(GOSSAMER_OPS_SPGEMM_SORTING_NETWORK_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef GOSSAMER_OPS_SPGEMM_SORTING_NETWORK_INL_HPP
#undef GOSSAMER_OPS_SPGEMM_SORTING_NETWORK_INL_HPP
#else
#define GOSSAMER_OPS_SPGEMM_SORTING_NETWORK_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Lane i becomes lane i ^ Flip.
template <int Flip, class D, class V = hn::Vec<D>>
HWY_INLINE V flip_lanes(D d, V v) {
  // Within 16 bytes a shuffle takes one cycle, across them four or more (Zen 5).
  if constexpr (Flip == 1) {
    return hn::Reverse2(d, v);
  } else if constexpr (Flip == 3) {
    return hn::Reverse4(d, v);
  } else if constexpr (Flip == 2 && sizeof(hn::TFromD<D>) == 4) {
    const hn::Repartition<std::uint64_t, D> pairs;
    return hn::BitCast(d, hn::Reverse2(pairs, hn::BitCast(pairs, v)));
  } else {
    const auto lane = hn::Xor(hn::Iota(d, 0), hn::Set(d, Flip));
    return hn::TableLookupLanes(v, hn::IndicesFromVec(d, lane));
  }
}

/// The numbers of vectors, for what is written out for each: in a loop they would not stay in
/// registers.
template <int Vectors>
constexpr auto each_of = std::make_integer_sequence<int, Vectors>();

/// exchange, of vector v and the one that it meets.
template <int Vectors, int Flip, int Upper, int v, class D, class V = hn::Vec<D>>
HWY_INLINE void exchange_vectors(D d, V* HWY_RESTRICT keys) {
  constexpr int partner = v ^ Flip % Vectors, lane_flip = Flip / Vectors;
  if constexpr (lane_flip == 0) {
    if constexpr ((v & Upper) != 0) return;
    const V low = hn::Min(keys[v], keys[partner]);
    keys[partner] = hn::Max(keys[v], keys[partner]);
    keys[v] = low;
  } else if constexpr (v <= partner) {
    const auto upper_bit = hn::Set(d, Upper / Vectors);
    const auto upper = hn::Eq(hn::And(hn::Iota(d, 0), upper_bit), upper_bit);
    const V own = flip_lanes<lane_flip>(d, keys[v]);
    const V others = v == partner ? own : flip_lanes<lane_flip>(d, keys[partner]);
    if constexpr (v < partner) {
      const V lower = hn::Min(keys[partner], own);
      keys[partner] = hn::IfThenElse(upper, hn::Max(keys[partner], own), lower);
    }
    keys[v] = hn::IfThenElse(upper, hn::Max(keys[v], others), hn::Min(keys[v], others));
  }
}

/// One step of the network. Of Vectors vectors, element lane of vector v is key v + Vectors * lane:
/// few steps move keys between lanes. Each key meets the one whose number differs in the bits of
/// Flip; the one whose number has the bit Upper becomes the larger.
template <int Vectors, int Flip, int Upper, class D, class V = hn::Vec<D>, int... v>
HWY_INLINE void exchange(D d, V* HWY_RESTRICT keys, std::integer_sequence<int, v...>) {
  (exchange_vectors<Vectors, Flip, Upper, v>(d, keys), ...);
}

/// Sorts each bitonic run of 2 * Distance keys.
template <int Vectors, int Distance, class D, class V = hn::Vec<D>>
HWY_INLINE void merge_keys(D d, V* HWY_RESTRICT keys) {
  if constexpr (Distance > 0) {
    exchange<Vectors, Distance, Distance>(d, keys, each_of<Vectors>);
    merge_keys<Vectors, Distance / 2>(d, keys);
  }
}

/// Sorts each run of Length keys.
template <int Vectors, int Length, class D, class V = hn::Vec<D>>
HWY_INLINE void sort_keys_of(D d, V* HWY_RESTRICT keys) {
  if constexpr (Length > 1) {
    sort_keys_of<Vectors, Length / 2>(d, keys);
    exchange<Vectors, Length - 1, Length / 2>(d, keys, each_of<Vectors>);
    merge_keys<Vectors, Length / 4>(d, keys);
  }
}

/// The lanes of two vectors in turns: the first half of them in `a`, the others in `b`.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void interleave(D d, V& a, V& b) {
  // By way of memory, which Highway has a function for.
  constexpr std::size_t lanes = hn::MaxLanes(d);
  HWY_ALIGN hn::TFromD<D> both[2 * lanes];
  hn::StoreInterleaved2(a, b, d, both);
  a = hn::Load(d, both);
  b = hn::Load(d, both + lanes);
}

/// Stores key v + Vectors * lane at its place.
template <int Vectors, class D, class V = hn::Vec<D>, class Key = hn::TFromD<D>>
HWY_INLINE void store_columns(D d, V* HWY_RESTRICT keys, Key* HWY_RESTRICT to) {
  if constexpr (Vectors == 1) {
    hn::StoreU(keys[0], d, to);
  } else if constexpr (Vectors == 2) {
    hn::StoreInterleaved2(keys[0], keys[1], d, to);
  } else if constexpr (Vectors == 4) {
    hn::StoreInterleaved4(keys[0], keys[1], keys[2], keys[3], d, to);
  } else {
    constexpr int half = Vectors / 2;
    for (int v = 0; v < half; ++v) interleave(d, keys[v], keys[v + half]);
    store_columns<half>(d, keys, to);
    store_columns<half>(d, keys + half, to + half * hn::MaxLanes(d));
  }
}

/// The vector v of the keys, where those from `count` on are the largest.
template <class D, class Key = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_keys(D d, const Key* keys, std::int64_t count, int v) {
  const std::int64_t first = v * static_cast<std::int64_t>(hn::MaxLanes(d));
  const auto valid =
      hn::FirstN(d, static_cast<std::size_t>(std::max<std::int64_t>(0, count - first)));
  return hn::IfThenElse(valid, hn::LoadU(d, keys + first),
                        hn::Set(d, std::numeric_limits<Key>::max()));
}

template <class D, class Key = hn::TFromD<D>, int... v>
HWY_INLINE void sort_vectors(D d, Key* HWY_RESTRICT keys, std::int64_t count,
                             std::integer_sequence<int, v...>) {
  constexpr int vectors = sizeof...(v);
  hn::Vec<D> of_keys[vectors] = {load_keys(d, keys, count, v)...};
  sort_keys_of<vectors, vectors* static_cast<int>(hn::MaxLanes(d))>(d, of_keys);
  store_columns<vectors>(d, of_keys, keys);
}

/// Keys that sort_network sorts at most; up to network_padding elements behind them are
/// overwritten.
constexpr std::int64_t network_keys = 128;
constexpr std::int64_t network_padding = 16;

/// Sorts `count` unsigned keys.
template <class Key>
HWY_NOINLINE void sort_network(Key* HWY_RESTRICT keys, std::int64_t count) {
  const hn::CappedTag<Key, 16> d;
  constexpr int lanes = static_cast<int>(hn::MaxLanes(d));
  if constexpr (lanes == 1) {
    std::sort(keys, keys + count);
  } else {
    if (count <= 16) return sort_vectors(d, keys, count, each_of<16 / lanes>);
    if (count <= 32) return sort_vectors(d, keys, count, each_of<32 / lanes>);
    if (count <= 64) return sort_vectors(d, keys, count, each_of<64 / lanes>);
    sort_vectors(d, keys, count, each_of<network_keys / lanes>);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
