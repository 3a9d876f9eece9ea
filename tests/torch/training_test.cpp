// Training from end to end on a tiny model: what is written, how good it is, ablations, resuming, bad input.
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "calib/cpu_device.h"
#include "io/checkpoint.h"
#include "quantize_fixture.h"
#include "train/torch_trainer.h"

namespace paro::calib {
namespace {

using testing::HasSubstr;

class Training : public QuantizeTest {
 protected:
  Json run(const QuantizeOptions& o) const {
    const auto device = make_cpu_device(1);
    // One thread: tensors of a few kilobytes.
    const auto trainer = train::make_trainer("cpu", 1, train::Products::kF32);
    return quantize(o, *device, trainer.get());
  }
  /// Of every layer's output, against rounding to nearest.
  static void expect_lower_losses(const Json& report) {
    for (const Json& layer : report["layers"])
      EXPECT_LT(layer["sets"][0]["loss"].get<double>(), layer["sets"][0]["rtn_loss"].get<double>());
  }
  QuantizeOptions trained(const std::string& output, Method method = Method::kParoQuant) const {
    QuantizeOptions o = options(output, method);
    o.fit = Fit::kTrained;
    o.share_rotations = false;
    o.training = {.epochs = 4, .finish_epochs = 4, .batch = 4};
    o.training.weight_rate = 1e-4;
    o.training.quantizer_rate = 1e-5;
    o.validation = 4;
    return o;
  }
};

TEST_F(Training, TheRecipeBeatsRoundingAndItsAblations) {
  const Json report = run(trained("both"));
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-5);
  expect_lower_losses(report);
  QuantizeOptions scales = trained("scales"), stage1 = trained("stage1"), rotations = trained("rotations");
  scales.rotations = 0;
  rotations.training.channel_scales = false;
  stage1.training.finish_epochs = 0;
  for (QuantizeOptions* o : {&scales, &stage1, &rotations}) {
    o->training.epochs = 2;
    expect_lower_losses(run(*o));
  }
  quantize(options("rtn", Method::kRtn));
  EXPECT_LT(divergence("both"), 0.9 * divergence("rtn"));
  // Only rotations: channel scales stay 1; only scales: angles stay 0.
  const auto values = [&](const std::string& name, const std::string& tensor) {
    return open_checkpoint_folder(folder_ / name).weights->load_f32("model.layers.0.self_attn.q_proj." + tensor);
  };
  EXPECT_THAT(values("rotations", "channel_scales"), testing::Each(1.0f));
  EXPECT_THAT(values("scales", "theta"), testing::Each(0.0f));
  EXPECT_THAT(values("both", "theta"), testing::Contains(testing::Ne(0.0f)));
  EXPECT_THAT(values("both", "channel_scales"), testing::Contains(testing::Ne(1.0f)));
}

TEST_F(Training, TheSameSeedGivesTheSameBytesResumedOrNot) {
  QuantizeOptions o = trained("whole");
  o.training.epochs = o.training.finish_epochs = 1;
  o.tuning = {.epochs = 1, .batch = 4};
  run(o);
  QuantizeOptions again = o;
  again.output = folder_ / "resumed";
  std::atomic<bool> cancel = false;
  again.cancel = &cancel;
  std::thread stop([&] {
    while (!std::filesystem::exists(again.output / ".paro-work/layer-00000.json"))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    cancel = true;
  });
  EXPECT_THROW(run(again), Cancelled);
  stop.join();
  cancel = false;
  again.resume = true;
  run(again);
  EXPECT_EQ(bytes("resumed/model.safetensors"), bytes("whole/model.safetensors"));
}

TEST_F(Training, EfficientQatWritesAGptqCheckpoint) {
  QuantizeOptions o = trained("eqat", Method::kEfficientQat);
  o.format = "gptq";
  o.training = {.epochs = 4, .batch = 2, .weight_rate = 1e-4, .quantizer_rate = 1e-4};
  o.tuning = {.epochs = 1, .batch = 4, .rate = 1e-5};
  const Json report = run(o);
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-3);
  EXPECT_EQ(read_json(folder_ / "eqat/config.json")["quantization_config"]["quant_method"], "gptq");
  quantize(options("rtn", Method::kRtn));
  EXPECT_LT(divergence("eqat"), divergence("rtn"));
}

TEST_F(Training, TuningLowersTheDivergenceWithTheCodesUntouched) {
  for (const Method method : {Method::kParoQuant, Method::kGptq, Method::kAwq}) {
    SCOPED_TRACE(static_cast<int>(method));
    const std::string tag = std::to_string(static_cast<int>(method));
    QuantizeOptions o = options("plain" + tag, method);
    o.transform = method == Method::kParoQuant ? Transform::kHybrid : Transform::kOnline;
    run(o);
    o.output = folder_ / ("tuned" + tag);
    o.tuning = {.epochs = 4, .samples = 32, .batch = 8, .rate = 2e-4};
    o.validation = 4;
    const Json report = run(o);
    EXPECT_LT(report["verify_kl"].get<double>(), 1e-4);
    EXPECT_LT(report["tuning"]["loss_after"].get<double>(), report["tuning"]["loss_before"].get<double>());
    EXPECT_LT(divergence("tuned" + tag), divergence("plain" + tag));
    const auto plain = open_checkpoint_folder(folder_ / ("plain" + tag));
    const auto tuned = open_checkpoint_folder(folder_ / ("tuned" + tag));
    for (const TensorInfo& info : plain.weights->tensors()) {
      const LoadedTensor a = plain.weights->load(info.name), b = tuned.weights->load(info.name);
      const bool same = std::memcmp(a.view.data, b.view.data, static_cast<size_t>(a.view.bytes())) == 0;
      EXPECT_EQ(same, !info.name.ends_with(".scales")) << info.name;
    }
  }
}

TEST_F(Training, TuningOfEverything) {
  QuantizeOptions o = options("all");
  o.tuning = {.epochs = 4, .samples = 32, .batch = 8, .rate = 2e-4};
  o.tuning.parameters = {.scales = true, .norms = true, .channels = true, .angles = true};
  o.validation = 4;
  const Json report = run(o);
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-5);
  EXPECT_LT(report["tuning"]["loss_after"].get<double>(), report["tuning"]["loss_before"].get<double>());
}

TEST_F(Training, AnAbsurdRateKeepsTheBestState) {
  QuantizeOptions o = options("absurd");
  o.tuning = {.epochs = 1, .batch = 2, .rate = 1e6};
  o.validation = 4;
  const Json report = run(o);
  EXPECT_EQ(report["tuning"]["loss_after"], report["tuning"]["loss_before"]);
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-5);
  QuantizeOptions layers = trained("absurd2");
  layers.training.rotation_rate = 1e30;
  run(layers);
  EXPECT_LT(divergence("absurd2"), 1.0);
}

// Widths by linear, 8 bits among them: trained, and tuned behind the layers.
TEST_F(Training, WidthsByLinear) {
  QuantizeOptions o = trained("widths");
  o.bits_for = {{"q_proj", 2}, {"down_proj", 8}};
  o.training.epochs = o.training.finish_epochs = 1;
  o.tuning = {.epochs = 2, .batch = 2};
  const Json report = run(o);
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-5);
  expect_lower_losses(report);
  for (const Json& linear : report["layers"][0]["linears"]) {
    const std::string name = linear["name"].get<std::string>();
    EXPECT_EQ(linear["bits"], name.ends_with("q_proj") ? 2 : name.ends_with("down_proj") ? 8 : 4) << name;
  }
}

TEST_F(Training, TuningBehindAllocatedWidths) {
  QuantizeOptions o = options("allocated");
  o.target_bits = 5.0;
  o.tuning = {.epochs = 2, .batch = 2};
  const Json report = run(o);
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-5);
  EXPECT_TRUE(report.contains("allocation"));
  EXPECT_TRUE(report["quality"].is_null());
  EXPECT_EQ(report["calibration"]["held_out"], 8);
}

TEST_F(Training, BadInput) {
  try {
    train::make_trainer("cuda:7", 1, train::Products::kAuto);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kLimit);
    EXPECT_THAT(error.what(), HasSubstr("cuda:7"));
  }
  QuantizeOptions o = trained("text");
  o.validation = 4000;
  try {
    run(o);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_THAT(error.what(), HasSubstr("--validation"));
  }
}

}  // namespace
}  // namespace paro::calib
