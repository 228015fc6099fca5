// SPDX-License-Identifier: Apache-2.0
// Packed rows times many columns where the processor multiplies bfloat16 tiles (AMX): 16 times as
// fast as vectors of float32. The values are bfloat16 or what that holds exactly; X is split into
// parts that are, three for float32, each at most 2^-8 of the one before, so that all products are
// exact and only sums, of float32, round.
//
// Each panel of columns is summed from its smallest products on, beginning with zero: what a
// product of a first part is rounded with stays at no more additions than the row has nonzeros.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/packed_matmul/packed_matmul_tiles_cpu.cpp"
#include "simd/targets.hpp"
// targets.hpp precedes foreach_target.hpp, which it configures.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if GOSSAMER_HAS_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

#include "formats/packed.hpp"
#include "ops/packed_matmul/dense_operands.hpp"
#include "ops/packed_matmul/packed_matmul_tiles.hpp"
#include "ops/packed_matmul/packed_matmul_tuning.hpp"
#include "ops/packed_matmul/row_cursors-inl.hpp"
#include "simd/expand-inl.hpp"

#if GOSSAMER_HAS_AMX && HWY_TARGET == HWY_AVX3_DL

HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",amx-tile,amx-bf16")
namespace gossamer {
namespace HWY_NAMESPACE {
namespace {

// ---- Parts --------------------------------------------------------------------------------------

/// Moduli of nonzeros that tiles may meet, as bfloat16: they take subnormal parts and results for
/// zero.
inline constexpr std::uint16_t smallest_word = (127 - 50) << 7;
inline constexpr std::uint16_t largest_word = (127 + 60) << 7;

/// Whether all elements are zero or of such a modulus.
class Range {
 public:
  // An implicit constructor would lack this file's instructions.
  Range() : largest_(_mm512_setzero_si512()), smallest_(_mm512_set1_epi32(-1)) {}

  HWY_INLINE void note(__m512i words) {
    const __m512i modulus = _mm512_and_si512(words, _mm512_set1_epi16(0x7fff));
    largest_ = _mm512_max_epu16(largest_, modulus);
    // Zero becomes the largest number.
    const __m512i before = _mm512_sub_epi16(modulus, _mm512_set1_epi16(1));
    smallest_ = _mm512_min_epu16(smallest_, before);
  }

  bool holds() const {
    const __m512i one = _mm512_set1_epi16(1);
    return _mm512_cmpgt_epu16_mask(largest_, _mm512_set1_epi16(largest_word)) == 0 &&
           _mm512_cmplt_epu16_mask(smallest_,
                                   _mm512_sub_epi16(_mm512_set1_epi16(smallest_word), one)) == 0;
  }

 private:
  __m512i largest_, smallest_;
};

/// The upper halves of 32 bits: words 2i of `even`, words 2i + 1 of `odd`.
HWY_INLINE __m512i upper_words(__m512i even, __m512i odd) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  // (odd & upper) | (even >> 16)
  return _mm512_ternarylogic_epi32(_mm512_srli_epi32(even, 16), odd, upper, 0xf8);
}

/// The nearest bfloat16 as a float; takes it off the float.
HWY_INLINE __m512i take_part(__m512& value) {
  const __m512i part =
      _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(value), _mm512_set1_epi32(0x8000)),
                       _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
  value = _mm512_sub_ps(value, _mm512_castsi512_ps(part));
  return part;
}

/// Writes `Parts` parts of 32 floats, `plane` words apart: those of `even` in words 2i, those of
/// `odd` in words 2i + 1.
template <int Parts>
HWY_INLINE void write_parts(__m512 even, __m512 odd, std::int64_t plane,
                            std::uint16_t* HWY_RESTRICT to, Range& range) {
  if constexpr (Parts == 1) {
    _mm512_store_si512(to, upper_words(_mm512_castps_si512(even), _mm512_castps_si512(odd)));
  } else {
    const __m512i words = upper_words(take_part(even), take_part(odd));
    range.note(words);
    _mm512_store_si512(to, words);
    if constexpr (Parts == 3) {
      _mm512_store_si512(to + plane, upper_words(take_part(even), take_part(odd)));
    }
    // What is left is a bfloat16.
    _mm512_store_si512(to + (Parts - 1) * plane,
                       upper_words(_mm512_castps_si512(even), _mm512_castps_si512(odd)));
  }
}

/// Writes a block of 64 columns of a bitmap, in the order of block_order.
template <class V>
HWY_INLINE void write_block(const V* HWY_RESTRICT values, std::uint64_t mask,
                            std::uint16_t* HWY_RESTRICT to, Range& range) {
  __m512i words[2];
  if constexpr (std::is_same_v<V, bfloat16>) {
    words[0] = expand_words(values, mask);
    words[1] = expand_words(values + std::popcount(static_cast<std::uint32_t>(mask)), mask >> 32);
    range.note(words[0]);
    range.note(words[1]);
  } else if constexpr (std::is_same_v<V, float8_e4m3>) {
    BlockExpansion<V>::expand_block_words(values, mask, words);
  } else {
    FloatVec expanded[block_vectors];
    BlockExpansion<V>::expand_block(values, mask, expanded);
    for (int half = 0; half < 2; ++half) {
      words[half] = upper_words(_mm512_castps_si512(expanded[2 * half].raw),
                                _mm512_castps_si512(expanded[2 * half + 1].raw));
    }
  }
  _mm512_store_si512(to, words[0]);
  _mm512_store_si512(to + 32, words[1]);
}

using BlockOrder = std::array<std::uint8_t, 64>;

/// The column of each word of a block that upper_words makes of two vectors after two.
inline constexpr BlockOrder order_by_halves = [] {
  BlockOrder order{};
  for (unsigned word = 0; word < 64; ++word) {
    order[word] = static_cast<std::uint8_t>(word / 32 * 32 + word % 2 * 16 + word % 32 / 2);
  }
  return order;
}();

/// The same for write_block.
template <class V>
inline constexpr BlockOrder block_order = [] {
  BlockOrder order = order_by_halves;
  for (unsigned word = 0; word < 64; ++word) {
    if (std::is_same_v<V, bfloat16>) order[word] = static_cast<std::uint8_t>(word);
    if (std::is_same_v<V, float8_e4m3>) {
      order[word] = static_cast<std::uint8_t>(word % 32 / 8 * 16 + word / 32 * 8 + word % 8);
    }
  }
  return order;
}();

// ---- Tiles --------------------------------------------------------------------------------------

/// All eight tile registers with 16 rows of 64 bytes, while it lives.
class TileRegisters {
 public:
  TileRegisters() {
    struct {
      std::uint8_t palette = 1, start = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {};
      std::uint8_t rows[16] = {};
    } config;
    std::fill_n(config.row_bytes, 8, std::uint16_t{64});
    std::fill_n(config.rows, 8, std::uint8_t{16});
    _tile_loadconfig(&config);
  }
  ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

inline constexpr std::int64_t panel_columns = tuning::packed_panel_columns;
/// Rows a multiple of 512 bytes apart would share places in the L1 cache: a line more.
inline constexpr std::int64_t panel_stride = panel_columns + 32;

/// sums += two tiles of rows times `Blocks` blocks of X's columns, over some steps.
template <int Blocks>
void multiply_steps(const std::uint16_t* HWY_RESTRICT rows, const TilesOfX& x, std::int64_t block,
                    std::int64_t first, std::int64_t steps, float* HWY_RESTRICT sums) {
  constexpr std::int64_t row_bytes = panel_stride * 2;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int part = x.parts - 1; part >= 0; --part) {
    const std::uint16_t* x0 = x.tile(block, part, first);
    const std::uint16_t* x1 = Blocks == 2 ? x.tile(block + 1, part, first) : nullptr;
    for (std::int64_t step = 0; step < steps; ++step) {
      _tile_loadd(4, rows + step_columns * step, row_bytes);
      _tile_loadd(5, rows + step_columns * step + tile_rows * panel_stride, row_bytes);
      _tile_loadd(6, x0 + tile_words * step, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 5, 6);
      if constexpr (Blocks == 2) {
        _tile_loadd(7, x1 + tile_words * step, 64);
        _tile_dpbf16ps(2, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
  alignas(64) float partial[Blocks][tile_pair_rows][16];
  _tile_stored(0, partial[0][0], 64);
  _tile_stored(1, partial[0][tile_rows], 64);
  if constexpr (Blocks == 2) {
    _tile_stored(2, partial[1][0], 64);
    _tile_stored(3, partial[1][tile_rows], 64);
  }
  for (std::int64_t r = 0; r < tile_pair_rows; ++r, sums += x.width) {
    for (int b = 0; b < Blocks; ++b) {
      _mm512_store_ps(sums + 16 * b,
                      _mm512_add_ps(_mm512_load_ps(sums + 16 * b), _mm512_load_ps(partial[b][r])));
    }
  }
}

/// Some rows of P, and the buffers of their product with X.
template <class V>
class TilePanels {
 public:
  TilePanels(const PackedView& packed, const TilesOfX& x, std::int64_t begin, std::int64_t end)
      : packed_(packed),
        x_(x),
        rows_(end - begin),
        padded_rows_((rows_ + tile_pair_rows - 1) / tile_pair_rows * tile_pair_rows),
        lines_(packed.slots / packed.rows * panel_columns / packed.cols *
                   static_cast<std::int64_t>(sizeof(V)) / 64 +
               1),
        panel_(aligned_floats(padded_rows_ * panel_stride / 2)),
        cursors_(packed, begin, end, panel_columns) {
    std::fill(words(rows_), words(padded_rows_), std::uint16_t{0});
  }

  /// sums = the rows times X, with room for a multiple of tile_pair_rows. Returns whether all
  /// values were in range.
  bool multiply(float* sums) {
    std::fill(sums, sums + padded_rows_ * x_.width, 0.0f);
    const TileRegisters registers;
    for (std::int64_t j = 0; j < packed_.cols; j += panel_columns) {
      const std::int64_t limit = std::min(packed_.cols, j + panel_columns);
      for (std::int64_t r = 0; r < rows_; ++r) expand_row(r, j, limit);
      multiply_panel(j / step_columns, whole_blocks(limit - j) / step_columns, sums);
    }
    return range_.holds();
  }

 private:
  /// Steps take blocks whole, within which columns have any order.
  static std::int64_t whole_blocks(std::int64_t columns) {
    return (columns + block_columns - 1) / block_columns * block_columns;
  }

  std::uint16_t* words(std::int64_t r) {
    return reinterpret_cast<std::uint16_t*>(panel_.get()) + r * panel_stride;
  }

  void expand_row(std::int64_t r, std::int64_t first, std::int64_t limit) {
    std::uint16_t* to = words(r);
    Range range = range_;
    if (cursors_.reads_whole(r, block_columns)) {
      const V* values = cursors_.values(r);
      const std::uint8_t* bits = cursors_.bits(r, first);
      for (std::int64_t j = 0; j < limit - first; j += block_columns) {
        std::uint64_t mask = 0;
        // A row is padded to 32 columns only.
        std::memcpy(&mask, bits + j / 8, 4);
        if (first + j + 32 < packed_.cols) std::memcpy(&mask, bits + j / 8, 8);
        write_block<V>(values, mask, to + j, range);
        values += std::popcount(mask);
      }
      cursors_.leave(r, values, limit);
      range_ = range;
      return;
    }
    alignas(64) float elements[panel_columns + block_columns];
    cursors_.expand_row(r, first, limit, elements);
    std::fill(elements + (limit - first), elements + (limit - first) + block_columns, 0.0f);
    for (std::int64_t j = 0; j < whole_blocks(limit - first); j += 32) {
      const __m512i words =
          upper_words(_mm512_load_si512(elements + j), _mm512_load_si512(elements + j + 16));
      if constexpr (std::is_same_v<V, bfloat16>) range.note(words);
      _mm512_store_si512(to + j, words);
    }
    range_ = range;
    if (packed_.format == PackedFormat::bitmap && block_order<V> != order_by_halves) {
      for (std::int64_t j = 0; j < limit - first; j += block_columns) reorder(to + j);
    }
  }

  /// Takes a block from the order of upper_words to that of write_block.
  static void reorder(std::uint16_t* block) {
    std::uint16_t in_order[64];
    for (int word = 0; word < 64; ++word) in_order[order_by_halves[word]] = block[word];
    for (int word = 0; word < 64; ++word) block[word] = in_order[block_order<V>[word]];
  }

  void multiply_panel(std::int64_t first, std::int64_t steps, float* sums) {
    for (std::int64_t c = 0; c < x_.width;) {
      const int blocks = c + 32 <= x_.width ? 2 : 1;
      for (std::int64_t r = 0; r < padded_rows_; r += tile_pair_rows) {
        fetch_values(r, lines_ * c / x_.width, lines_ * (c + 16 * blocks) / x_.width);
        fetch_x(c / 16, blocks, first + steps, steps * 8 * r / padded_rows_,
                steps * 8 * (r + tile_pair_rows) / padded_rows_);
        (blocks == 2 ? multiply_steps<2> : multiply_steps<1>)(words(r), x_, c / 16, first, steps,
                                                              sums + r * x_.width + c);
      }
      c += 16 * blocks;
    }
  }

  /// Fetches what the next panel reads of two tiles of rows: the processor foresees no row's.
  void fetch_values(std::int64_t r, std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = r; i < std::min(r + tile_pair_rows, rows_); ++i) {
      const auto* from = reinterpret_cast<const std::uint8_t*>(cursors_.values(i));
      for (std::int64_t line = begin; line < end; ++line) {
        __builtin_prefetch(from + 64 * line, 0, 2);
      }
    }
  }

  /// Fetches pairs of lines of the tiles from step `first` on, which may lie in memory.
  void fetch_x(std::int64_t block, int blocks, std::int64_t first, std::int64_t begin,
               std::int64_t end) const {
    for (int b = 0; b < blocks; ++b) {
      for (int part = 0; part < x_.parts; ++part) {
        const std::uint16_t* from = x_.tile(block + b, part, first);
        for (std::int64_t line = 2 * begin; line < 2 * end; ++line) {
          __builtin_prefetch(from + 32 * line, 0, 2);
        }
      }
    }
  }

  const PackedView& packed_;
  const TilesOfX& x_;
  std::int64_t rows_, padded_rows_, lines_;
  AlignedFloats panel_;
  RowCursors<V> cursors_;
  Range range_;
};

bool TileProducts(const PackedView& packed, const TilesOfX& x, std::int64_t begin, std::int64_t end,
                  float* sums) {
  const bool in_range = visit_packed(packed.dtype, [&](auto tag) {
    using V = typename decltype(tag)::type;
    if constexpr (std::is_same_v<V, float> || std::is_same_v<V, float16>) {
      return false;
    } else {
      return TilePanels<V>(packed, x, begin, end).multiply(sums);
    }
  });
  for (std::int64_t i = begin; packed.scales != nullptr && i < end; ++i) {
    for (std::int64_t c = 0; c < x.width; ++c) *sums++ *= packed.scales[i];
  }
  return in_range;
}

/// The column of P that each of 64 words of its panels holds.
const std::uint8_t* TileOrder(const PackedView& packed) {
  if (packed.format != PackedFormat::bitmap) return order_by_halves.data();
  return visit_packed(packed.dtype,
                      [](auto tag) { return block_order<typename decltype(tag)::type>.data(); });
}

template <int Parts>
bool split_block(const float* rows, const std::uint8_t* order, const TilesOfX& x,
                 std::int64_t first, std::uint16_t* tiles) {
  Range range;
  const std::int64_t plane = x.steps * tile_words;
  for (std::int64_t c = 0; c < x.width; c += 16) {
    for (std::int64_t j = 0; j < x_block_rows; j += 2) {
      const __m512 even = _mm512_load_ps(rows + order[j] * x.width + c);
      const __m512 odd = _mm512_load_ps(rows + order[j + 1] * x.width + c);
      std::uint16_t* to =
          tiles + (x.tile(c / 16, 0, first + j / step_columns) - x.data) + j % step_columns * 16;
      write_parts<Parts>(even, odd, plane, to, range);
      if (Parts == 1) range.note(_mm512_load_si512(to));
    }
  }
  return range.holds();
}

/// Writes x_block_rows rows of X, `width` apart, as the tiles of two steps. Returns whether they
/// were in range.
bool SplitBlock(const float* rows, const std::uint8_t* order, const TilesOfX& x, std::int64_t first,
                std::uint16_t* tiles) {
  const auto split = x.parts == 3 ? split_block<3> : x.parts == 2 ? split_block<2> : split_block<1>;
  return split(rows, order, x, first, tiles);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace gossamer
HWY_POP_ATTRIBUTES
#endif

#if HWY_ONCE && GOSSAMER_HAS_AMX
namespace gossamer {

bool tiles_are_permitted() {
  constexpr int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM of Linux 5.16
  static const bool permitted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return permitted;
}

LoadedTiles load_tiles(const PackedView& packed, const PackedMatmulOperand& x, std::size_t first,
                       std::size_t count) {
  const auto columns = static_cast<std::int64_t>(count);
  const std::int64_t width = (columns + 15) / 16 * 16;
  const std::int64_t steps =
      (x.rows + x_block_rows - 1) / x_block_rows * (x_block_rows / step_columns);
  const int parts = x.dtype == DType::float32 ? 3 : x.dtype == DType::float16 ? 2 : 1;
  AlignedFloats data = aligned_floats(width * steps * step_columns * parts / 2);
  auto* const words = reinterpret_cast<std::uint16_t*>(data.get());
  const TilesOfX tiles{words, width, steps, parts};
  const std::uint8_t* order = N_AVX3_DL::TileOrder(packed);
  std::atomic<bool> in_range = true;
  const auto put = [&](std::int64_t j, std::int64_t rows, const BlockOfX& block) {
    const AlignedFloats padded = aligned_floats(x_block_rows * tiles.width);
    float* to = padded.get();
    for (std::int64_t r = 0; r < x_block_rows; ++r, to += tiles.width) {
      const float* from = block.data + r * block.row_stride;
      for (std::int64_t c = 0; c < tiles.width; ++c) {
        to[c] = r < rows && c < columns ? from[c * block.column_stride] : 0.0f;
      }
    }
    if (!N_AVX3_DL::SplitBlock(padded.get(), order, tiles, j / step_columns, words))
      in_range = false;
  };
  std::vector<std::size_t> not_finite = load_blocks(x, first, count, put);
  return {std::move(data), tiles, std::move(not_finite), in_range};
}

bool tile_products(const PackedView& packed, const TilesOfX& x, std::int64_t begin,
                   std::int64_t end, float* sums) {
  return N_AVX3_DL::TileProducts(packed, x, begin, end, sums);
}

}  // namespace gossamer
#endif  // HWY_ONCE
