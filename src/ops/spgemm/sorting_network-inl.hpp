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
#include <bit>
#include <cstdint>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Compares each lane with lane ^ Flip; of the two, the one whose number has the bit Upper keeps
/// the larger key.
template <int Flip, int Upper, class D, class V = hn::Vec<D>>
HWY_INLINE V exchange_lanes(D d, V keys) {
  const auto lane = hn::Iota(d, 0);
  const auto partner = hn::Xor(lane, hn::Set(d, Flip));
  const auto others = hn::TableLookupLanes(keys, hn::IndicesFromVec(d, partner));
  const auto upper = hn::Ne(hn::And(lane, hn::Set(d, Upper)), hn::Zero(d));
  return hn::IfThenElse(upper, hn::Max(keys, others), hn::Min(keys, others));
}

/// Sorts each bitonic run of 2 * Distance lanes.
template <int Distance, class D, class V = hn::Vec<D>>
HWY_INLINE V merge_lanes(D d, V keys) {
  if constexpr (Distance == 0) {
    return keys;
  } else {
    return merge_lanes<Distance / 2>(d, exchange_lanes<Distance, Distance>(d, keys));
  }
}

/// Sorts each run of Length lanes.
template <int Length, class D, class V = hn::Vec<D>>
HWY_INLINE V sort_lanes(D d, V keys) {
  if constexpr (Length == 1) {
    return keys;
  } else {
    const V halves = sort_lanes<Length / 2>(d, keys);
    return merge_lanes<Length / 4>(d, exchange_lanes<Length - 1, Length / 2>(d, halves));
  }
}

/// Sorts each bitonic run of 2 * Distance vectors; those beyond the last would hold no smaller key.
template <int Vectors, int Distance, class D, class V = hn::Vec<D>>
HWY_INLINE void merge_vectors(D d, V* keys) {
  if constexpr (Distance == 0) {
    for (int i = 0; i < Vectors; ++i) {
      keys[i] = merge_lanes<static_cast<int>(hn::MaxLanes(d)) / 2>(d, keys[i]);
    }
  } else {
    for (int i = 0; i < Vectors; ++i) {
      if ((i & Distance) || i + Distance >= Vectors) continue;
      const V low = hn::Min(keys[i], keys[i + Distance]);
      keys[i + Distance] = hn::Max(keys[i], keys[i + Distance]);
      keys[i] = low;
    }
    merge_vectors<Vectors, Distance / 2>(d, keys);
  }
}

/// Sorts each run of Length vectors.
template <int Vectors, int Length, class D, class V = hn::Vec<D>>
HWY_INLINE void sort_runs(D d, V* keys) {
  if constexpr (Length == 1) {
    for (int i = 0; i < Vectors; ++i) {
      keys[i] = sort_lanes<static_cast<int>(hn::MaxLanes(d))>(d, keys[i]);
    }
  } else {
    constexpr int half = Length / 2;
    sort_runs<Vectors, half>(d, keys);
    // A rising run and a falling one make a bitonic run: the second is read from its end.
    for (int first = 0; first + half < Vectors; first += Length) {
      const int missing = first + Length > Vectors ? first + Length - Vectors : 0;
      V falling[half];
      for (int i = missing; i < half; ++i) {
        falling[i] = hn::Reverse(d, keys[first + Length - 1 - i]);
      }
      for (int i = missing; i < half; ++i) {
        keys[first + half + i - missing] = hn::Max(keys[first + i], falling[i]);
        keys[first + i] = hn::Min(keys[first + i], falling[i]);
      }
    }
    merge_vectors<Vectors, half / 2>(d, keys);
  }
}

template <int Vectors, class D, class Key = hn::TFromD<D>>
HWY_INLINE void sort_vectors(D d, Key* HWY_RESTRICT keys) {
  constexpr int lanes = static_cast<int>(hn::MaxLanes(d));
  hn::Vec<D> v[Vectors];
  for (int i = 0; i < Vectors; ++i) v[i] = hn::LoadU(d, keys + i * lanes);
  sort_runs<Vectors, std::bit_ceil(static_cast<unsigned>(Vectors))>(d, v);
  for (int i = 0; i < Vectors; ++i) hn::StoreU(v[i], d, keys + i * lanes);
}

/// Keys that sort_network sorts at most; up to network_padding elements behind them are
/// overwritten.
constexpr std::int64_t network_keys = 128;
constexpr std::int64_t network_padding = 16;

template <int Keys, class D, class Key = hn::TFromD<D>>
HWY_INLINE void sort_at_most(D d, Key* HWY_RESTRICT keys, std::int64_t count) {
  constexpr int lanes = static_cast<int>(hn::MaxLanes(d));
  for (std::int64_t at = count; at < Keys; at += lanes) {
    hn::StoreU(hn::Set(d, std::numeric_limits<Key>::max()), d, keys + at);
  }
  sort_vectors<Keys / lanes>(d, keys);
}

/// Sorts `count` unsigned keys.
template <class Key>
HWY_NOINLINE void sort_network(Key* HWY_RESTRICT keys, std::int64_t count) {
  const hn::CappedTag<Key, 16> d;
  if constexpr (hn::MaxLanes(d) == 1) {
    std::sort(keys, keys + count);
  } else {
    if (count <= 16) return sort_at_most<16>(d, keys, count);
    if (count <= 32) return sort_at_most<32>(d, keys, count);
    if (count <= 48) return sort_at_most<48>(d, keys, count);
    if (count <= 64) return sort_at_most<64>(d, keys, count);
    if (count <= 96) return sort_at_most<96>(d, keys, count);
    sort_at_most<network_keys>(d, keys, count);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_AFTER_NAMESPACE();

#endif  // include guard for each target
