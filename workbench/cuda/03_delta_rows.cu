// SPDX-License-Identifier: Apache-2.0
// C entry points of best/delta_rows_matvec.cuh for bench.py: arrange on the CPU, launch on a
// stream.
#include "best/delta_rows_matvec.cuh"

using namespace gossamer;

template <class Bytes>
static DeltaRowsHost* arrange(const void* m, const float* scale, int rows, int cols, int bits,
                              int blocks, int warps) {
  auto v = (const Bytes*)m;
  switch (bits) {
    case 3:
      return new DeltaRowsHost(arrange_delta_rows<Bytes, 3>(v, scale, rows, cols, blocks, warps));
    case 4:
      return new DeltaRowsHost(arrange_delta_rows<Bytes, 4>(v, scale, rows, cols, blocks, warps));
    case 6:
      return new DeltaRowsHost(arrange_delta_rows<Bytes, 6>(v, scale, rows, cols, blocks, warps));
    case 8:
      return new DeltaRowsHost(arrange_delta_rows<Bytes, 8>(v, scale, rows, cols, blocks, warps));
  }
  return nullptr;
}

extern "C" void* delta_rows_arrange(const void* m, int itemsize, const float* scale, int rows,
                                    int cols, int bits, int blocks, int warps) {
  switch (itemsize) {
    case 1:
      return arrange<uint8_t>(m, scale, rows, cols, bits, blocks, warps);
    case 2:
      return arrange<uint16_t>(m, scale, rows, cols, bits, blocks, warps);
    case 4:
      return arrange<uint32_t>(m, scale, rows, cols, bits, blocks, warps);
  }
  return nullptr;
}

/// The arrays of an arrangement, in the order of DeltaRows and block_unit last; returns the number
/// of groups.
extern "C" int delta_rows_arrays(void* handle, const void** data, size_t* bytes) {
  auto& a = *(DeltaRowsHost*)handle;
  auto set = [&](int i, auto& v) { data[i] = v.data(), bytes[i] = v.size() * sizeof(v[0]); };
  set(0, a.stream), set(1, a.place), set(2, a.group_step), set(3, a.worker), set(4, a.start),
      set(5, a.owner), set(6, a.block_unit);
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

template <class V, class X>
static int launch(int bits, const Call& c) {
  auto go = [&]<int Bits>() {
    return delta_rows_matvec<V, X, Bits>(c.a, (const X*)c.x, (X*)c.y, c.overlap, c.stream);
  };
  switch (bits) {
    case 3:
      return go.template operator()<3>();
    case 4:
      return go.template operator()<4>();
    case 6:
      return go.template operator()<6>();
    case 8:
      return go.template operator()<8>();
  }
  return -1;
}

/// dtypes: 0 float16, 1 bfloat16, 2 float32, 3 int8, 4 float8_e4m3.
extern "C" int delta_rows_launch(int vtype, int xtype, int bits, const DeltaRows* a, const void* x,
                                 void* y, int overlap, void* stream) {
  using namespace delta_rows;
  const Call c{*a, x, y, overlap != 0, (cudaStream_t)stream};
  switch (vtype * 10 + xtype) {
    case 0:
      return launch<__half, __half>(bits, c);
    case 2:
      return launch<__half, float>(bits, c);
    case 11:
      return launch<__nv_bfloat16, __nv_bfloat16>(bits, c);
    case 22:
      return launch<float, float>(bits, c);
    case 30:
      return launch<Int8, __half>(bits, c);
    case 31:
      return launch<Int8, __nv_bfloat16>(bits, c);
    case 40:
      return launch<__nv_fp8_e4m3, __half>(bits, c);
  }
  return -1;
}
