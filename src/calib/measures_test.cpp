#include "calib/measures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "calib/failure_signs.h"
#include "calib/numeric/random.h"
#include "calib/set_quantizer.h"

namespace paro::calib {
namespace {

using testing::HasSubstr;

constexpr int64_t kIn = 128;
constexpr int64_t kOut = 96;
constexpr int64_t kGroup = 64;

std::vector<float> values(double (*next)(Random&)) {
  Random random(1);
  std::vector<float> w(kIn * kOut);
  for (float& x : w) x = static_cast<float>(next(random));
  return w;
}

TEST(GroupShape, OfKnownDistributions) {
  ThreadPool pool(2);
  // 192 groups of 64: the mean of the sample excess kurtosis is that of the distribution less a bias of order 1/n; its
  // standard error is sqrt(24 / 64 / 192) = 0.044 for normal values and less for uniform ones.
  const GroupShape normal = measure_groups(values([](Random& r) { return r.normal(); }), kOut, kGroup, pool);
  EXPECT_NEAR(normal.kurtosis, -6.0 / (kGroup + 1), 4 * 0.044);
  const GroupShape uniform = measure_groups(values([](Random& r) { return r.uniform() - 0.5; }), kOut, kGroup, pool);
  EXPECT_NEAR(uniform.kurtosis, -1.2, 0.1);
  EXPECT_NEAR(uniform.peak_mean, std::sqrt(3.0), 0.08);
  EXPECT_GT(normal.peak_mean, uniform.peak_mean);
  EXPECT_EQ(normal.groups, kOut * kIn / kGroup);
  EXPECT_EQ(normal.equal_groups, 0);
  // Plus and minus one: the least peak and kurtosis there are.
  const GroupShape signs =
      measure_groups(values([](Random& r) { return r.uniform() < 0.5 ? -1.0 : 1.0; }), kOut, kGroup, pool);
  EXPECT_NEAR(signs.peak_max, 1.0, 1e-6);
  EXPECT_LT(signs.kurtosis, -1.8);
}

TEST(GroupShape, OneOutlierInOneGroup) {
  ThreadPool pool(2);
  std::vector<float> w(kIn * kOut, 0.0f);
  // Output 5, second group: one value among 63 zeros has max / rms = sqrt(64), kurtosis about 64.
  w[(kGroup + 3) * kOut + 5] = -2.0f;
  const GroupShape shape = measure_groups(w, kOut, kGroup, pool);
  EXPECT_EQ(shape.equal_groups, shape.groups - 1);
  EXPECT_EQ(count_equal_groups(std::vector<float>(kIn * kOut, 0.5f), kGroup), kIn * kOut / kGroup);
  EXPECT_EQ(count_equal_groups(w, kOut), kIn - 1);  // rows of [in, out]: the one with the outlier is not equal
  EXPECT_NEAR(shape.peak_mean, 8.0, 1e-9);
  EXPECT_NEAR(shape.peak_max, 8.0, 1e-9);
  const double p = 1.0 / 64.0;  // a Bernoulli variable: (1 - 6 p (1 - p)) / (p (1 - p))
  EXPECT_NEAR(shape.kurtosis, (1 - 6 * p * (1 - p)) / (p * (1 - p)), 1e-9);
}

TEST(ChannelPeaks, OfADiagonal) {
  std::vector<double> h(kIn, 1.0);
  h[3] = 65.0;  // its group's mean is 2, the whole mean 1.5
  const ChannelPeaks peaks = measure_channels(h, kGroup);
  EXPECT_DOUBLE_EQ(peaks.whole, 65.0 / 1.5);
  EXPECT_DOUBLE_EQ(peaks.in_groups, (32.5 + 1.0) / 2.0);
}

TEST(LinearMeasures, CountsWhatIsWritten) {
  ThreadPool pool(2);
  Paro4Weight weight;
  weight.in = 64;
  weight.out = 8;
  weight.group_size = 64;
  weight.codes.assign(64 * 8, 7);
  weight.codes[0] = 0;
  weight.codes[1] = 15;
  weight.zeros.assign(8, 8);
  weight.scales = {1, 2, 3, 4, 5, 6, 7, 0.5};
  auto rotation = std::make_shared<PairRotation>();
  rotation->in = 64;
  rotation->group_size = 64;
  rotation->rounds = 2;
  rotation->theta.assign(64, 0.0f);
  for (int i = 0; i < 32; ++i)
    rotation->theta[static_cast<size_t>(i)] = i % 2 == 0 ? 0.1f : -0.5f;  // the second is unused
  rotation->channel_scales.assign(64, 1.0f);
  weight.rotation = rotation;
  std::vector<float> target(64 * 8, 0.0f);
  target[0] = 7.6f;    // output 0, scale 1: code 16
  target[1] = -17.2f;  // output 1, scale 2: code -1
  target[2] = 20.9f;   // output 2, scale 3: code 15
  LinearMeasures measures;
  measures.add_written(weight, 15.0);
  measures.add_clipped(weight, target, 15.0, pool);
  const Json json = measures.json();
  EXPECT_DOUBLE_EQ(json["clipped"].get<double>(), 2.0 / 512);
  EXPECT_DOUBLE_EQ(json["codes_at_ends"].get<double>(), 2.0 / 512);
  EXPECT_EQ(json["scales"]["min"], 0.5);
  EXPECT_EQ(json["scales"]["median"], 4.0);
  EXPECT_EQ(json["scales"]["max"], 7.0);
  EXPECT_EQ(json["angles"]["count"], 32);
  EXPECT_NEAR(json["angles"]["mean"].get<double>(), 0.3, 1e-6);
  EXPECT_EQ(json["angles"]["max"], 0.5);
  EXPECT_EQ(json["angles"]["histogram"][0], 16);
  EXPECT_EQ(json["angles"]["histogram"][2], 16);  // 0.5 is 28.6 degrees
  EXPECT_TRUE(json["loss"].is_null());
}

TEST(LostAngles, BecomeZero) {
  std::vector<float> theta = {0.5f, NAN, -INFINITY, 0.0f};
  EXPECT_EQ(drop_lost_angles(theta), 2);
  EXPECT_EQ(theta, (std::vector<float>{0.5f, 0.0f, 0.0f, 0.0f}));
}

Json linear(const char* name, double least, double most) {
  return {{"name", name},
          {"groups", 1000},
          {"weights", {{"before", {{"equal_groups", 0}}}}},
          {"scales", {{"min", least}, {"max", most}}},
          {"channel_scales", {{"min", 1.0}, {"max", 1.0}}}};
}

std::string signs_of(const std::vector<Json>& linears, const Json& quality = nullptr, int64_t lost_angles = 0) {
  const Json sets = Json::array({{{"linears", Json::array({"first"})}, {"lost_angles", lost_angles}}});
  std::string text;
  for (const FailureSign& sign : failure_signs(Json::array({{{"sets", sets}, {"linears", linears}}}), quality)) {
    EXPECT_NE(sign.advice, "");
    text += sign.sign + ": " + sign.message + "\n";
  }
  return text;
}

TEST(FailureSigns, EachFromItsFigures) {
  const Json healthy = linear("good", 1e-3, 2.5);
  EXPECT_EQ(signs_of({healthy}), "");
  EXPECT_THAT(signs_of({healthy}, nullptr, 3),
              HasSubstr("angles: 3 angles were not finite and became 0 (first in first)"));
  EXPECT_THAT(signs_of({healthy, linear("small", 1e-5, 1.0)}),
              HasSubstr("scales down to 1.0e-05, where F16 loses bits (small)"));
  EXPECT_THAT(signs_of({linear("a", 1.0, 5000.0), linear("b", 1.0, 9000.0)}),
              HasSubstr("9000.0: values leave F16 (2 linears, worst b)"));
  Json channels = healthy;
  channels["channel_scales"]["max"] = 1e5;
  EXPECT_THAT(signs_of({channels}), HasSubstr("channel scales near the ends of F16 (good)"));
  Json equal = linear("dead", 6e-8, 1.0);
  equal["weights"]["before"]["equal_groups"] = 20;
  EXPECT_EQ(signs_of({equal}), "equal weights: groups whose weights are all equal, up to 2.0 % (dead)\n");
  const auto quality = [](double fitted, double held_out, double ratio) -> Json {
    return {{"calibration", {{"kl", fitted}}}, {"held_out", {{"kl", held_out}, {"perplexity_ratio", ratio}}}};
  };
  EXPECT_EQ(signs_of({healthy}, quality(0.05, 0.06, 1.04)), "");
  EXPECT_THAT(signs_of({healthy}, quality(0.05, 0.08, 1.04)), HasSubstr("overfit: KL 0.0800 on held-out"));
  EXPECT_EQ(signs_of({healthy}, quality(0.05, 0.05, 1.06)), "perplexity: perplexity 6.0 % above full precision\n");
  EXPECT_TRUE(perplexity_signs(NAN).empty());
}

}  // namespace
}  // namespace paro::calib
