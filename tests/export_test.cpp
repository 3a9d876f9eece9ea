// paro export: what a quantized checkpoint becomes in other formats means what it meant.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <tuple>

#include "base/files.h"
#include "io/checkpoint.h"
#include "model/open_checkpoint.h"
#include "quant/paro4/format.h"
#include "quant/plain_weights.h"
#include "run_paro.h"
#include "tiny_model.h"

namespace paro {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* kText =
    "the river and a stone turns under the light of seven old doors. It was never said, but then the river and the "
    "end in a hen on the other side; then there is more and more of it, 1234567 times: ever on and on and on. ";

class Export : public testing::Test {
 protected:
  /// A tiny model and the same quantized, by more `flags` than the usual ones.
  void make(const TinyModel& shape, const std::vector<std::string>& flags = {}) {
    write_tiny_model(folder_ / "source", shape);
    std::string text;
    for (int i = 0; i < 30; ++i) text += kText;
    write_file(folder_ / "text.txt", text);
    std::vector<std::string> arguments = {
        "quantize",      at("source"),   "-o",        at("q"), "--group-size", "32", "--rotations", "4",
        "--calibration", at("text.txt"), "--samples", "6",     "--seq-len",    "64", "--threads",   "1",
        "--quiet"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome run = run_paro(arguments);
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  Outcome run_export(const std::string& model, const std::string& output, const std::string& format) {
    return run_paro({"export", at(model), "-o", at(output), "--format", format, "--quiet"});
  }
  /// Logits of the text's first tokens, f32 activations.
  std::vector<float> logits(const std::string& model) {
    const Outcome run = run_paro({"logits", at(model), "--text", kText, "-o", at("logits.f32"), "--activations", "f32",
                                  "--threads", "1", "--no-prepared-cache"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    const std::string bytes = read_file(folder_ / "logits.f32");
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  /// Of every plain weight the exact value of W_effective in long double, rounded once by search.
  void expect_exact(const std::string& quantized, const std::string& plain, DType type);

  TemporaryFolder folder_;
};

/// The 16-bit number nearest to a value, ties to even, found among the neighbours of a first guess.
uint16_t nearest_16(long double value, DType type) {
  const auto back = [&](uint16_t bits) -> long double {
    return type == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
  };
  const auto guess =
      type == DType::kF16 ? f32_to_f16(static_cast<float>(value)) : f32_to_bf16(static_cast<float>(value));
  uint16_t best = guess;
  for (int step = -2; step <= 2; ++step) {
    const auto candidate = static_cast<uint16_t>(guess + step);
    if ((candidate & 0x8000) != (guess & 0x8000)) continue;
    const long double distance = std::fabs(back(candidate) - value);
    const long double least = std::fabs(back(best) - value);
    if (distance < least || (distance == least && candidate % 2 == 0)) best = candidate;
  }
  return best;
}

void Export::expect_exact(const std::string& quantized, const std::string& plain, DType type) {
  const Checkpoint from = open_checkpoint_folder(folder_ / quantized);
  const Checkpoint to = open_checkpoint_folder(folder_ / plain);
  const ModelConfig config = parse_model_config(from.config, "q");
  const std::vector<LinearShape> linears = quantized_linears(config, *from.weights);
  ASSERT_EQ(linears.size(), static_cast<size_t>(7 * config.layers));
  int64_t different = 0;
  for (const LinearShape& linear : linears) {
    const Paro4Weight w = read_linear(*from.weights, linear, config.quantization);
    const PairRotation& rotation = *w.rotation;
    // R [in, in] by its definition: every round's product from the left, R = R_K ... R_1.
    std::vector<std::vector<long double>> r(static_cast<size_t>(w.in),
                                            std::vector<long double>(static_cast<size_t>(w.in)));
    for (int64_t i = 0; i < w.in; ++i) r[static_cast<size_t>(i)][static_cast<size_t>(i)] = 1;
    for (int64_t round = 0; round < rotation.rounds; ++round)
      for (int64_t t = 0; t < w.in / 2; ++t) {
        const long double angle = rotation.theta[static_cast<size_t>(round * w.in / 2 + t)];
        const int64_t first = 2 * t / w.group_size * w.group_size;
        auto& row_i = r[static_cast<size_t>(first + rotation.pairs[static_cast<size_t>(round * w.in + 2 * t)])];
        auto& row_j = r[static_cast<size_t>(first + rotation.pairs[static_cast<size_t>(round * w.in + 2 * t + 1)])];
        for (size_t c = 0; c < row_i.size(); ++c) {
          const long double a = row_i[c], b = row_j[c];
          row_i[c] = std::cos(angle) * a + std::sin(angle) * b;
          row_j[c] = std::cos(angle) * b - std::sin(angle) * a;
        }
      }
    const LoadedTensor found = to.weights->load(linear.name + ".weight");
    ASSERT_EQ(found.view.dtype, type);
    for (int64_t o = 0; o < w.out; ++o)
      for (int64_t c = 0; c < w.in; ++c) {
        long double sum = 0;
        for (int64_t i = c / w.group_size * w.group_size; i < (c / w.group_size + 1) * w.group_size; ++i) {
          const auto group = static_cast<size_t>(o * (w.in / w.group_size) + i / w.group_size);
          sum += static_cast<long double>(w.codes[static_cast<size_t>(o * w.in + i)] - w.zeros[group]) *
                 static_cast<long double>(w.scales[group]) * r[static_cast<size_t>(i)][static_cast<size_t>(c)];
        }
        sum *= static_cast<long double>(rotation.channel_scales[static_cast<size_t>(c)]);
        uint16_t bits = 0;
        const int64_t column = w.order.empty() ? c : w.order[static_cast<size_t>(c)];
        std::memcpy(&bits, found.view.data + 2 * (o * w.in + column), sizeof bits);
        different += bits != nearest_16(sum, type) ? 1 : 0;
      }
  }
  // A sum of 32 products in f64 is within 1e-14 of exact; that it lies so close to the middle between two 16-bit
  // numbers is not to be expected in 80,000 weights.
  EXPECT_EQ(different, 0);
}

TEST_F(Export, PlainWeightsAreTheQuantizedOnesRoundedOnce) {
  make({.layers = 2, .max_positions = 512}, {"--transform", "online"});
  for (const auto& [format, name, type] :
       {std::tuple("hf-fp16", "float16", DType::kF16), std::tuple("hf-bf16", "bfloat16", DType::kBF16)}) {
    const Outcome run = run_export("q", format, format);
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.out, at(format) + "\n");
    expect_exact("q", format, type);
    const Json config = read_json(folder_ / format / "config.json");
    EXPECT_FALSE(config.contains("quantization_config"));
    EXPECT_EQ(config["torch_dtype"], name);
    EXPECT_EQ(read_file(folder_ / format / "tokenizer.json"), read_file(folder_ / "source/tokenizer.json"));
    EXPECT_TRUE(fs::exists(folder_ / format / "README.md"));
  }
  // f16 keeps 11 bits of each weight: the logits differ by its rounding only.
  const std::vector<float> quantized = logits("q"), plain = logits("hf-fp16");
  ASSERT_EQ(quantized.size(), plain.size());
  for (size_t i = 0; i < plain.size(); ++i) ASSERT_NEAR(quantized[i], plain[i], 0.02);
  // A plain checkpoint goes through unchanged.
  ASSERT_EQ(run_export("hf-fp16", "again", "hf-fp16").exit_code, 0);
  EXPECT_EQ(read_file(folder_ / "again/model.safetensors"), read_file(folder_ / "hf-fp16/model.safetensors"));
}

TEST_F(Export, EveryFormatAndWidthBecomesPlainWeights) {
  const std::vector<std::vector<std::string>> kinds = {
      {"--method", "awq"},
      {"--method", "gptq"},
      {"--method", "gptq", "--act-order"},
      {"--method", "gptq", "--act-order", "--bits", "3"},
      {"--method", "gptq", "--bits", "2"},
      {"--bits", "3", "--transform", "online"},
      {"--transform", "hybrid"},
      {"--transform", "merged"},
  };
  for (const std::vector<std::string>& flags : kinds) {
    std::string name;
    for (const std::string& flag : flags) name += flag + " ";
    SCOPED_TRACE(name);
    std::error_code ignored;
    for (const char* folder : {"source", "q", "plain", "plain.gguf", "repacked"})
      fs::remove_all(folder_ / folder, ignored);
    make({.layers = 2, .max_positions = 512}, flags);
    ASSERT_EQ(run_export("q", "plain", "hf-fp16").exit_code, 0);
    expect_exact("q", "plain", DType::kF16);
    const std::vector<float> quantized = logits("q"), plain = logits("plain");
    ASSERT_EQ(quantized.size(), plain.size());
    for (size_t i = 0; i < plain.size(); ++i) ASSERT_NEAR(quantized[i], plain[i], 0.02);
    ASSERT_EQ(run_export("q", "plain.gguf", "gguf").exit_code, 0);
    EXPECT_EQ(logits("plain.gguf"), plain);
    const Outcome repacked = run_export("q", "repacked", "paro");
    const Json method = read_json(folder_ / "q/config.json")["quantization_config"]["quant_method"];
    if (method == "paroquant") {
      ASSERT_EQ(repacked.exit_code, 0) << repacked.err;
      EXPECT_EQ(logits("repacked"), quantized);
    } else {
      EXPECT_EQ(repacked.exit_code, 1);
      EXPECT_THAT(repacked.err, HasSubstr("expected a checkpoint in the ParoQuant format, found"));
      EXPECT_FALSE(fs::exists(folder_ / "repacked"));
    }
  }
}

TEST_F(Export, GgufHoldsTheSameModel) {
  for (const auto& shape :
       {TinyModel{.max_positions = 512}, TinyModel{.max_positions = 512, .tied_embeddings = false}}) {
    std::error_code ignored;
    for (const char* name : {"source", "q", "plain", "gguf"}) fs::remove_all(folder_ / name, ignored);
    make(shape);
    ASSERT_EQ(run_export("q", "plain", "hf-fp16").exit_code, 0);
    const Outcome run = run_export("q", "gguf", "gguf");
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.out, at("gguf/q-F16.gguf") + "\n");
    EXPECT_EQ(run.err, "");
    // The same 16-bit weights in another file and row order: the same bits.
    EXPECT_EQ(logits("gguf/q-F16.gguf"), logits("plain"));
    const Checkpoint before = open_checkpoint_folder(folder_ / "q");
    const Checkpoint after = open_checkpoint(at("gguf/q-F16.gguf"), {}, {});
    for (const char* key :
         {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
          "vocab_size", "max_position_embeddings", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "model_type"})
      EXPECT_EQ(after.config[key], before.config[key]) << key;
    EXPECT_EQ(after.chat_template, before.chat_template);
    EXPECT_EQ(after.generation_config["eos_token_id"], before.generation_config["eos_token_id"]);
    EXPECT_EQ(after.tokenizer_json["model"]["merges"].size(), before.tokenizer_json["model"]["merges"].size());
    EXPECT_EQ(after.make_tokenizer()->encode(kText), before.make_tokenizer()->encode(kText));
  }
}

TEST_F(Export, EveryFamilysFixtureRoundTrips) {
  // Random models of the families, as transformers wrote them: config settings, biases, head norms, rope layers.
  const fs::path fixtures = fs::path(PARO_SOURCE_DIR) / "tests/fixtures/families";
  int exported = 0;
  for (const auto& entry : fs::directory_iterator(fixtures)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const std::string plain = at("plain-" + entry.path().filename().string());
    const std::string gguf = at(entry.path().filename().string() + ".gguf");
    ASSERT_EQ(run_paro({"export", entry.path().string(), "-o", plain, "--format", "hf-fp16", "--quiet"}).exit_code, 0);
    const Outcome run = run_paro({"export", plain, "-o", gguf, "--format", "gguf", "--quiet"});
    if (run.exit_code != 0) {
      // Settings without a key are refused by name.
      EXPECT_EQ(run.exit_code, 1) << run.err;
      EXPECT_THAT(run.err, testing::AnyOf(HasSubstr("GGUF"), HasSubstr("rope_scaling")));
      EXPECT_FALSE(fs::exists(gguf));
      continue;
    }
    ++exported;
    std::vector<std::string> bytes;
    for (const std::string& model : {plain, gguf}) {
      const Outcome logits =
          run_paro({"logits", model, "--ids", "1,2,3,5,8,13,21,34", "-o", at("l.f32"), "--threads", "1"});
      ASSERT_EQ(logits.exit_code, 0) << logits.err;
      bytes.push_back(read_file(folder_ / "l.f32"));
    }
    // Frequencies of scaled rope come from f32 factors in GGUF, so the last bits may differ there.
    ASSERT_EQ(bytes[0].size(), bytes[1].size());
    for (size_t i = 0; i < bytes[0].size(); i += sizeof(float)) {
      float a = 0, b = 0;
      std::memcpy(&a, bytes[0].data() + i, sizeof a);
      std::memcpy(&b, bytes[1].data() + i, sizeof b);
      ASSERT_NEAR(a, b, 1e-4 * (1 + std::fabs(a)));
    }
  }
  EXPECT_GE(exported, 8);
}

TEST_F(Export, RepackedIsTheSameCheckpoint) {
  make({});
  ASSERT_EQ(run_export("q", "repacked", "paro").exit_code, 0);
  const Checkpoint before = open_checkpoint_folder(folder_ / "q");
  const Checkpoint after = open_checkpoint_folder(folder_ / "repacked");
  ASSERT_EQ(before.weights->tensors().size(), after.weights->tensors().size());
  for (const TensorInfo& info : before.weights->tensors()) {
    const LoadedTensor a = before.weights->load(info.name), b = after.weights->load(info.name);
    ASSERT_EQ(a.view.dtype, b.view.dtype) << info.name;
    ASSERT_EQ(a.view.shape, b.view.shape) << info.name;
    EXPECT_EQ(std::memcmp(a.view.data, b.view.data, static_cast<size_t>(a.view.bytes())), 0) << info.name;
  }
  EXPECT_EQ(after.config["quantization_config"], before.config["quantization_config"]);
  const Outcome plain = run_export("source", "no", "paro");
  EXPECT_EQ(plain.exit_code, 1);
  EXPECT_THAT(plain.err, HasSubstr("found none; quantize it first"));
  EXPECT_FALSE(fs::exists(folder_ / "no"));
}

TEST_F(Export, NothingIsOverwritten) {
  write_tiny_model(folder_ / "source");
  for (const char* format : {"hf-fp16", "paro"}) {
    const Outcome run = run_export("source", "source", format);
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_THAT(run.err, HasSubstr("already holds a checkpoint"));
  }
  write_file(folder_ / "a.gguf", "mine");
  const Outcome run = run_export("source", "a.gguf", "gguf");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("a.gguf: is already there"));
  EXPECT_EQ(read_file(folder_ / "a.gguf"), "mine");
}

}  // namespace
}  // namespace paro
