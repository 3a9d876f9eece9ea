// Rotations of activations and weights in plain code: the meaning that the kernels are tested against, and fast
// enough for quantizing (rows in the lanes of a vector).
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "quant/paro4/format.h"

namespace paro {
namespace {

constexpr int64_t kLanes = 16;

enum class Direction { kForward, kInverse };

// A group's rounds on kLanes rows at once; tile [group_size][kLanes].
template <typename T>
void rotate_tile(const PairRotation& rotation, int64_t begin, Direction direction, T* tile) {
  for (int64_t k = 0; k < rotation.rounds; ++k) {
    const int64_t r = direction == Direction::kForward ? k : rotation.rounds - 1 - k;
    const float* theta = rotation.theta.data() + (r * rotation.in + begin) / 2;
    const int16_t* pairs = rotation.pairs.data() + r * rotation.in + begin;
    for (int64_t t = 0; t < rotation.group_size / 2; ++t) {
      if (theta[t] == 0.0f) continue;
      const double angle = direction == Direction::kForward ? theta[t] : -static_cast<double>(theta[t]);
      const T c = static_cast<T>(std::cos(angle));
      const T s = static_cast<T>(std::sin(angle));
      T* a = tile + pairs[2 * t] * kLanes;
      T* b = tile + pairs[2 * t + 1] * kLanes;
      for (int64_t l = 0; l < kLanes; ++l) {
        const T x = a[l];
        const T y = b[l];
        a[l] = c * x + s * y;
        b[l] = c * y - s * x;
      }
    }
  }
}

template <typename T>
void rotate_rows(const PairRotation& rotation, Direction direction, float* w, int64_t rows, ThreadPool* pool) {
  const int64_t in = rotation.in;
  const int64_t g = rotation.group_size;
  PARO_CHECK(g <= 128 && static_cast<int64_t>(rotation.channel_scales.size()) == in);
  const float* scales = rotation.channel_scales.data();
  const auto body = [&](int64_t first, int64_t last) {
    alignas(64) T tile[128 * kLanes];
    for (int64_t row = first * kLanes; row < std::min(last * kLanes, rows); row += kLanes) {
      const int64_t lanes = std::min(kLanes, rows - row);
      for (int64_t begin = 0; begin < in; begin += g) {
        std::fill(tile, tile + g * kLanes, T{0});
        for (int64_t l = 0; l < lanes; ++l) {
          const float* x = w + (row + l) * in + begin;
          for (int64_t i = 0; i < g; ++i)
            tile[i * kLanes + l] = direction == Direction::kForward ? T{x[i]} / T{scales[begin + i]} : T{x[i]};
        }
        rotate_tile(rotation, begin, direction, tile);
        for (int64_t l = 0; l < lanes; ++l) {
          float* x = w + (row + l) * in + begin;
          for (int64_t i = 0; i < g; ++i) {
            const T value = tile[i * kLanes + l];
            x[i] = static_cast<float>(direction == Direction::kForward ? value : value * T{scales[begin + i]});
          }
        }
      }
    }
  };
  const int64_t tiles = (rows + kLanes - 1) / kLanes;
  if (pool != nullptr)
    pool->parallel_for(tiles, 4, body);
  else
    body(0, tiles);
}

}  // namespace

void rotate_activations_reference(const PairRotation& rotation, float* x, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row) {
    float* v = x + row * rotation.in;
    for (int64_t i = 0; i < rotation.in; ++i) v[i] *= rotation.channel_scales[static_cast<size_t>(i)];
    for (int64_t r = 0; r < rotation.rounds; ++r) {
      for (int64_t t = 0; t < rotation.in / 2; ++t) {
        const float angle = rotation.theta[static_cast<size_t>(r * rotation.in / 2 + t)];
        const int16_t* pair = rotation.pairs.data() + r * rotation.in + 2 * t;
        float* group = v + 2 * t / rotation.group_size * rotation.group_size;
        const float c = static_cast<float>(std::cos(static_cast<double>(angle)));
        const float s = static_cast<float>(std::sin(static_cast<double>(angle)));
        const float a = group[pair[0]];
        const float b = group[pair[1]];
        // The kernels fuse in the same way, so that the results are the same to the bit.
        group[pair[0]] = std::fma(c, a, s * b);
        group[pair[1]] = std::fma(c, b, -(s * a));
      }
    }
  }
}

void rotate_weight(const PairRotation& rotation, float* w, int64_t out, ThreadPool* pool) {
  rotate_rows<float>(rotation, Direction::kForward, w, out, pool);
}

void unrotate_weight(const PairRotation& rotation, float* w, int64_t out, ThreadPool* pool) {
  rotate_rows<float>(rotation, Direction::kInverse, w, out, pool);
}

std::vector<float> in_natural_order(std::vector<float> w, int64_t in, const std::vector<int32_t>& order) {
  if (order.empty()) return w;
  std::vector<float> natural(w.size());
  for (size_t row = 0; row < w.size(); row += static_cast<size_t>(in))
    for (size_t i = 0; i < order.size(); ++i) natural[row + static_cast<size_t>(order[i])] = w[row + i];
  return natural;
}

std::vector<float> dequantize_paro4_rotated(const Paro4Weight& weight) {
  const int64_t groups = weight.in / weight.group_size;
  std::vector<float> w(weight.codes.size());
  for (int64_t o = 0; o < weight.out; ++o) {
    for (int64_t g = 0; g < groups; ++g) {
      const float scale = weight.scales[static_cast<size_t>(o * groups + g)];
      const int zero = weight.zeros[static_cast<size_t>(o * groups + g)];
      const int64_t begin = o * weight.in + g * weight.group_size;
      for (int64_t i = begin; i < begin + weight.group_size; ++i)
        w[static_cast<size_t>(i)] = static_cast<float>(weight.codes[static_cast<size_t>(i)] - zero) * scale;
    }
  }
  return w;
}

std::vector<float> dequantize_paro4(const Paro4Weight& weight, ThreadPool* pool) {
  std::vector<float> w = dequantize_paro4_rotated(weight);
  if (!is_identity(*weight.rotation))
    rotate_rows<double>(*weight.rotation, Direction::kInverse, w.data(), weight.out, pool);
  return in_natural_order(std::move(w), weight.in, weight.order);
}

}  // namespace paro
