// SPDX-License-Identifier: Apache-2.0
// C entry points of best/bitmap_tiles_matmul.cuh for bench.py: arrange on the CPU, launch on a
// stream.
#include "best/bitmap_tiles_matmul.cuh"

using namespace gossamer;

extern "C" void* bitmap_tiles_arrange(const void* m, int rows, int cols) {
  return new BitmapTilesHost(arrange_bitmap_tiles((const uint16_t*)m, rows, cols));
}
/// Stream and offsets; returns the bytes of the largest tile.
extern "C" int bitmap_tiles_arrays(void* handle, const void** data, size_t* bytes) {
  auto& a = *(BitmapTilesHost*)handle;
  data[0] = a.stream.data(), bytes[0] = a.stream.size();
  data[1] = a.offset.data(), bytes[1] = a.offset.size() * 4;
  return a.largest;
}
extern "C" void bitmap_tiles_free(void* handle) { delete (BitmapTilesHost*)handle; }

template <class V>
static int launch(const BitmapTiles& a, const void* x, void* y, int batch, int splits, bool overlap,
                  cudaStream_t s) {
  if (batch <= 8)
    return bitmap_tiles_matmul<V, 1>(a, (const V*)x, (V*)y, batch, splits, overlap, s);
  if (batch <= 16)
    return bitmap_tiles_matmul<V, 2>(a, (const V*)x, (V*)y, batch, splits, overlap, s);
  if (batch <= 32)
    return bitmap_tiles_matmul<V, 4>(a, (const V*)x, (V*)y, batch, splits, overlap, s);
  return bitmap_tiles_matmul<V, 8>(a, (const V*)x, (V*)y, batch, splits, overlap, s);
}

/// type: 0 float16, 1 bfloat16.
extern "C" int bitmap_tiles_launch(int type, const BitmapTiles* a, const void* x, void* y,
                                   int batch, int splits, int overlap, void* stream) {
  auto s = (cudaStream_t)stream;
  return type ? launch<__nv_bfloat16>(*a, x, y, batch, splits, overlap, s)
              : launch<__half>(*a, x, y, batch, splits, overlap, s);
}
