// SPDX-License-Identifier: Apache-2.0
// Times one packed product over copies rotated past the cache, beside a plain read of as many bytes as the dense
// float32 matrix has. Minima and medians, interleaved, so that a busy machine disturbs both alike.
//   time_packed FORMAT DTYPE DENSITY ROWS COLS BATCH THREADS MEGABYTES [T]
#include <gossamer/packed.hpp>
#include <gossamer/simd.hpp>
#include <gossamer/threads.hpp>

#include <algorithm>
#include <cstdio>
#include <random>
#include <ctime>
#include <vector>

#include "core/threads.hpp"

namespace {

using namespace gossamer;

/// The clock: time on the processor for one thread, so that other processes do not count, else wall time.
double seconds() {
  timespec now;
  clock_gettime(num_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Packed {
  std::vector<std::int32_t> row_offsets;
  std::vector<std::uint8_t> values, positions;
  std::vector<float> scales;
  PackedView view;
};

Packed random_packed(PackedFormat format, PackedDType dtype, std::int64_t rows, std::int64_t cols,
                     double density) {
  std::mt19937 bits(1);
  std::vector<float> dense(static_cast<std::size_t>(rows * cols));
  const auto limit = static_cast<std::uint32_t>(density * 4294967295.0);
  for (float& x : dense) x = bits() < limit ? static_cast<float>(bits() % 2001) * 1e-3f - 1.0005f : 0.0f;
  const ArrayView view = ArrayView::contiguous(dense.data(), DType::float32, {rows, cols});
  std::vector<std::int64_t> counts(static_cast<std::size_t>(3 * rows));
  const double t0 = seconds();
  count_packed(view, 0.0, counts.data());
  const double t1 = seconds();
  Packed packed;
  packed.row_offsets.resize(static_cast<std::size_t>(rows) + 1);
  for (std::int64_t i = 0; i < rows; ++i) {
    packed.row_offsets[i + 1] = packed.row_offsets[i] + static_cast<std::int32_t>(counts[static_cast<int>(format) * rows + i]);
  }
  const PackedLayout layout = packed_layout(format, rows, cols, packed.row_offsets[rows]);
  packed.values.resize(layout.values * item_size(dtype));
  packed.positions.resize(layout.positions);
  PackedOutput out{format, dtype, DType::int32, packed.row_offsets.data(), nullptr, packed.values.data(), packed.positions.data()};
  if (has_scales(dtype)) {
    packed.scales.resize(rows);
    row_scales(view, 0.0, dtype, packed.scales.data());
    out.scales = packed.scales.data();
  }
  const double t2 = seconds();
  pack(view, 0.0, out);
  const double t3 = seconds();
  packed.view = {format, dtype, DType::int32, rows, cols, packed.row_offsets[rows], packed.values.data(), packed.positions.data(), packed.row_offsets.data(), packed.scales.empty() ? nullptr : packed.scales.data()};
  const double t4 = seconds();
  unpack(packed.view, view);
  const double t5 = seconds();
  const double gb = static_cast<double>(rows * cols) * 4e-9;
  std::printf("count %.2f GB/s, pack %.2f, unpack %.2f; ", gb / (t1 - t0), gb / (t3 - t2), gb / (t5 - t4));
  return packed;
}

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 9) return 1;
  const PackedFormat format = packed_format(argv[1]);
  const PackedDType dtype = packed_dtype(argv[2]);
  const double density = std::atof(argv[3]);
  const std::int64_t rows = std::atoll(argv[4]), cols = std::atoll(argv[5]), batch = std::atoll(argv[6]);
  set_num_threads(std::atoi(argv[7]));
  const double megabytes = std::atof(argv[8]);
  const bool transpose = argc > 9;
  const Packed first = random_packed(format, dtype, rows, cols, density);
  const double bytes = static_cast<double>(first.values.size() + first.positions.size() + first.row_offsets.size() * 4);
  const int copies = std::max(1, static_cast<int>(megabytes * 1e6 / bytes));
  std::vector<Packed> packed(copies, first);
  for (Packed& copy : packed) {
    copy.view.values = copy.values.data();
    copy.view.positions = copy.positions.data();
    copy.view.row_offsets = copy.row_offsets.data();
    copy.view.scales = copy.scales.empty() ? nullptr : copy.scales.data();
  }
  const std::int64_t in = transpose ? rows : cols, out = transpose ? cols : rows;
  std::vector<float> x(in * batch, 0.5f), y(out * batch);
  const ArrayView x_view = batch == 1 ? ArrayView::contiguous(x.data(), DType::float32, {in})
                                      : ArrayView::contiguous(x.data(), DType::float32, {in, batch});
  const ArrayView y_view = batch == 1 ? ArrayView::contiguous(y.data(), DType::float32, {out})
                                      : ArrayView::contiguous(y.data(), DType::float32, {out, batch});
  // The read: as many bytes as one packed copy has, from the copies themselves.
  std::vector<double> product, read;
  std::uint64_t sink = 0;
  const double until = seconds() + 0.7;
  for (int i = 0; seconds() < until || i < 2 * copies; ++i) {
    const Packed& copy = packed[i % copies];
    double start = seconds();
    packed_matmul(copy.view, x_view, y_view, transpose);
    product.push_back(seconds() - start);
    const Packed& other = packed[(i + copies / 2) % copies];
    start = seconds();
    const std::int64_t words = static_cast<std::int64_t>(other.values.size() / 64) * 8;
    std::uint64_t partial[64] = {};
    parallel_for(16, [&](std::int64_t piece) {
      const auto* from = reinterpret_cast<const std::uint64_t*>(other.values.data());
      std::uint64_t sums[8] = {};
      for (std::int64_t w = words * piece / 16 & ~7; w < (words * (piece + 1) / 16 & ~7); w += 8) {
        for (int k = 0; k < 8; ++k) sums[k] ^= from[w + k];
      }
      for (int k = 0; k < 8; ++k) partial[piece] ^= sums[k];
    });
    read.push_back((seconds() - start) * bytes / (static_cast<double>(words) * 8));
    for (std::uint64_t p : partial) sink ^= p;
    if (i > 3000) break;
  }
  const double low = *std::min_element(product.begin(), product.end()), low_read = *std::min_element(read.begin(), read.end());
  std::printf("%s %s d=%g %lldx%lld batch %lld %s, %d copies of %.1f MB, %s: min %.3f ms (%.1f GB/s), median %.3f; read min %.3f ms (%.1f GB/s), median %.3f; share %.2f; speed-up over dense at the read limit %.2f [%d]\n",
              argv[1], argv[2], density, (long long)rows, (long long)cols, (long long)batch, transpose ? "T" : "N", copies, bytes / 1e6, simd_target().c_str(), low * 1e3, bytes / low * 1e-9, median(product) * 1e3, low_read * 1e3, bytes / low_read * 1e-9, median(read) * 1e3, low_read / low,
              low_read / low * static_cast<double>(rows * cols) * 4 / bytes, (int)(sink & 1));
}
