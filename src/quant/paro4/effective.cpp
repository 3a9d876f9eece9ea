#include "quant/paro4/effective.h"

#include <cmath>

namespace paro {

EffectiveWeight::EffectiveWeight(const Paro4Weight& weight) : weight_(weight) {
  for (const float angle : weight.rotation->theta) {
    cosine_.push_back(std::cos(static_cast<double>(angle)));
    sine_.push_back(std::sin(static_cast<double>(angle)));
  }
}

void EffectiveWeight::rows(int64_t first, int64_t rows, double* out) const {
  const PairRotation& rotation = *weight_.rotation;
  const int64_t in = weight_.in;
  const int64_t g = weight_.group_size;
  const int64_t groups = in / g;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t o = first + row;
    double* w = out + row * in;
    for (int64_t i = 0; i < in; ++i) {
      const auto group = static_cast<size_t>(o * groups + i / g);
      w[i] = static_cast<double>(weight_.codes[static_cast<size_t>(o * in + i)] - weight_.zeros[group]) *
             static_cast<double>(weight_.scales[group]);
    }
    // Backwards: a row times R is the inverse rotation of its columns.
    for (int64_t round = rotation.rounds - 1; round >= 0; --round) {
      const int16_t* pairs = rotation.pairs.data() + round * in;
      for (int64_t t = 0; t < in / 2; ++t) {
        const auto at = static_cast<size_t>(round * in / 2 + t);
        double* group = w + 2 * t / g * g;
        double& a = group[pairs[2 * t]];
        double& b = group[pairs[2 * t + 1]];
        const double x = a;
        const double y = b;
        a = cosine_[at] * x - sine_[at] * y;
        b = cosine_[at] * y + sine_[at] * x;
      }
    }
    for (int64_t i = 0; i < in; ++i) w[i] *= static_cast<double>(rotation.channel_scales[static_cast<size_t>(i)]);
  }
}

}  // namespace paro
