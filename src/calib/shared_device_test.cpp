#include "calib/shared_device.h"

#include <gtest/gtest.h>

#include "calib/cpu_device.h"
#include "calib/numeric/random.h"
#include "calib/thread_processes.h"
#include "quant/dense/dense_linear.h"

namespace paro::calib {
namespace {

constexpr int64_t kIn = 256, kOut = 44, kTokens = 300;

std::vector<float> values(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> result;
  for (int64_t i = 0; i < count; ++i) result.push_back(static_cast<float>(random.normal()));
  return result;
}

struct Result {
  double nearest = 0.0;
  FitResult fit;
  Rounded rounded;
  std::vector<double> diagonal;
};

/// One set with the tokens [begin, end) of the same kTokens.
Result quantize_set(Device& device, int64_t begin, int64_t end) {
  const std::vector<float> x = values(kTokens * kIn, 1), y = values(kTokens * kIn, 2);
  auto sums = device.make_sums(kIn, kIn);
  if (end > begin) sums->add(x.data() + begin * kIn, y.data() + begin * kIn, end - begin);
  device.complete(*sums);
  std::vector<uint16_t> half;
  for (const float v : values(kOut * kIn, 3)) half.push_back(f32_to_f16(v));
  const auto linear = make_dense_linear(std::move(half), kOut, kIn, {});
  Result result;
  const auto h = device.second_moment(*sums, "x");
  result.diagonal = h->diagonal;
  auto w = device.weight_of(*linear);
  WeightMatrix* const corrected[] = {w.get()};
  device.correct(corrected, *sums, CrossMoment::kInputs, *h, 0.01, "x");
  RoundOptions options;
  result.nearest = device.nearest_loss(*w, *h, options);
  const WeightMatrix* const weights[] = {w.get()};
  const std::vector<double> energy(kIn / 64, 64.0);
  const PairRounds pairs = make_pairs(PairKind::kRandom, kIn, 64, 4, 5);
  result.fit = device.fit({weights, {1.0f}, energy}, pairs, {.steps = 20});
  PairRotation rotation;
  rotation.in = kIn;
  rotation.group_size = 64;
  rotation.rounds = pairs.rounds;
  rotation.pairs = pairs.pairs;
  rotation.theta = result.fit.theta;
  rotation.channel_scales.assign(kIn, 1.0f);
  device.rotate(*h, rotation);
  result.rounded = device.round(*w, rotation, h.get(), options);
  return result;
}

TEST(SharedDevice, ProcessesTogetherDoWhatOneDoesAlone) {
  const auto alone = make_cpu_device(1);
  const Result expected = quantize_set(*alone, 0, kTokens);
  for (const int size : {2, 3, 7}) {
    std::vector<Result> found(static_cast<size_t>(size));
    run_processes(size, [&](Processes& processes) {
      const auto device = make_cpu_device(1);
      SharedDevice shared(*device, processes);
      const Share tokens = share_of(kTokens, processes.rank(), size);
      found[static_cast<size_t>(processes.rank())] = quantize_set(shared, tokens.begin, tokens.end);
    });
    for (const Result& result : found) {
      // Products over a batch are in f32: the batches differ.
      for (size_t i = 0; i < expected.diagonal.size(); ++i)
        ASSERT_NEAR(result.diagonal[i], expected.diagonal[i], 1e-5 * expected.diagonal[i]) << size;
      EXPECT_NEAR(result.nearest, expected.nearest, 1e-3 * expected.nearest) << size;
      EXPECT_NEAR(result.fit.loss_before, expected.fit.loss_before, 1e-4 * expected.fit.loss_before) << size;
      EXPECT_NEAR(result.fit.loss_after, expected.fit.loss_after, 1e-3 * expected.fit.loss_after) << size;
      EXPECT_NEAR(result.rounded.loss, expected.rounded.loss, 0.02 * expected.rounded.loss) << size;
      ASSERT_EQ(result.rounded.codes.size(), expected.rounded.codes.size());
      size_t other = 0;
      for (size_t i = 0; i < expected.rounded.codes.size(); ++i)
        other += result.rounded.codes[i] != expected.rounded.codes[i];
      // A code at the edge of rounding moves those behind it.
      EXPECT_LT(static_cast<double>(other), 0.05 * static_cast<double>(expected.rounded.codes.size())) << size;
      EXPECT_EQ(result.rounded.codes, found[0].rounded.codes) << "every process has the same";
      EXPECT_EQ(result.fit.theta, found[0].fit.theta);
    }
  }
}

TEST(ShareOf, CoversEverythingOnceAndEvenly) {
  for (const int64_t count : {0, 1, 5, 64, 1000})
    for (const int size : {1, 2, 3, 7, 64}) {
      int64_t next = 0;
      for (int rank = 0; rank < size; ++rank) {
        const Share share = share_of(count, rank, size);
        EXPECT_EQ(share.begin, next);
        EXPECT_LE(share.end - share.begin, (count + size - 1) / size);
        EXPECT_GE(share.end - share.begin, count / size);
        next = share.end;
      }
      EXPECT_EQ(next, count);
    }
}

}  // namespace
}  // namespace paro::calib
