// Quantizing from end to end on a tiny model: what is written and how good it is.
#include "calib/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "base/files.h"
#include "calib/awq.h"
#include "calib/cpu_device.h"
#include "io/checkpoint.h"
#include "quant/paro4/rtn.h"
#include "quantize_fixture.h"

namespace paro::calib {
namespace {

using testing::HasSubstr;

class Quantize : public QuantizeTest {
 protected:
  /// Qwen 2, with biases of 0.25 on q, k and v.
  void write_biased_model(const std::string& name, int64_t layers) const;
};

void Quantize::write_biased_model(const std::string& name, int64_t layers) const {
  write_tiny_model(folder_ / name, {.layers = layers, .family = "qwen2"});
  const Checkpoint source = open_checkpoint_folder(folder_ / name);
  std::vector<TensorToWrite> tensors;
  for (const TensorInfo& info : source.weights->tensors()) {
    const LoadedTensor tensor = source.weights->load(info.name);
    const auto copy = [tensor](const std::function<void(const void*, size_t)>& sink) {
      sink(tensor.view.data, static_cast<size_t>(tensor.view.bytes()));
    };
    tensors.push_back({info.name, info.dtype, info.shape, copy});
    for (const char* linear : {"q_proj.weight", "k_proj.weight", "v_proj.weight"}) {
      if (!info.name.ends_with(linear)) continue;
      const int64_t out = info.shape[0];
      const std::string bias = info.name.substr(0, info.name.size() - 6) + "bias";
      const std::vector<float> values(static_cast<size_t>(out), 0.25f);
      tensors.push_back({bias, DType::kF32, {out}, [values](const std::function<void(const void*, size_t)>& sink) {
                           sink(values.data(), values.size() * sizeof(float));
                         }});
    }
  }
  write_safetensors(folder_ / name / "model.safetensors", tensors);
}

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

// The rounded head is kept beside packed weights, and for a full-precision model on its own.
TEST_F(Quantize, RoundedHeadsAreKeptPrepared) {
  quantize(options("rtn", Method::kRtn));
  const std::vector<std::string> text = {words(20, 2)};
  for (const char* name : {"rtn", "source"}) {
    for (const HeadBits bits : {HeadBits::k4, HeadBits::k8}) {
      const std::string folder = name + std::string(bits == HeadBits::k4 ? "-4" : "-8");
      EngineOptions options = {.cpu = {.threads = 1}, .head_bits = bits};
      const auto logits = [&] {
        const auto engine = Engine::load((folder_ / name).string(), options);
        Sequence sequence(*engine);
        const auto found = sequence.feed(eval_ids(*engine, text));
        return std::vector<float>(found.begin(), found.end());
      };
      const std::vector<float> without = logits();
      options.prepared = {.folder = folder_ / folder, .min_bytes = 0};
      const auto files = [&] {
        return std::distance(std::filesystem::directory_iterator(options.prepared.folder), {});
      };
      EXPECT_EQ(logits(), without) << folder;
      ASSERT_EQ(files(), 1) << folder;
      const auto file = std::filesystem::directory_iterator(options.prepared.folder)->path();
      EXPECT_EQ(logits(), without) << folder << ": mapped";
      // The head's codes are what the second load reads: with other ones there the logits change.
      std::string content = read_file(file);
      const Json table = parse_json(content.substr(content.rfind("{\"")), "table");
      const std::string section = std::string("model.embed_tokens") + (bits == HeadBits::k4 ? ".int4" : ".int8");
      ASSERT_TRUE(table.contains(section)) << folder;
      content.replace(table[section][0].get<size_t>(), table[section][1].get<size_t>(),
                      std::string(table[section][1].get<size_t>(), '\x11'));
      write_file(file, content);
      EXPECT_NE(logits(), without) << folder;
    }
  }
  // Full precision as stored: there is nothing to prepare.
  EngineOptions plain = {.cpu = {.threads = 1}};
  plain.prepared = {.folder = folder_ / "none", .min_bytes = 0};
  Engine::load((folder_ / "source").string(), plain);
  EXPECT_FALSE(std::filesystem::exists(plain.prepared.folder));
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
  variants.push_back(options("magnitude"));
  variants.back().pairs = PairKind::kMagnitude;
  variants.back().pair_fraction = 0.25;
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
  // Four of the sixteen pairs of a round and group.
  const std::vector<float> few = theta("magnitude", "q_proj");
  EXPECT_NEAR(static_cast<double>(std::count_if(few.begin(), few.end(), [](float t) { return t != 0.0f; })),
              static_cast<double>(few.size()) / 4.0, 2.0);
  EXPECT_EQ(theta("butterfly", "q_proj"), theta("butterfly", "v_proj"));
  EXPECT_NE(theta("separate", "q_proj"), theta("separate", "v_proj"));
  // 32 channels have five butterfly rounds; the others stay at angle 0.
  const std::vector<float> angles = theta("butterfly", "q_proj");
  for (size_t i = angles.size() / 8 * 5; i < angles.size(); ++i) EXPECT_EQ(angles[i], 0.0f);
}

// The same method's codes in every format: the linears mean the same numbers, and each checkpoint opens as it says.
TEST_F(Quantize, EveryFormatHoldsTheSameWeights) {
  const std::vector<std::pair<Method, std::string>> methods = {
      {Method::kRtn, "rtn"}, {Method::kGptq, "gptq"}, {Method::kAwq, "awq"}};
  Json source_config = read_json(folder_ / "source/config.json");
  source_config["torch_dtype"] = "bfloat16";
  write_file(folder_ / "source/config.json", source_config.dump());
  for (const auto& [method, name] : methods) {
    std::vector<float> first;
    for (const char* format : {"paroquant", "awq", "gptq"}) {
      QuantizeOptions o = options(name + "-" + format, method);
      o.format = format;
      const Json report = quantize(o);
      EXPECT_LT(report["verify_kl"].get<double>(), 1e-3) << o.output;
      const Checkpoint written = open_checkpoint_folder(o.output);
      EXPECT_EQ(written.config["quantization_config"]["quant_method"], format);
      EXPECT_EQ(written.config["quantization_config"]["bits"], 4);
      EXPECT_EQ(written.config["quantization_config"]["group_size"], 32);
      EXPECT_EQ(written.config["torch_dtype"] == "float16", o.format != "paroquant") << o.format;
      EXPECT_EQ(std::filesystem::exists(o.output / "quantize_config.json"), o.format == "gptq");
      const QuantizationConfig config = parse_model_config(written.config, "config.json").quantization;
      std::vector<float> all;
      for (const char* linear : {"model.layers.0.self_attn.v_proj", "model.layers.2.mlp.down_proj"}) {
        const std::vector<int64_t> shape =
            open_checkpoint_folder(folder_ / "source").weights->require(std::string(linear) + ".weight").shape;
        const std::vector<float> w =
            make_cpu_linear(*written.weights, linear, shape[0], shape[1], false, config)->dequantize();
        all.insert(all.end(), w.begin(), w.end());
      }
      if (first.empty()) first = all;
      EXPECT_EQ(all, first) << o.output;
    }
  }
}

// With all rotations merged nothing is left that AWQ and GPTQ could not hold.
TEST_F(Quantize, MergedRotationsAreWrittenAsAwqAndGptq) {
  for (const char* format : {"awq", "gptq"}) {
    QuantizeOptions o = options(std::string("merged-") + format);
    o.transform = Transform::kMerged;
    o.format = format;
    EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3) << format;
    const Checkpoint written = open_checkpoint_folder(o.output);
    EXPECT_EQ(written.config["quantization_config"]["quant_method"], format);
    EXPECT_FALSE(written.weights->has("model.layers.0.mlp.down_proj.theta"));
    o.transform = Transform::kHybrid;
    o.output = folder_ / "hybrid";
    expect_error(o, ErrorKind::kUsage, {format, "--transform merged"});
  }
}

TEST_F(Quantize, AwqIsCloserThanNearestAndScalesWithoutClippingAlready) {
  write_tiny_model(folder_ / "source", {.layers = 3, .kv_heads = 1});
  quantize(options("rtn", Method::kRtn));
  QuantizeOptions o = options("scales", Method::kAwq);
  o.format = "awq";
  o.clip = false;
  const Json scales = quantize(o);
  o = options("awq", Method::kAwq);
  o.format = "awq";
  const Json report = quantize(o);
  double without = 0.0, with = 0.0;
  for (size_t layer = 0; layer < 3; ++layer)
    for (size_t set = 0; set < 4; ++set) {
      const Json& a = scales["layers"][layer]["sets"][set];
      const Json& b = report["layers"][layer]["sets"][set];
      EXPECT_LE(a["fit"].get<double>(), 1.0);
      without += a["loss"].get<double>();
      with += b["loss"].get<double>();
    }
  EXPECT_LT(with, without);
  const double rtn = divergence("rtn"), scaled = divergence("scales"), awq = divergence("awq");
  EXPECT_LT(scaled, rtn);
  EXPECT_LT(awq, rtn);
  EXPECT_THAT(bytes("awq/README.md"), HasSubstr("\"method\": \"awq\""));
  EXPECT_THAT(bytes("awq/README.md"), HasSubstr("4 bits in the AWQ format"));
}

// Only the parts are moved: a layer with scales in it gives what the layer gave, with shared value heads, with biases,
// with linears left out.
TEST_F(Quantize, AwqScalesChangeNoOutput) {
  for (const char* family : {"llama", "qwen2", "mistral"}) {
    const std::string name = std::string("fold-") + family;
    if (name == "fold-qwen2")
      write_biased_model(name, 1);
    else
      write_tiny_model(folder_ / name, {.layers = 1, .family = family});
    const Checkpoint source = open_checkpoint_folder(folder_ / name);
    const ModelConfig config = parse_model_config(source.config, "config.json");
    const auto device = make_cpu_device(2);
    const auto ends = load_model_ends(config, *source.weights, device->factory());
    for (const std::string skip : {"none", "v_proj", "up_proj", "q_proj"}) {
      QuantizeOptions o = options("unused", Method::kAwq);
      std::vector<int32_t> ids(128);
      for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 37 % 250);
      Streams streams(config, ids, 64, false, *device);
      streams.embed(*ends);
      const auto plain = load_layer(config, 0, *ends->rope, *source.weights, device->factory());
      const auto skipped = [&](const std::string& linear) { return linear.ends_with(skip); };
      const AwqLayer awq = AwqScaler(o, *device).scale(*plain, *source.weights, streams, skipped, [] {});
      EXPECT_GE(awq.tensors.size(), 7u);
      const ReplacedSource replaced(*source.weights, awq.tensors);
      const auto scaled = load_layer(config, 0, *ends->rope, replaced, device->factory());
      const auto run = [&](const DecoderLayer& layer) {
        std::vector<float> x;
        streams.for_each([&](const Streams::Part& part) {
          x.assign(part.quantized.f32(), part.quantized.f32() + part.quantized.rows * part.quantized.dim);
          layer.forward(device->ops(), {x.data(), part.quantized.rows, part.quantized.dim}, part.batch);
        });
        return x;
      };
      const std::vector<float> before = run(*plain), after = run(*scaled);
      double error = 0.0, energy = 0.0;
      for (size_t i = 0; i < before.size(); ++i) {
        error += std::pow(before[i] - after[i], 2.0);
        energy += std::pow(before[i], 2.0);
      }
      // The cache rounds keys and the scaled values to f16: 2^-11 of each at most. So do weights that stay 16-bit.
      EXPECT_LT(std::sqrt(error / energy), skip == "none" ? 0x1p-11 : 0x1p-10) << family << " without " << skip;
      bool changed = false;
      for (const ReplacedTensor& t : awq.tensors) changed = changed || t.values != source.weights->load_f32(t.name);
      EXPECT_TRUE(changed);
    }
  }
}

TEST_F(Quantize, ActOrderIsWrittenAndRead) {
  QuantizeOptions o = options("ordered", Method::kGptq);
  o.act_order = true;
  o.format = "gptq";
  EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3);
  const Checkpoint written = open_checkpoint_folder(folder_ / "ordered");
  EXPECT_EQ(written.config["quantization_config"]["desc_act"], true);
  const LoadedTensor g_idx = written.weights->load("model.layers.1.mlp.down_proj.g_idx");
  bool plain = true;
  for (int32_t i = 0; i < 128; ++i) {
    int32_t group;
    std::memcpy(&group, g_idx.view.data + i * 4, 4);
    plain = plain && group == i / 32;
  }
  EXPECT_FALSE(plain);
  quantize(options("rtn", Method::kRtn));
  EXPECT_LT(divergence("ordered"), divergence("rtn"));
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

TEST_F(Quantize, BiasesTakePartInTheCorrection) {
  write_biased_model("biased", 2);
  QuantizeOptions o = options("out");
  o.model = (folder_ / "biased").string();
  EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3);
  const Checkpoint written = open_checkpoint_folder(folder_ / "out");
  EXPECT_EQ(written.weights->load_f32("model.layers.1.self_attn.k_proj.bias")[3], 0.25f);
}

}  // namespace
}  // namespace paro::calib
