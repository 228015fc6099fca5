// SPDX-License-Identifier: Apache-2.0
// C entry points of best/delta_rows_matvec.cuh for bench.py: arrange on the CPU, launch on a stream.
#include "best/delta_rows_matvec.cuh"

using namespace gossamer;

template <class Bytes>
static DeltaRowsHost* arrange(const void* m, const float* scale, int rows, int cols, int bits, int blocks, int warps) {
  auto v = (const Bytes*)m;
  switch (bits) {
    case 3: return new DeltaRowsHost(arrange_delta_rows<Bytes, 3>(v, scale, rows, cols, blocks, warps));
    case 4: return new DeltaRowsHost(arrange_delta_rows<Bytes, 4>(v, scale, rows, cols, blocks, warps));
    case 6: return new DeltaRowsHost(arrange_delta_rows<Bytes, 6>(v, scale, rows, cols, blocks, warps));
    case 8: return new DeltaRowsHost(arrange_delta_rows<Bytes, 8>(v, scale, rows, cols, blocks, warps));
  }
  return nullptr;
}

extern "C" void* delta_rows_arrange(const void* m, int itemsize, const float* scale, int rows, int cols, int bits, int blocks, int warps) {
  switch (itemsize) {
    case 1: return arrange<uint8_t>(m, scale, rows, cols, bits, blocks, warps);
    case 2: return arrange<uint16_t>(m, scale, rows, cols, bits, blocks, warps);
    case 4: return arrange<uint32_t>(m, scale, rows, cols, bits, blocks, warps);
  }
  return nullptr;
}

/// The arrays of an arrangement, in the order of DeltaRows and block_unit last; returns the number of groups.
extern "C" int delta_rows_arrays(void* handle, const void** data, size_t* bytes) {
  auto& a = *(DeltaRowsHost*)handle;
  auto set = [&](int i, auto& v) { data[i] = v.data(), bytes[i] = v.size() * sizeof(v[0]); };
  set(0, a.stream), set(1, a.place), set(2, a.group_step), set(3, a.worker), set(4, a.start), set(5, a.owner), set(6, a.block_unit);
  return a.groups;
}
extern "C" void delta_rows_free(void* handle) { delete (DeltaRowsHost*)handle; }

struct Call {
  const DeltaRows& a;
  const void* x;
  void* y;
  bool overlap;
  cudaStream_t stream;
};

template <class V, class X, int Bits>
static int launch(int variant, const Call& c) {
  constexpr int kHalf = DeltaCode<Bits>::kSteps / 2 * (sizeof(V) == 4 ? 2 : 1);
  auto go = [&]<int Depth, bool Ring>() { return delta_rows_matvec<V, X, Bits, Depth, Ring>(c.a, (const X*)c.x, (X*)c.y, c.overlap, c.stream); };
  if constexpr (std::is_same_v<V, __half> && std::is_same_v<V, X> && Bits != 6) {
    switch (variant) {
      case 4: return go.template operator()<4 / kHalf, false>();
      case 103: return go.template operator()<3, true>();
      case 104: return go.template operator()<4 / kHalf, true>();
    }
  }
  return go.template operator()<6 / kHalf, false>();
}

template <class V, class X>
static int launch(int bits, int variant, const Call& c) {
  switch (bits) {
    case 3: return launch<V, X, 3>(variant, c);
    case 4: return launch<V, X, 4>(variant, c);
    case 6: return launch<V, X, 6>(variant, c);
    case 8: return launch<V, X, 8>(variant, c);
  }
  return -1;
}

/// variant: 6 or 4 units in registers, 103 or 104: a ring of 3 or 4 units in shared memory (float16 only).
/// dtypes: 0 float16, 1 bfloat16, 2 float32, 3 int8, 4 float8_e4m3.
extern "C" int delta_rows_launch(int vtype, int xtype, int bits, int variant, const DeltaRows* a, const void* x, void* y, int overlap,
                                 void* stream) {
  using namespace delta_rows;
  const Call c{*a, x, y, overlap != 0, (cudaStream_t)stream};
  switch (vtype * 10 + xtype) {
    case 0: return launch<__half, __half>(bits, variant, c);
    case 2: return launch<__half, float>(bits, variant, c);
    case 11: return launch<__nv_bfloat16, __nv_bfloat16>(bits, variant, c);
    case 22: return launch<float, float>(bits, variant, c);
    case 30: return launch<Int8, __half>(bits, variant, c);
    case 31: return launch<Int8, __nv_bfloat16>(bits, variant, c);
    case 40: return launch<__nv_fp8_e4m3, __half>(bits, variant, c);
  }
  return -1;
}
