// SPDX-License-Identifier: Apache-2.0
#include "ops/packed_matmul/cuda/delta_rows_matvec.cuh"

namespace gossamer::cuda::delta_rows {

template cudaError_t matvec<std::int8_t, __half>(const Launch&);
template cudaError_t matvec<std::int8_t, __nv_bfloat16>(const Launch&);
template cudaError_t matvec<std::int8_t, float>(const Launch&);

}  // namespace gossamer::cuda::delta_rows
