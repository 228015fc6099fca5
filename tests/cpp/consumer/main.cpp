// SPDX-License-Identifier: Apache-2.0
#include <gossamer/gossamer.hpp>
#include <vector>

int main() {  // [[1, 2], [0, 3]] times [1, 1]
  using namespace gossamer;
  const std::vector<int> indptr{0, 2, 3}, indices{0, 1, 1};
  const std::vector<float> values{1, 2, 3}, x{1, 1};
  std::vector<float> y(2);
  const CsrPattern pattern{2, 2, 3, DType::int32, indptr.data(), indices.data()};
  matmul({pattern, DType::float32, values.data()},
         ArrayView::contiguous(x.data(), DType::float32, {2}),
         ArrayView::contiguous(y.data(), DType::float32, {2}));
  return y[0] == 3 && y[1] == 3 ? 0 : 1;
}
