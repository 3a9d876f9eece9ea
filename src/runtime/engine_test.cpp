#include "runtime/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <random>
#include <vector>

#include "base/error.h"
#include "model/random_model.h"
#include "runtime/evaluate.h"
#include "runtime/measure.h"

namespace paro {
namespace {

std::unique_ptr<Engine> small_engine(RandomFormat format = RandomFormat::kDense, KvBits kv_bits = KvBits::k16,
                                     int64_t dim = 128) {
  Checkpoint checkpoint;
  checkpoint.name = "small";
  checkpoint.config = random_shape_config("smollm2-135m", format);
  checkpoint.config["num_hidden_layers"] = 2;
  checkpoint.config["hidden_size"] = dim;
  checkpoint.config["head_dim"] = 32;
  checkpoint.config["num_attention_heads"] = 4;
  checkpoint.config["num_key_value_heads"] = 2;
  checkpoint.config["intermediate_size"] = 256;
  checkpoint.config["vocab_size"] = 512;
  checkpoint.config["max_position_embeddings"] = 2048;
  checkpoint.config["eos_token_id"] = 7;
  const ModelConfig config = parse_model_config(checkpoint.config, "small");
  auto model = Model::load(config, *make_random_weights(config), *make_cpu_weight_factory(config.quantization));
  return std::make_unique<Engine>(std::move(checkpoint), std::move(model), make_cpu_ops({.threads = 2}), nullptr,
                                  nullptr, kv_bits);
}

std::vector<int32_t> random_ids(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 512);
  return ids;
}

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

void expect_near(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 2e-3) << i;
}

TEST(Sequence, ChunksAndSingleTokensGiveTheSameLogits) {
  const auto engine = small_engine();
  const std::vector<int32_t> ids = random_ids(700, 1);  // more than one chunk
  Sequence whole(*engine);
  const std::vector<float> expected = copy(whole.feed(ids));
  Sequence parts(*engine);
  parts.feed(std::span(ids).first(513));
  parts.feed(std::span(ids).subspan(513, 180));
  std::vector<float> found;
  for (size_t i = 693; i < 700; ++i) found = copy(parts.feed(std::span(ids).subspan(i, 1)));
  expect_near(found, expected);
  EXPECT_EQ(parts.length(), 700);
}

// Also with keys and values in 8 bits, whose rounding moves the logits (of deviation 1) by a few hundredths.
TEST(Sequence, EightBitCacheIsNearSixteen) {
  const auto engine = small_engine();
  const auto int8_engine = small_engine(RandomFormat::kDense, KvBits::k8);
  EXPECT_EQ(int8_engine->kv_bits(), KvBits::k8);
  const std::vector<int32_t> ids = random_ids(700, 1);
  Sequence f16(*engine), whole(*int8_engine), parts(*int8_engine);
  const std::vector<float> expected = copy(f16.feed(ids));
  const std::vector<float> found = copy(whole.feed(ids));
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(found[i], expected[i], 0.05) << i;
  parts.feed(std::span(ids).first(690));
  std::vector<float> decoded;
  for (size_t i = 690; i < 700; ++i) decoded = copy(parts.feed(std::span(ids).subspan(i, 1)));
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(decoded[i], found[i], 0.02) << i;
}

TEST(Sequence, KeepsTheCommonPrefixOfTwoTurns) {
  const auto engine = small_engine();
  std::vector<int32_t> ids = random_ids(40, 2);
  Sequence sequence(*engine);
  sequence.feed(ids);
  EXPECT_EQ(sequence.keep_common(ids), 39) << "the last one's logits are wanted";
  ids[25] = (ids[25] + 1) % 512;
  EXPECT_EQ(sequence.keep_common(ids), 25);
  const std::vector<float> found = copy(sequence.feed(std::span(ids).subspan(25)));
  Sequence fresh(*engine);
  expect_near(found, copy(fresh.feed(ids)));
  EXPECT_EQ(sequence.keep_common(std::vector<int32_t>{-5}), 0);
}

TEST(Sequence, TakesPositionsThatTheCallerHasFilled) {
  const auto engine = small_engine();
  const std::vector<int32_t> ids = random_ids(30, 3);
  Sequence sequence(*engine);
  const std::vector<float> expected = copy(sequence.feed(ids));
  sequence.rewind(10);
  sequence.append_cached(std::span(ids).subspan(10, 19));  // the cache holds them yet
  EXPECT_EQ(sequence.length(), 29);
  EXPECT_EQ(sequence.cache().length, 29);
  expect_near(copy(sequence.feed(std::span(ids).last(1))), expected);
}

TEST(Sequence, ACancelStopsBetweenChunks) {
  const auto engine = small_engine();
  const std::atomic<bool> cancel{true};
  Sequence sequence(*engine);
  EXPECT_TRUE(sequence.feed(random_ids(3, 3), &cancel).empty());
  EXPECT_EQ(sequence.length(), 0);
}

TEST(Sequence, TheCapacityIsAtMostTheModelsContext) {
  const auto engine = small_engine();
  EXPECT_EQ(Sequence(*engine).capacity(), 2048);
  EXPECT_EQ(Sequence(*engine, 100).capacity(), 100);
  EXPECT_EQ(Sequence(*engine, 1 << 20).capacity(), 2048);
}

TEST(Engine, KnowsItsEndAndItsVocabulary) {
  const auto engine = small_engine();
  EXPECT_TRUE(engine->is_eos(7));
  EXPECT_FALSE(engine->is_eos(8));
  EXPECT_THROW(engine->check_ids(std::vector<int32_t>{512}), Error);
  EXPECT_THROW(engine->check_ids(std::vector<int32_t>{-1}), Error);
  EXPECT_THROW(engine->tokenizer(), Error);
}

TEST(Evaluate, WindowsOfAnySizeAgreeWithTheLogits) {
  const auto engine = small_engine();
  const std::vector<int32_t> ids = random_ids(330, 4);
  for (const int64_t window : {16, 100, 330}) {
    double loss = 0.0;
    int64_t count = 0;
    for (int64_t begin = 0; begin + window <= 330; begin += window) {
      Sequence sequence(*engine);
      for (int64_t i = 0; i + 1 < window; ++i) {
        const auto logits = sequence.feed(std::span(ids).subspan(static_cast<size_t>(begin + i), 1));
        double sum = 0.0;
        for (const float x : logits) sum += std::exp(static_cast<double>(x));
        loss += std::log(sum) - logits[static_cast<size_t>(ids[static_cast<size_t>(begin + i + 1)])];
        ++count;
      }
    }
    const PerplexityResult result = evaluate_perplexity(*engine, ids, {.window = window});
    EXPECT_EQ(result.tokens, count);
    EXPECT_NEAR(std::log(result.perplexity), loss / static_cast<double>(count), 1e-4) << window;
  }
}

TEST(Evaluate, BadWindowsAndTextsAreErrors) {
  const auto engine = small_engine();
  const std::vector<int32_t> ids = random_ids(10, 5);
  EXPECT_THROW(evaluate_perplexity(*engine, ids, {.window = 11}), Error);
  EXPECT_THROW(evaluate_perplexity(*engine, ids, {.window = 1}), Error);
  EXPECT_THROW(evaluate_perplexity(*engine, ids, {.window = 4096}), Error);
  EXPECT_THROW(evaluate_perplexity(*engine, std::vector<int32_t>{1, 9999}, {.window = 2}), Error);
}

TEST(Engine, RoundsItsHeadAsAsked) {
  const auto bytes = [](HeadBits bits, Activations activations, RandomFormat format) {
    const auto engine = small_engine(format);
    const int64_t before = model_cost(*engine).weight_bytes;
    const bool rounded = engine->prepare_head({.cpu = {.activations = activations}, .head_bits = bits});
    const int64_t saved = before - model_cost(*engine).weight_bytes;
    EXPECT_EQ(rounded, saved > 0);
    EXPECT_EQ(engine->stored_head(), nullptr) << "not asked to keep it";
    return 2 * 512 * 128 - saved;
  };
  // 4 bits, and a scale in f16 with a zero point for each 32.
  const int64_t k4 = 512 * 128 / 2 + 512 * 128 / 32 * 5 / 2, k8 = 512 * 128 + 512 * 4, k16 = 512 * 128 * 2;
  EXPECT_EQ(bytes(HeadBits::k4, Activations::kInt8, RandomFormat::kParo4), k4);
  EXPECT_EQ(bytes(HeadBits::k4, Activations::kF16, RandomFormat::kDense), k4);
  EXPECT_EQ(bytes(HeadBits::k8, Activations::kF32, RandomFormat::kDense), k8);
  EXPECT_EQ(bytes(HeadBits::kAuto, Activations::kInt8, RandomFormat::kParo4), k8);
  EXPECT_EQ(bytes(HeadBits::kAuto, Activations::kF16, RandomFormat::kParo4), k16);
  EXPECT_EQ(bytes(HeadBits::kAuto, Activations::kInt8, RandomFormat::kDense), k16);
  EXPECT_EQ(bytes(HeadBits::k16, Activations::kInt8, RandomFormat::kParo4), k16);

  const auto narrow = small_engine(RandomFormat::kDense, KvBits::k16, 120);
  try {
    narrow->prepare_head({.head_bits = HeadBits::k4});
    ADD_FAILURE() << "120 inputs are not groups of 32";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "small: a head of 4 bits needs a multiple of 32 inputs, found 120");
  }
  EXPECT_TRUE(narrow->prepare_head({.head_bits = HeadBits::k8}));
}

// What each precision adds, one after another, leads from the KL of the weights to the KL of the model as it runs.
TEST(Evaluate, PrecisionsAddUpToTheWholeDivergence) {
  const auto teacher = small_engine(RandomFormat::kDense);
  const std::vector<int32_t> ids = random_ids(300, 4);
  const EvalOptions options = {.window = 100};
  const auto student = small_engine(RandomFormat::kParo4, KvBits::k8);
  student->prepare_head({.head_bits = HeadBits::k4, .keep_stored_head = true});
  ASSERT_NE(student->stored_head(), nullptr);
  const PrecisionResult result = evaluate_precision(*student, *teacher, ids, options);
  EXPECT_EQ(activations_of(student->ops()), Activations::kInt8) << "as before";
  EXPECT_EQ(result.positions, 300);

  const auto exact = small_engine(RandomFormat::kParo4);
  set_activations(exact->ops(), Activations::kF32);
  const double weights = evaluate_kl(*exact, *teacher, ids, options).kl_mean;
  EXPECT_DOUBLE_EQ(result.weights_kl, weights);
  set_activations(exact->ops(), Activations::kInt8);
  const double with_int8 = evaluate_kl(*exact, *teacher, ids, options).kl_mean;
  ASSERT_EQ(result.losses.size(), 3u);
  EXPECT_EQ(result.losses[0].what, "activations");
  EXPECT_NEAR(result.losses[0].kl, with_int8 - weights, 1e-12);
  EXPECT_NEAR(result.losses[0].share.value(), with_int8 / weights - 1.0, 1e-9);
  EXPECT_EQ(result.losses[1].what, "head");
  EXPECT_EQ(result.losses[2].what, "kv_cache");
  double sum = result.weights_kl;
  for (const PrecisionLoss& loss : result.losses) {
    EXPECT_NE(loss.kl, 0.0) << loss.what;
    sum += loss.kl;
  }
  EXPECT_NEAR(sum, evaluate_kl(*student, *teacher, ids, options).kl_mean, 1e-12);
}

TEST(Evaluate, OnlyPrecisionsThatDifferAreCompared) {
  const std::vector<int32_t> ids = random_ids(100, 4);
  const EvalOptions options = {.window = 50};
  const auto student = small_engine(RandomFormat::kParo4);
  // Its own teacher: the weights add nothing, so that there is nothing to take shares of.
  const PrecisionResult own = evaluate_precision(*student, *student, ids, options);
  EXPECT_EQ(own.weights_kl, 0.0);
  ASSERT_EQ(own.losses.size(), 1u);
  EXPECT_EQ(own.losses[0].what, "activations");
  EXPECT_GT(own.losses[0].kl, 0.0);
  EXPECT_FALSE(own.losses[0].share.has_value());
  set_activations(student->ops(), Activations::kF16);
  const double f16 = evaluate_precision(*student, *student, ids, options).losses.at(0).kl;
  EXPECT_GT(f16, 0.0);
  EXPECT_LT(f16, 0.01 * own.losses[0].kl) << "11 bits against 7: errors 16 times smaller, squared";
  set_activations(student->ops(), Activations::kF32);
  EXPECT_TRUE(evaluate_precision(*student, *student, ids, options).losses.empty());
}

TEST(Measure, CountsWhatAModelReads) {
  const auto dense = small_engine();
  const ModelCost d = model_cost(*dense);
  const int64_t weights = 2 * (128 * 128 * 2 + 128 * 64 * 2 + 3 * 128 * 256);
  EXPECT_EQ(d.dense_macs, weights);
  EXPECT_EQ(d.weight_bytes, 2 * (weights + 512 * 128));
  EXPECT_EQ(d.kv_bytes, 2 * 2 * 2 * 32 * 2);
  const auto packed = small_engine(RandomFormat::kParo4);
  const ModelCost p = model_cost(*packed);
  EXPECT_EQ(p.packed_macs, weights);
  EXPECT_LT(p.weight_bytes, d.weight_bytes * 6 / 10);  // the head stays at 16 bits
  EXPECT_EQ(p.embedding_bytes, 0) << "the tied head is the table";
}

TEST(Measure, DefaultSizesAreThoseThatTheContextHolds) {
  const auto engine = small_engine();  // 2,048 positions
  const SpeedReport report = measure_speed(*engine, {.decode_tokens = 2, .repeats = 1});
  const auto sizes = [](const std::vector<SpeedPoint>& points) {
    std::vector<int64_t> list;
    for (const SpeedPoint& point : points) {
      list.push_back(point.size);
      EXPECT_GT(point.least, 0.0);
      EXPECT_LE(point.least, point.seconds);
      EXPECT_LE(point.seconds, point.most);
      EXPECT_GT(point.share_of_limit, 0.0);
      EXPECT_GT(point.machine.read_gb_per_s, 0.0);
      EXPECT_TRUE(point.profile.empty()) << "not asked for";
    }
    return list;
  };
  EXPECT_EQ(sizes(report.prefill), (std::vector<int64_t>{1, 2, 4, 8, 16, 64, 512, 2048}));
  EXPECT_EQ(sizes(report.decode), (std::vector<int64_t>{0, 512}));
  EXPECT_EQ(report.left_out_rows, std::vector<int64_t>{});
  EXPECT_EQ(report.left_out_contexts, (std::vector<int64_t>{4096, 16384}));
  EXPECT_EQ(report.memory.kv, 2048 * report.cost.kv_bytes);
  EXPECT_EQ(report.memory.weights, report.cost.weight_bytes + report.cost.embedding_bytes);
  EXPECT_GT(report.memory.ratio(), 0.0);
  EXPECT_THROW(measure_speed(*engine, {.prefill_rows = {2049}}), Error);
  EXPECT_THROW(measure_speed(*engine, {.decode_contexts = {2047}, .decode_tokens = 2}), Error);
}

TEST(Measure, RepeatsAreThoseAskedFor) {
  const auto engine = small_engine();
  const SpeedReport report =
      measure_speed(*engine, {.prefill_rows = {3}, .decode_contexts = {700}, .decode_tokens = 5, .repeats = 4});
  EXPECT_EQ(report.prefill.at(0).measured, 4);
  EXPECT_EQ(report.decode.at(0).measured, 20);
}

TEST(Measure, ShareOfTheLimitIsTheSlowerOfReadingAndArithmetic) {
  const MachineLimits machine = {.read_gb_per_s = 10.0, .int8_gmac_per_s = 100.0, .f32_gflop_per_s = 40.0};
  EXPECT_DOUBLE_EQ(share_of_limit({.bytes = 10'000'000'000}, machine, 2.0), 0.5);
  EXPECT_DOUBLE_EQ(share_of_limit({.bytes = 1, .int8_macs = 100'000'000'000}, machine, 2.0), 0.5);
  EXPECT_DOUBLE_EQ(share_of_limit({.int8_macs = 50'000'000'000, .f32_macs = 10'000'000'000}, machine, 1.0), 1.0);
  EXPECT_EQ(share_of_limit({}, machine, 1.0), 0.0);
}

}  // namespace
}  // namespace paro
