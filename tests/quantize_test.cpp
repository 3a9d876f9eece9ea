// Quantizing from end to end on a tiny model: what is written, how good it is, interruption and resuming, bad input.
#include "calib/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <thread>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "calib/numeric/random.h"
#include "calib/self_text.h"
#include "io/checkpoint.h"
#include "quant/paro4/rtn.h"
#include "runtime/evaluate.h"
#include "tiny_model.h"

namespace paro::calib {
namespace {

using testing::HasSubstr;

/// Seeded words: enough structure that the inputs of linears correlate.
std::string words(int64_t count, uint64_t seed) {
  const char* const list[] = {"the ",   "river ", "and ",    "a ",  "stone ", "turns ", "under ", "light ", "of ",
                              "seven ", "old ",   "doors. ", "It ", "was ",   "never ", "said, ", "but ",   "then\n"};
  Random random(seed);
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += list[random.below(std::ssize(list))];
  return text;
}

class Quantize : public testing::Test {
 protected:
  Quantize() : level_(log_level()) {
    set_log_level(LogLevel::kQuiet);
    write_tiny_model(folder_ / "source", {.layers = 3});
    write_file(folder_ / "text.txt", words(1500, 1));
  }
  ~Quantize() override { set_log_level(level_); }

  QuantizeOptions options(const std::string& output, Method method = Method::kParoQuant) const {
    QuantizeOptions o;
    o.model = (folder_ / "source").string();
    o.output = folder_ / output;
    o.method = method;
    o.group_size = 32;
    o.rotations = method == Method::kParoQuant ? 4 : 0;
    o.calibration = {folder_ / "text.txt"};
    o.samples = 8;
    o.seq_len = 64;
    o.threads = 2;
    return o;
  }
  std::unique_ptr<Engine> load(const std::string& name) const {
    return Engine::load((folder_ / name).string(), {.cpu = {.threads = 1, .activations = Activations::kF32}});
  }
  double divergence(const std::string& name) const {
    const auto teacher = load("source");
    const auto student = load(name);
    const std::vector<std::string> text = {words(600, 2)};
    return evaluate_kl(*student, *teacher, eval_ids(*student, text), {.window = 64}).kl_mean;
  }
  std::string bytes(const std::string& file) const { return read_file(folder_ / file); }

  /// Expects an Error of this kind whose message holds all of `parts`, and no checkpoint behind it.
  void expect_error(const QuantizeOptions& o, ErrorKind kind, const std::vector<std::string>& parts) const {
    try {
      quantize(o);
      ADD_FAILURE() << "no error; expected " << parts.front();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }

  TemporaryFolder folder_;
  LogLevel level_;
};

TEST_F(Quantize, RoundToNearestIsTheFormatsOwn) {
  const Json report = quantize(options("rtn", Method::kRtn));
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-3);
  const Checkpoint source = open_checkpoint_folder(folder_ / "source");
  const Checkpoint written = open_checkpoint_folder(folder_ / "rtn");
  EXPECT_EQ(written.config["quantization_config"]["quant_method"], "paroquant");
  EXPECT_EQ(written.config["quantization_config"]["group_size"], 32);
  for (const char* linear : {"model.layers.0.self_attn.k_proj", "model.layers.2.mlp.down_proj"}) {
    const TensorInfo& info = source.weights->require(std::string(linear) + ".weight");
    const int64_t out = info.shape[0], in = info.shape[1];
    const Paro4Weight found = read_paro4(*written.weights, linear, out, in, false);
    const Paro4Weight expected =
        quantize_rtn(source.weights->load_f32(info.name).data(), out, in, 32, identity_rotation(in, 32));
    EXPECT_EQ(found.codes, expected.codes);
    EXPECT_EQ(found.zeros, expected.zeros);
    EXPECT_EQ(found.scales, expected.scales);
    EXPECT_FALSE(written.weights->has(std::string(linear) + ".weight"));
  }
  EXPECT_EQ(written.weights->load_f32("model.norm.weight"), source.weights->load_f32("model.norm.weight"));
  EXPECT_EQ(bytes("rtn/tokenizer.json"), bytes("source/tokenizer.json"));
  EXPECT_EQ(bytes("rtn/generation_config.json"), bytes("source/generation_config.json"));
  EXPECT_THAT(bytes("rtn/README.md"), HasSubstr("\"method\": \"rtn\""));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "rtn/.paro-work"));
}

TEST_F(Quantize, EachStepOfTheMethodBringsTheModelCloser) {
  quantize(options("rtn", Method::kRtn));
  QuantizeOptions uncorrected = options("uncorrected", Method::kGptq);
  uncorrected.correction = Correction::kOff;
  quantize(uncorrected);
  quantize(options("gptq", Method::kGptq));
  const Json report = quantize(options("paro"));
  for (const Json& layer : report["layers"])
    for (const Json& set : layer["sets"]) {
      EXPECT_LT(set["loss"].get<double>(), set["rtn_loss"].get<double>());
      EXPECT_LT(set["fit"].get<double>(), 1.0);
    }
  const double rtn = divergence("rtn"), plain = divergence("uncorrected"), gptq = divergence("gptq"),
               paro = divergence("paro");
  EXPECT_LT(plain, 0.9 * rtn);
  EXPECT_LT(gptq, plain);
  EXPECT_LT(paro, gptq);
}

TEST_F(Quantize, VariantsAreWrittenAndVerified) {
  std::vector<QuantizeOptions> variants;
  variants.push_back(options("butterfly"));
  variants.back().pairs = PairKind::kButterfly;
  variants.back().rotations = 8;
  variants.push_back(options("separate"));
  variants.back().share_rotations = false;
  variants.push_back(options("target"));
  variants.back().correction = Correction::kTarget;
  variants.push_back(options("sweeps"));
  variants.back().sweeps = 1;
  variants.push_back(options("skip"));
  variants.back().skip = {"q_proj", "layers\\.1\\..*down"};
  for (const QuantizeOptions& o : variants) EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3) << o.output;

  const Checkpoint skipped = open_checkpoint_folder(folder_ / "skip");
  EXPECT_TRUE(skipped.weights->has("model.layers.0.self_attn.q_proj.weight"));
  EXPECT_TRUE(skipped.weights->has("model.layers.0.self_attn.k_proj.qweight"));
  EXPECT_TRUE(skipped.weights->has("model.layers.1.mlp.down_proj.weight"));
  EXPECT_TRUE(skipped.weights->has("model.layers.2.mlp.down_proj.qweight"));

  const auto theta = [&](const char* folder, const char* linear) {
    return open_checkpoint_folder(folder_ / folder)
        .weights->load_f32(std::string("model.layers.0.self_attn.") + linear + ".theta");
  };
  EXPECT_EQ(theta("butterfly", "q_proj"), theta("butterfly", "v_proj"));
  EXPECT_NE(theta("separate", "q_proj"), theta("separate", "v_proj"));
  // 32 channels have five butterfly rounds; the others stay at angle 0.
  const std::vector<float> angles = theta("butterfly", "q_proj");
  for (size_t i = angles.size() / 8 * 5; i < angles.size(); ++i) EXPECT_EQ(angles[i], 0.0f);
}

TEST_F(Quantize, SeedsDecideTheBytes) {
  quantize(options("one"));
  quantize(options("two"));
  QuantizeOptions other = options("other");
  other.seed = 1;
  quantize(other);
  EXPECT_EQ(bytes("one/model.safetensors"), bytes("two/model.safetensors"));
  EXPECT_NE(bytes("one/model.safetensors"), bytes("other/model.safetensors"));
}

/// What a run reports that does not depend on the time it took or where it wrote.
Json lasting(Json report) {
  for (const char* key : {"output", "seconds", "bytes"}) report.erase(key);
  for (Json& layer : report["layers"]) layer.erase("seconds");
  return report;
}

TEST_F(Quantize, AnInterruptedRunResumesToTheSameBytes) {
  const Json whole = lasting(quantize(options("whole")));
  for (int done = 0; done < 3; ++done) {
    const std::string name = "interrupted" + std::to_string(done);
    std::atomic<bool> cancel = done == 0;
    QuantizeOptions o = options(name);
    o.cancel = &cancel;
    std::atomic<bool> over = false;
    std::thread watch([&] {
      const auto finished = o.output / ".paro-work" / ("layer-0000" + std::to_string(done - 1) + ".json");
      while (done > 0 && !over && !std::filesystem::exists(finished))
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      cancel = true;
    });
    EXPECT_THROW(quantize(o), Cancelled) << done;
    over = true;
    watch.join();
    EXPECT_FALSE(std::filesystem::exists(o.output / "config.json"));

    // Not without --resume, and not with other settings.
    o.cancel = nullptr;
    expect_error(o, ErrorKind::kInput, {name, "--resume"});
    o.resume = true;
    o.seed = 5;
    expect_error(o, ErrorKind::kInput, {"\"seed\""});
    o.seed = 0;
    EXPECT_EQ(lasting(quantize(o)), whole) << done;
    EXPECT_EQ(bytes(name + "/model.safetensors"), bytes("whole/model.safetensors")) << done;
    EXPECT_EQ(bytes(name + "/config.json"), bytes("whole/config.json"));
  }
}

TEST_F(Quantize, AnotherTextOfTheSameSettingsIsNoticedOrUnused) {
  // The ids of the first run are kept: a resumed run continues with them, whatever happened to the file.
  quantize(options("whole"));
  std::atomic<bool> cancel = true;
  QuantizeOptions o = options("resumed");
  o.cancel = &cancel;
  EXPECT_THROW(quantize(o), Cancelled);
  o.cancel = nullptr;
  o.resume = true;
  quantize(o);
  EXPECT_EQ(bytes("resumed/model.safetensors"), bytes("whole/model.safetensors"));
}

TEST_F(Quantize, WrongFlagsAndTextsAreExplained) {
  QuantizeOptions o = options("bad");
  o.group_size = 128;
  expect_error(o, ErrorKind::kInput, {"128", "q_proj", "64", "32"});
  o = options("bad");
  o.skip = {"("};
  expect_error(o, ErrorKind::kUsage, {"--skip"});
  o = options("bad");
  o.samples = 100000;
  expect_error(o, ErrorKind::kInput, {"100000", "64"});
  o = options("bad");
  o.seq_len = 512;
  expect_error(o, ErrorKind::kInput, {"512", "256"});
  o = options("bad");
  o.calibration = {folder_ / "missing.txt"};
  expect_error(o, ErrorKind::kInput, {"missing.txt"});
  o.calibration = {folder_ / "empty.txt"};
  write_file(folder_ / "empty.txt", "");
  o.resume = true;
  expect_error(o, ErrorKind::kInput, {"empty.txt"});
  write_file(folder_ / "lines.jsonl", "{\"text\": \"one\"}\n{\"text\": 2}\n");
  o = options("bad2");
  o.calibration = {folder_ / "lines.jsonl"};
  expect_error(o, ErrorKind::kInput, {"lines.jsonl:2", "text"});
}

TEST_F(Quantize, AFinishedOutputIsNotOverwritten) {
  quantize(options("done", Method::kRtn));
  const std::string before = bytes("done/model.safetensors");
  QuantizeOptions o = options("done", Method::kGptq);
  expect_error(o, ErrorKind::kInput, {"done", "config.json"});
  EXPECT_EQ(bytes("done/model.safetensors"), before);
  o = options("again");
  o.model = (folder_ / "done").string();
  expect_error(o, ErrorKind::kInput, {"paroquant"});
}

TEST_F(Quantize, WeightsThatAreNotFiniteAreNamed) {
  // One infinite value in a linear of the second layer.
  std::string file = bytes("source/model.safetensors");
  const Checkpoint source = open_checkpoint_folder(folder_ / "source");
  const LoadedTensor tensor = source.weights->load("model.layers.1.mlp.up_proj.weight");
  const LoadedTensor first = source.weights->load(source.weights->tensors()[0].name);
  const std::string_view needle(reinterpret_cast<const char*>(tensor.view.data), 64);
  const size_t at = file.find(needle);
  ASSERT_NE(at, std::string::npos);
  file[at] = 0;
  file[at + 1] = 0x7c;
  write_file(folder_ / "source/model.safetensors", file);
  for (const Method method : {Method::kRtn, Method::kParoQuant})
    expect_error(options(method == Method::kRtn ? "r" : "p", method), ErrorKind::kInput,
                 {"model.layers.1.mlp.up_proj.weight"});
}

TEST_F(Quantize, EqualAndZeroWeightsSurvive) {
  // A dead layer: every linear zero (norms and embeddings stay).
  const Checkpoint source = open_checkpoint_folder(folder_ / "source");
  std::vector<TensorToWrite> tensors;
  for (const TensorInfo& info : source.weights->tensors()) {
    const LoadedTensor tensor = source.weights->load(info.name);
    const bool dead = info.name.starts_with("model.layers.1.") && info.name.ends_with("_proj.weight");
    const auto* begin = reinterpret_cast<const char*>(tensor.view.data);
    std::string data(begin, begin + tensor.view.bytes());
    if (dead) data.assign(data.size(), '\0');
    tensors.push_back({info.name, info.dtype, info.shape, [data](const std::function<void(const void*, size_t)>& sink) {
                         sink(data.data(), data.size());
                       }});
  }
  std::filesystem::copy(folder_ / "source", folder_ / "dead");
  std::filesystem::remove(folder_ / "dead/model.safetensors");
  write_safetensors(folder_ / "dead/model.safetensors", tensors);
  QuantizeOptions o = options("revived");
  o.model = (folder_ / "dead").string();
  const Json report = quantize(o);
  EXPECT_LT(report["verify_kl"].get<double>(), 1e-3);
}

TEST_F(Quantize, TheEstimateCountsWithoutWriting) {
  const Json estimate = estimate_quantize(options("never"));
  EXPECT_EQ(estimate["tokens"], 8 * 64);
  EXPECT_GT(estimate["seconds"].get<double>(), 0.0);
  EXPECT_GT(estimate["memory_bytes"].get<int64_t>(), 2 * 8 * 64 * 64 * 4);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "never"));
}

TEST_F(Quantize, SampledTextIsTheSeeds) {
  const auto engine = load("source");
  const std::vector<int32_t> starts = {1, 2, 3};
  const auto draw = [&](uint64_t seed) {
    return sample_text(engine->model(), engine->ops(), starts, {.samples = 5, .length = 24, .seed = seed});
  };
  const std::vector<int32_t> ids = draw(1);
  ASSERT_EQ(std::ssize(ids), 5 * 24);
  for (const int32_t id : ids) EXPECT_TRUE(id >= 0 && id < engine->config().vocab_size);
  EXPECT_EQ(ids, draw(1));
  EXPECT_NE(ids, draw(2));
  const std::atomic<bool> cancel = true;
  EXPECT_TRUE(
      sample_text(engine->model(), engine->ops(), starts, {.samples = 2, .length = 8, .cancel = &cancel}).empty());

  QuantizeOptions o = options("self");
  o.calibration.clear();
  o.samples = 3;
  o.seq_len = 32;
  EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3);
}

TEST_F(Quantize, BiasesTakePartInTheCorrection) {
  // Qwen 2 has biases on q, k and v.
  write_tiny_model(folder_ / "qwen", {.layers = 2, .family = "qwen2"});
  const Checkpoint source = open_checkpoint_folder(folder_ / "qwen");
  std::vector<TensorToWrite> tensors;
  for (const TensorInfo& info : source.weights->tensors()) {
    const LoadedTensor tensor = source.weights->load(info.name);
    const auto copy = [tensor](const std::function<void(const void*, size_t)>& sink) {
      sink(tensor.view.data, static_cast<size_t>(tensor.view.bytes()));
    };
    tensors.push_back({info.name, info.dtype, info.shape, copy});
    for (const char* name : {"q_proj.weight", "k_proj.weight", "v_proj.weight"}) {
      if (!info.name.ends_with(name)) continue;
      const int64_t out = info.shape[0];
      const std::string bias = info.name.substr(0, info.name.size() - 6) + "bias";
      const std::vector<float> values(static_cast<size_t>(out), 0.25f);
      tensors.push_back({bias, DType::kF32, {out}, [values](const std::function<void(const void*, size_t)>& sink) {
                           sink(values.data(), values.size() * sizeof(float));
                         }});
    }
  }
  std::filesystem::copy(folder_ / "qwen", folder_ / "biased");
  std::filesystem::remove(folder_ / "biased/model.safetensors");
  write_safetensors(folder_ / "biased/model.safetensors", tensors);
  QuantizeOptions o = options("out");
  o.model = (folder_ / "biased").string();
  EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3);
  const Checkpoint written = open_checkpoint_folder(folder_ / "out");
  EXPECT_EQ(written.weights->load_f32("model.layers.1.self_attn.k_proj.bias")[3], 0.25f);
}

}  // namespace
}  // namespace paro::calib
