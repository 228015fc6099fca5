// SPDX-License-Identifier: Apache-2.0
// The rates that bound a product with several columns: multiply-adds, loads of rows of X in order and at random, stores,
// each by one thread and by two, in sets that fit the first, second and third cache and none. AVX-512.
//   g++ -O3 -march=native -std=c++20 -pthread spmm_rates.cpp && ./a.out
#include <immintrin.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr std::int64_t line = 64;
volatile float sink;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Sixteen sums that depend on nothing but themselves.
void multiply_add(char*, std::int64_t bytes) {
  __m512 a = _mm512_set1_ps(1e-9f);
  const auto sums = [&]<std::size_t... S>(std::index_sequence<S...>) {
    __m512 sum[] = {_mm512_set1_ps(1e-9f * (S + 1))...};
    for (std::int64_t i = 0; i < bytes / line; i += 16) {
      ((sum[S] = _mm512_fmadd_ps(a, a, sum[S])), ...);
    }
    sink = (_mm512_reduce_add_ps(sum[S]) + ...);
  };
  sums(std::make_index_sequence<16>());
}

/// Rows of `Width` bytes in the order of `rows`, their lines `Shift` bytes past a cache line; as many rows at once as give
/// eight sums.
template <int Width, int Shift>
void read_rows(const char* memory, const std::vector<std::int32_t>& rows, std::int64_t ahead) {
  constexpr std::int64_t vectors = Width / line, together = 8 / vectors;
  const __m512 a = _mm512_set1_ps(1.0f);
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / together * together;
  const auto all = [&]<std::int64_t... S>(std::integer_sequence<std::int64_t, S...>) {
    __m512 sum[] = {((void)S, a)...};
    for (std::int64_t p = 0; p < count; p += together) {
      if (ahead > 0) {
        const auto ask = [&](std::int64_t r) {
          const char* next = memory + std::int64_t{rows[std::min(r + ahead, count - 1)]} * Width + Shift;
          for (int v = 0; v < vectors + (Shift != 0 && Width > line); ++v) _mm_prefetch(next + v * line, _MM_HINT_T0);
        };
        for (std::int64_t r = 0; r < together; ++r) ask(p + r);
      }
      ((sum[S] = _mm512_fmadd_ps(
            a, _mm512_loadu_ps(memory + std::int64_t{rows[p + S / vectors]} * Width + Shift + S % vectors * line), sum[S])), ...);
    }
    sink = (_mm512_reduce_add_ps(sum[S]) + ...);
  };
  all(std::make_integer_sequence<std::int64_t, 8>());
}

template <int Shift>
void read(char* memory, std::int64_t bytes) {
  __m512 sums[8] = {};
  for (std::int64_t i = 0; i < bytes; i += 8 * line) {
#pragma GCC unroll 8
    for (int v = 0; v < 8; ++v) {
      sums[v] = _mm512_add_ps(sums[v], _mm512_loadu_ps(memory + Shift + i + v * line));
      if (bytes > 8 << 20) _mm_prefetch(memory + i + v * line + 4096, _MM_HINT_T0);
    }
  }
  for (auto sum : sums) sink = _mm512_reduce_add_ps(sum);
}

void write(char* memory, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += line) _mm512_storeu_ps(memory + i, _mm512_set1_ps(1.0f));
}

void write_past(char* memory, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += line) _mm512_stream_ps(reinterpret_cast<float*>(memory + i), _mm512_set1_ps(1.0f));
  _mm_sfence();
}

/// Gigabytes a second of all threads together, the fastest of several rounds.
template <class Body>
double rate(int threads, std::int64_t bytes, Body body) {
  const std::int64_t repeats = std::max<std::int64_t>(1, (256 << 20) / bytes);
  double fastest = 1e9;
  std::barrier together(threads);
  std::vector<std::thread> team;
  for (int t = 0; t < threads; ++t) {
    team.emplace_back([&, t] {
      char* memory = static_cast<char*>(std::aligned_alloc(2 << 20, bytes + (4 << 20)));
      std::fill(memory, memory + bytes + (1 << 20), 0);
      body(t, memory, bytes);
      for (int round = 0; round < 7; ++round) {
        together.arrive_and_wait();
        const double start = now();
        for (std::int64_t r = 0; r < repeats; ++r) body(t, memory, bytes);
        together.arrive_and_wait();
        if (t == 0) fastest = std::min(fastest, now() - start);
      }
      std::free(memory);
    });
  }
  for (auto& thread : team) thread.join();
  return 1e-9 * static_cast<double>(threads * repeats * bytes) / fastest;
}

template <class Body>
void print(const char* name, std::int64_t bytes, Body body) {
  std::printf("%-34s %9ld KiB a thread %8.1f %8.1f GB/s\n", name, static_cast<long>(bytes >> 10), rate(1, bytes, body), rate(2, bytes, body));
}

template <int Width, int Shift>
void print_rows(const char* name, std::int64_t bytes, std::int64_t ahead) {
  std::vector<std::int32_t> rows(bytes / Width);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(i);
  std::shuffle(rows.begin(), rows.end(), std::mt19937(1));
  print(name, bytes, [&](int, char* memory, std::int64_t) { read_rows<Width, Shift>(memory, rows, ahead); });
}

}  // namespace

int main() {
  const std::int64_t sizes[] = {24 << 10, 512 << 10, 6 << 20, 128 << 20};
  // "Bytes" of a multiply-add are those of its result.
  print("multiply-adds of 64 bytes", 512 << 10, [](int, char* m, std::int64_t n) { multiply_add(m, n); });
  for (const auto bytes : sizes) {
    print("read in order", bytes, [](int, char* m, std::int64_t n) { read<0>(m, n); });
    print("read in order, 16 past a line", bytes, [](int, char* m, std::int64_t n) { read<16>(m, n); });
    print_rows<64, 0>("rows of 64 at random", bytes, 0);
    print_rows<64, 0>("rows of 64 at random, 32 ahead", bytes, 32);
    print_rows<64, 16>("same, 16 past a line, 32 ahead", bytes, 32);
    print_rows<256, 0>("rows of 256 at random, 16 ahead", bytes, 16);
    print_rows<256, 16>("same, 16 past a line, 16 ahead", bytes, 16);
    print_rows<512, 0>("rows of 512 at random, 16 ahead", bytes, 16);
    print_rows<512, 16>("same, 16 past a line, 16 ahead", bytes, 16);
    print("written", bytes, [](int, char* m, std::int64_t n) { write(m, n); });
    print("written past the caches", bytes, [](int, char* m, std::int64_t n) { write_past(m, n); });
  }
}
