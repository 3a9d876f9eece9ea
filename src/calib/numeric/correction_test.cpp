#include "calib/numeric/correction.h"

#include <gtest/gtest.h>

#include "calib/numeric/random.h"
#include "calib/numeric/statistics.h"

namespace paro::calib {
namespace {

struct Streams {
  int64_t rows = 400, in = 12, out = 5;
  std::vector<float> full, quantized, weight;
  Streams() : full(rows * in), quantized(rows * in), weight(out * in) {
    Random random(11);
    for (float& v : full) v = static_cast<float>(random.normal());
    // A linear distortion and some noise, as rounding the layers before leaves it.
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < in; ++i)
        quantized[r * in + i] =
            static_cast<float>(0.9 * full[r * in + i] + 0.2 * full[r * in + (i + 1) % in] + 0.05 * random.normal());
    for (float& v : weight) v = static_cast<float>(random.normal());
  }
  /// mean |w x_q - W x_f|^2
  double loss(const std::vector<float>& w) const {
    double sum = 0.0;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < out; ++o) {
        double difference = 0.0;
        for (int64_t i = 0; i < in; ++i)
          difference += double(w[o * in + i]) * quantized[r * in + i] - double(weight[o * in + i]) * full[r * in + i];
        sum += difference * difference;
      }
    return sum / static_cast<double>(rows);
  }
  std::vector<float> outputs() const {
    std::vector<float> y(rows * out);
    gemm(false, true, rows, out, in, 1.0f, full.data(), in, weight.data(), in, 0.0f, y.data(), out);
    return y;
  }
};

TEST(Correction, BringsTheQuantizedStreamsOutputBack) {
  ThreadPool pool(2);
  const Streams s;
  Statistics statistics(s.in, s.in, pool);
  statistics.add(s.quantized.data(), s.full.data(), s.rows);
  const SquareMatrix h = statistics.second_moment("t");
  const std::vector<float> corrected =
      corrected_weight(s.weight.data(), s.out, h,
                       excess_from_inputs(s.weight.data(), s.out, h, statistics.cross_moment("t"), pool), 0.01, pool);
  EXPECT_LT(s.loss(corrected), 0.1 * s.loss(s.weight));
  // A least-squares solution: any step away from it is worse (the damping moves it a little, hence the size of steps).
  Random random(3);
  for (int trial = 0; trial < 10; ++trial) {
    std::vector<float> other = corrected;
    for (float& v : other) v += static_cast<float>(0.1 * random.normal());
    EXPECT_GT(s.loss(other), s.loss(corrected));
  }
}

TEST(Correction, InputsAndOutputsGiveTheSame) {
  ThreadPool pool(2);
  const Streams s;
  Statistics by_input(s.in, s.in, pool), by_output(s.in, s.out, pool);
  by_input.add(s.quantized.data(), s.full.data(), s.rows);
  by_output.add(s.quantized.data(), s.outputs().data(), s.rows);
  const SquareMatrix h = by_input.second_moment("t");
  const auto a = excess_from_inputs(s.weight.data(), s.out, h, by_input.cross_moment("t"), pool);
  const auto b = excess_from_outputs(s.weight.data(), s.out, h, by_output.cross_moment("t"), pool);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5);
}

TEST(Correction, EqualStreamsAndDeadInputsLeaveTheWeight) {
  ThreadPool pool(2);
  const Streams s;
  Statistics statistics(s.in, s.in, pool);
  statistics.add(s.full.data(), s.full.data(), s.rows);
  const SquareMatrix h = statistics.second_moment("t");
  const auto same =
      corrected_weight(s.weight.data(), s.out, h,
                       excess_from_inputs(s.weight.data(), s.out, h, statistics.cross_moment("t"), pool), 0.01, pool);
  for (size_t i = 0; i < same.size(); ++i) EXPECT_NEAR(same[i], s.weight[i], 1e-5);
  const SquareMatrix zero(s.in);
  EXPECT_EQ(corrected_weight(s.weight.data(), s.out, zero, std::vector<double>(s.weight.size()), 0.01, pool), s.weight);
}

}  // namespace
}  // namespace paro::calib
