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
  std::vector<double> sorted(weight_.order.empty() ? 0 : static_cast<size_t>(in));  // a row in the codes' order
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t o = first + row;
    double* const result = out + row * in;
    double* const w = sorted.empty() ? result : sorted.data();
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
    for (size_t i = 0; i < sorted.size(); ++i) result[weight_.order[i]] = sorted[i];
  }
}

}  // namespace paro
