// For tests of linears: random rotations, products, and what they should be.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "base/dtype.h"
#include "kernels/rotate/test_rotation.h"
#include "quant/cpu_linear.h"
#include "quant/paro4/format.h"

namespace paro {

inline std::shared_ptr<const PairRotation> make_rotation(int64_t in, int64_t group_size, uint32_t seed) {
  RandomRotation r = random_rotation(in, group_size, 8, seed, true);
  for (float& v : r.theta) v = f16_to_f32(f32_to_f16(v));
  for (float& v : r.channel_scales) v = f16_to_f32(f32_to_f16(v));
  return std::make_shared<PairRotation>(PairRotation{in, group_size, 8, r.theta, r.pairs, r.channel_scales});
}

inline std::vector<float> run(const CpuLinear& linear, const CpuContext& context, const LinearInput& input,
                              int64_t rows) {
  const ArenaScope scope(context.arena);
  std::vector<float> y(static_cast<size_t>(rows * linear.out));
  linear.multiply(context, linear.prepare(context, input, rows), y.data());
  return y;
}

inline std::vector<float> run(const CpuLinear& linear, const CpuContext& context, const std::vector<float>& x) {
  return run(linear, context, {x.data()}, static_cast<int64_t>(x.size()) / linear.in);
}

// |y - x W^T - bias| <= tolerance * |x| |w| for each row and output.
inline void expect_product(const CpuLinear& linear, const std::vector<float>& x, const std::vector<float>& bias,
                           const std::vector<float>& y, double tolerance) {
  const std::vector<float> w = linear.dequantize();
  for (size_t k = 0; k < y.size(); ++k) {
    const size_t r = k / static_cast<size_t>(linear.out), o = k % static_cast<size_t>(linear.out);
    double expected = bias.empty() ? 0.0 : bias[o], xx = 0.0, ww = 0.0;
    for (size_t i = 0; i < static_cast<size_t>(linear.in); ++i) {
      const double a = x[r * static_cast<size_t>(linear.in) + i], b = w[o * static_cast<size_t>(linear.in) + i];
      expected += a * b;
      xx += a * a;
      ww += b * b;
    }
    ASSERT_NEAR(y[k], expected, tolerance * std::sqrt(xx * ww) + 1e-6) << "row " << r << " output " << o;
  }
}

}  // namespace paro
