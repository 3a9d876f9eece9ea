// `--transform hybrid|merged` from end to end on a tiny model: what is written, how good it is, interruption, bad
// input.
#include "calib/transform.h"
#include "calib/cpu_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "io/checkpoint.h"
#include "quant/paro4/format.h"
#include "quantize_fixture.h"

namespace paro::calib {
namespace {

class TransformedCheckpoint : public QuantizeTest {
 protected:
  QuantizeOptions transformed(const std::string& output, Transform transform) const {
    QuantizeOptions o = options(output);
    o.transform = transform;
    return o;
  }
  bool has_angles(const Checkpoint& checkpoint, const std::string& linear) const {
    const std::string name = "model.layers.1." + linear;
    EXPECT_THAT(checkpoint.weights->load_f32(name + ".channel_scales"), testing::Each(1.0f)) << linear;
    const std::vector<float> theta = checkpoint.weights->load_f32(name + ".theta");
    return std::any_of(theta.begin(), theta.end(), [](float t) { return t != 0.0f; });
  }
};

TEST_F(TransformedCheckpoint, HybridRotatesDownAloneWhenItRuns) {
  const Json report = quantize(transformed("hybrid", Transform::kHybrid));
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-3);
  EXPECT_LT(report["transform"]["residual_loss"].get<double>(), 1.0);
  const Checkpoint written = open_checkpoint_folder(folder_ / "hybrid");
  EXPECT_EQ(written.config["quantization_config"]["krot"], 4);
  for (const char* linear :
       {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj"})
    EXPECT_FALSE(has_angles(written, linear)) << linear;
  EXPECT_TRUE(has_angles(written, "mlp.down_proj"));
  // Every linear has as many rounds as the config says, as other readers expect.
  EXPECT_EQ(written.weights->require("model.layers.1.self_attn.q_proj.theta").shape, (std::vector<int64_t>{4, 32}));
  EXPECT_EQ(written.config["tie_word_embeddings"], false);
  EXPECT_EQ(written.weights->require("lm_head.weight").dtype, DType::kF16);
  EXPECT_THAT(written.weights->load_f32("model.norm.weight"), testing::Each(1.0f));
  EXPECT_THAT(bytes("hybrid/README.md"), testing::HasSubstr("\"transform\": \"hybrid\""));
  EXPECT_THAT(bytes("hybrid/README.md"), testing::HasSubstr("merged into the weights"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "hybrid/.paro-work"));
}

TEST_F(TransformedCheckpoint, MergedRotatesNothingWhenItRuns) {
  quantize(transformed("merged", Transform::kMerged));
  const Checkpoint written = open_checkpoint_folder(folder_ / "merged");
  EXPECT_EQ(written.config["quantization_config"]["krot"], 1);
  for (const char* linear : {"self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"})
    EXPECT_FALSE(has_angles(written, linear)) << linear;
}

TEST_F(TransformedCheckpoint, MergingIsWorthIt) {
  quantize(options("gptq", Method::kGptq));
  const Json merged = quantize(transformed("merged", Transform::kMerged));
  const Json hybrid = quantize(transformed("hybrid", Transform::kHybrid));
  EXPECT_LT(divergence("merged"), divergence("gptq"));
  EXPECT_LT(divergence("hybrid"), divergence("gptq"));
  // What hybrid adds is the rotation of down's input.
  for (size_t layer = 0; layer < merged["layers"].size(); ++layer)
    EXPECT_LT(hybrid["layers"][layer]["sets"][3]["loss"].get<double>(),
              merged["layers"][layer]["sets"][3]["loss"].get<double>())
        << layer;
}

TEST_F(TransformedCheckpoint, SeedsDecideTheBytes) {
  quantize(transformed("one", Transform::kHybrid));
  quantize(transformed("two", Transform::kHybrid));
  QuantizeOptions other = transformed("other", Transform::kHybrid);
  other.seed = 1;
  quantize(other);
  EXPECT_EQ(bytes("one/model.safetensors"), bytes("two/model.safetensors"));
  EXPECT_NE(bytes("one/model.safetensors"), bytes("other/model.safetensors"));
}

TEST_F(TransformedCheckpoint, AnInterruptedRunResumesToTheSameBytes) {
  quantize(transformed("whole", Transform::kHybrid));
  // Stopped while the moments are measured, while rotations are learned, and in the first layer with them on disk.
  for (const char* seen : {"ids.i32", "moments-00002.safetensors", "transform.json"}) {
    const std::string name = std::string("after-") + seen;
    std::atomic<bool> cancel = false, over = false;
    QuantizeOptions o = transformed(name, Transform::kHybrid);
    o.cancel = &cancel;
    std::thread watch([&] {
      while (!over && !std::filesystem::exists(o.output / ".paro-work" / seen))
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      cancel = true;
    });
    EXPECT_THROW(quantize(o), Cancelled) << seen;
    over = true;
    watch.join();
    EXPECT_FALSE(std::filesystem::exists(o.output / "config.json"));
    o.cancel = nullptr;
    o.resume = true;
    o.transform = Transform::kMerged;
    expect_error(o, ErrorKind::kInput, {"\"transform\"", "hybrid"});
    o.transform = Transform::kHybrid;
    quantize(o);
    EXPECT_EQ(bytes(name + "/model.safetensors"), bytes("whole/model.safetensors")) << seen;
    EXPECT_EQ(bytes(name + "/config.json"), bytes("whole/config.json"));
  }
}

TEST_F(TransformedCheckpoint, SpoiledRotationsAreNamed) {
  std::atomic<bool> cancel = false;
  QuantizeOptions o = transformed("spoiled", Transform::kMerged);
  o.cancel = &cancel;
  const auto work = o.output / ".paro-work";
  std::thread watch([&] {
    while (!std::filesystem::exists(work / "transform.json"))
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    cancel = true;
  });
  EXPECT_THROW(quantize(o), Cancelled);
  watch.join();
  o.cancel = nullptr;
  o.resume = true;
  const std::string good = read_file(work / "rotations.safetensors");
  write_file(work / "rotations.safetensors", good.substr(0, good.size() / 2));
  expect_error(o, ErrorKind::kInput, {"rotations.safetensors"});
  // Zeros are no rotation.
  std::string zero = good;
  std::fill(zero.end() - 64 * 64 * 8, zero.end(), '\0');
  write_file(work / "rotations.safetensors", zero);
  expect_error(o, ErrorKind::kInput, {"rotations.safetensors", "orthogonal"});
  write_file(work / "rotations.safetensors", good);
  EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3);
}

TEST_F(TransformedCheckpoint, EveryKindOfLinearCanBeSkipped) {
  for (const char* skip : {"v_proj|o_proj", "self_attn", "mlp", "proj"}) {
    QuantizeOptions o = transformed(std::string("without ") + skip, Transform::kHybrid);
    o.skip = {skip};
    EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3) << skip;
  }
}

TEST_F(TransformedCheckpoint, UntiedHeadsAreMergedToo) {
  write_tiny_model(folder_ / "untied", {.layers = 2, .tied_embeddings = false});
  QuantizeOptions o = transformed("out", Transform::kHybrid);
  o.model = (folder_ / "untied").string();
  EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3);
}

TEST_F(TransformedCheckpoint, TheEstimateCountsTheLearning) {
  const auto device = make_cpu_device(1);
  const Json online = estimate_quantize(transformed("never", Transform::kOnline), *device);
  const Json hybrid = estimate_quantize(transformed("never", Transform::kHybrid), *device);
  EXPECT_EQ(hybrid["settings"]["transform"], "hybrid");
  EXPECT_GT(hybrid["seconds"].get<double>(), online["seconds"].get<double>());
  EXPECT_GT(hybrid["disk_bytes"].get<double>(), online["disk_bytes"].get<double>());
}

}  // namespace
}  // namespace paro::calib
