// SPDX-License-Identifier: Apache-2.0
#include "ops/packed_matmul/cuda/delta_rows_matvec.cuh"

namespace gossamer::cuda::delta_rows {

template cudaError_t matvec<__nv_fp8_e4m3, __half>(const Launch&);
template cudaError_t matvec<__nv_fp8_e4m3, __nv_bfloat16>(const Launch&);
template cudaError_t matvec<__nv_fp8_e4m3, float>(const Launch&);

}  // namespace gossamer::cuda::delta_rows
