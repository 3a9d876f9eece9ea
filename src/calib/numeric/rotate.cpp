#include "calib/numeric/rotate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace paro::calib {
namespace {

/// Rounds applied to the rows of x [in, count], groups spread over the threads.
template <typename T>
void rotate_rows(const PairRotation& rotation, T* x, int64_t count, ThreadPool& pool) {
  const int64_t g = rotation.group_size;
  pool.parallel_for(rotation.in / g, 1, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group)
      for (int64_t round = 0; round < rotation.rounds; ++round)
        for (int64_t t = 0; t < g / 2; ++t) {
          const double angle = rotation.theta[static_cast<size_t>(round * rotation.in / 2 + group * g / 2 + t)];
          if (angle == 0.0) continue;
          const int16_t* pair = rotation.pairs.data() + round * rotation.in + group * g + 2 * t;
          const T c = static_cast<T>(std::cos(angle));
          const T s = static_cast<T>(std::sin(angle));
          T* xi = x + (group * g + pair[0]) * count;
          T* xj = x + (group * g + pair[1]) * count;
          for (int64_t r = 0; r < count; ++r) {
            const T a = xi[r];
            const T b = xj[r];
            xi[r] = c * a + s * b;
            xj[r] = c * b - s * a;
          }
        }
  });
}

/// Tile by tile, so that both sides of the diagonal stay in the cache.
void transpose(SquareMatrix& h, ThreadPool& pool) {
  constexpr int64_t kTile = 32;
  pool.parallel_for((h.n + kTile - 1) / kTile, 1, [&](int64_t first, int64_t last) {
    for (int64_t i0 = first * kTile; i0 < std::min(last * kTile, h.n); i0 += kTile)
      for (int64_t j0 = 0; j0 <= i0; j0 += kTile)
        for (int64_t i = i0; i < std::min(i0 + kTile, h.n); ++i)
          for (int64_t j = j0; j < std::min(j0 + kTile, i); ++j) std::swap(h.row(i)[j], h.row(j)[i]);
  });
}

}  // namespace

void rotate_transposed(const PairRotation& rotation, float* w, int64_t rows, ThreadPool& pool) {
  for (int64_t i = 0; i < rotation.in; ++i) {
    const float alpha = 1.0f / rotation.channel_scales[static_cast<size_t>(i)];
    if (alpha == 1.0f) continue;
    for (int64_t r = 0; r < rows; ++r) w[i * rows + r] *= alpha;
  }
  rotate_rows(rotation, w, rows, pool);
}

void rotate_second_moment(const PairRotation& rotation, SquareMatrix& h, ThreadPool& pool) {
  PARO_CHECK(h.n == rotation.in);
  const std::vector<float>& scales = rotation.channel_scales;
  if (std::any_of(scales.begin(), scales.end(), [](float s) { return s != 1.0f; }))
    for (int64_t i = 0; i < h.n; ++i)
      for (int64_t j = 0; j < h.n; ++j)
        h.row(i)[j] *=
            static_cast<double>(scales[static_cast<size_t>(i)]) * static_cast<double>(scales[static_cast<size_t>(j)]);
  rotate_rows(rotation, h.data.data(), h.n, pool);
  transpose(h, pool);
  rotate_rows(rotation, h.data.data(), h.n, pool);
}

}  // namespace paro::calib
