#include "calib/numeric/arrange.h"

#include <algorithm>

namespace paro::calib {

std::vector<float> transposed(const std::vector<float>& w, int64_t out, ThreadPool& pool) {
  constexpr int64_t kTile = 32;
  const int64_t in = static_cast<int64_t>(w.size()) / out;
  std::vector<float> result(w.size());
  pool.parallel_for(in, kTile, [&](int64_t begin, int64_t end) {
    for (int64_t o0 = 0; o0 < out; o0 += kTile)
      for (int64_t i = begin; i < end; ++i)
        for (int64_t o = o0; o < std::min(o0 + kTile, out); ++o)
          result[static_cast<size_t>(i * out + o)] = w[static_cast<size_t>(o * in + i)];
  });
  return result;
}

std::vector<float> reordered(const std::vector<float>& w, int64_t out, std::span<const int32_t> order) {
  std::vector<float> result(w.size());
  for (size_t i = 0; i < order.size(); ++i)
    std::copy_n(w.begin() + order[i] * out, out, result.begin() + static_cast<int64_t>(i) * out);
  return result;
}

SquareMatrix reordered(const SquareMatrix& h, std::span<const int32_t> order) {
  SquareMatrix result(h.n);
  for (int64_t i = 0; i < h.n; ++i)
    for (int64_t j = 0; j < h.n; ++j)
      result.row(i)[j] = h.row(order[static_cast<size_t>(i)])[order[static_cast<size_t>(j)]];
  return result;
}

}  // namespace paro::calib
