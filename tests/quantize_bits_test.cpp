// Widths other than 4 bits, from end to end on a tiny model: of all linears, of some, of embeddings and head, and under
// a budget.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/checkpoint.h"
#include "quantize_fixture.h"

namespace paro::calib {
namespace {

using testing::HasSubstr;

class QuantizeBits : public QuantizeTest {};

// Other bits: the checkpoint opens and is the quantizer's own stream; each bit brings the model closer.
TEST_F(QuantizeBits, OtherBitsInBothFormatsThatHoldThem) {
  for (const Method method : {Method::kParoQuant, Method::kGptq}) {
    double before = 1e9;
    for (const int64_t bits : {2, 3, 4, 8}) {
      const std::string name = std::to_string(bits) + (method == Method::kGptq ? "gptq" : "paro");
      QuantizeOptions o = options(name, method);
      o.bits = bits;
      o.act_order = method == Method::kGptq;
      o.format = method == Method::kGptq ? "gptq" : "paroquant";
      EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3) << name;
      const Checkpoint written = open_checkpoint_folder(folder_ / name);
      EXPECT_EQ(written.config["quantization_config"]["bits"], bits);
      EXPECT_EQ(written.weights->require("model.layers.0.mlp.down_proj.qweight").stored_bytes, 64 * 128 * bits / 8);
      const double found = divergence(name);
      EXPECT_LT(found, before) << name;
      before = found;
    }
  }
  QuantizeOptions o = options("bad", Method::kAwq);
  o.bits = 3;
  o.format = "awq";
  expect_error(o, ErrorKind::kUsage, {"--bits 3", "--format awq"});
  o.bits = 5;
  expect_error(o, ErrorKind::kUsage, {"--bits 5", "2, 3, 4 or 8"});
}

// Widths by name, in both formats: as configured, and closer to the teacher than all at 3 bits.
TEST_F(QuantizeBits, MixedBitsAreWrittenAndRead) {
  for (const Method method : {Method::kParoQuant, Method::kGptq}) {
    const std::string format = method == Method::kGptq ? "gptq" : "paroquant";
    QuantizeOptions o = options("mixed-" + format, method);
    o.format = format;
    o.bits_for = {
        {"q_proj", 2}, {"_proj$", 4}, {"k_proj", 8}, {"layers\\.0\\..*v_proj", 3}, {"1.self_attn.o_proj", 16}};
    EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3) << format;
    const Checkpoint written = open_checkpoint_folder(o.output);
    const auto codes = [&](const char* name) {
      const TensorInfo* info = written.weights->find(std::string("model.layers.") + name + ".qweight");
      return info == nullptr ? 0 : info->stored_bytes;
    };
    const int64_t k = codes("0.self_attn.k_proj");
    EXPECT_EQ(codes("0.self_attn.v_proj") * 8, k * 3);
    EXPECT_EQ(codes("1.self_attn.v_proj") * 2, k);
    EXPECT_EQ(codes("1.self_attn.o_proj"), 0);
    const Json& config = written.config["quantization_config"];
    EXPECT_EQ(config["bits"], 4);
    if (format == "paroquant")
      EXPECT_EQ(config["linear_bits"].dump(),
                R"({"model.layers.0.self_attn.k_proj":8,"model.layers.0.self_attn.v_proj":3,)"
                R"("model.layers.1.self_attn.k_proj":8,"model.layers.2.self_attn.k_proj":8})");
    else
      EXPECT_EQ(config["dynamic"]["+:^model\\.layers\\.0\\.self_attn\\.v_proj$"]["bits"], 3);
    quantize([&] {
      QuantizeOptions uniform = options("three-" + format, method);
      uniform.format = format;
      uniform.bits = 3;
      return uniform;
    }());
    EXPECT_LT(divergence("mixed-" + format), divergence("three-" + format));
  }
  QuantizeOptions o = options("bad");
  o.bits_for = {{"q_proj", 4}, {"c_attn", 8}};
  expect_error(o, ErrorKind::kUsage,
               {"--bits-for 'c_attn'", "none of the 21 linears", "model.layers.0.self_attn.q_proj"});
  o.bits_for = {{"q_proj", 5}};
  expect_error(o, ErrorKind::kUsage, {"--bits-for q_proj=5", "2, 3, 4, 8 or 16"});
  o.bits_for = {{"(", 4}};
  expect_error(o, ErrorKind::kUsage, {"--bits-for '('", "regular expression"});
  o = options("bad", Method::kAwq);
  o.format = "awq";
  o.bits_for = {{"q_proj", 8}};
  expect_error(o, ErrorKind::kUsage, {"--bits-for q_proj=8", "--format awq"});
}

// Embedding and head of 8 and 4 bits, tied and not: stored as asked for, run as stored, resumed to the same bytes.
TEST_F(QuantizeBits, EmbeddingsAndHeadsOfFewerBits) {
  quantize(options("plain"));
  const double plain = divergence("plain");
  for (const bool tied : {true, false}) {
    write_tiny_model(folder_ / "source", {.layers = 3, .tied_embeddings = tied});
    for (const int64_t bits : {8, 4}) {
      QuantizeOptions o = options(fmt::format("{}-{}", tied ? "tied" : "untied", bits));
      o.head_bits = bits;
      if (!tied) o.embedding_bits = 12 - bits;
      EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3) << o.output;
      const Checkpoint written = open_checkpoint_folder(o.output);
      EXPECT_EQ(written.config["quantization_config"]["head_bits"], bits);
      EXPECT_EQ(written.config["quantization_config"]["embedding_bits"], tied ? bits : 12 - bits);
      for (const char* name : {"model.embed_tokens", "lm_head"}) {
        const bool there = !tied || std::string(name) != "lm_head";
        EXPECT_EQ(written.weights->has(std::string(name) + ".qweight"), there) << name;
        EXPECT_FALSE(written.weights->has(std::string(name) + ".weight"));
      }
      if (tied && bits == 8) {
        EXPECT_LT(divergence(o.output.filename().string()), 1.1 * plain);
      }
    }
  }
  // One width for both where one table serves both.
  write_tiny_model(folder_ / "source", {.layers = 3});
  QuantizeOptions o = options("bad");
  o.head_bits = 4;
  o.embedding_bits = 8;
  expect_error(o, ErrorKind::kUsage, {"--embedding-bits 8 --head-bits 4", "tied"});
  o.transform = Transform::kHybrid;
  o.output = folder_ / "hybrid";
  EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3);
  EXPECT_EQ(open_checkpoint_folder(o.output).weights->require("lm_head.qweight").dtype, DType::kU8);
  o.head_bits = 5;
  o.output = folder_ / "bad";
  expect_error(o, ErrorKind::kUsage, {"--head-bits 5", "4, 8 or 16"});
  o = options("bad", Method::kGptq);
  o.format = "gptq";
  o.head_bits = 8;
  expect_error(o, ErrorKind::kUsage, {"--head-bits 8", "--format gptq", "--format paroquant"});
  o = options("bad");
  o.head_bits = 8;
  o.tuning.epochs = 1;
  expect_error(o, ErrorKind::kUsage, {"--head-bits 8", "not with training"});
  write_tiny_model(folder_ / "source", {.dim = 96, .layers = 1, .heads = 3, .kv_heads = 1});
  o = options("bad");
  o.embedding_bits = 4;
  expect_error(o, ErrorKind::kInput, {"--embedding-bits 4", "multiple of 64, found 96"});
}

// The budget holds in the file, a table counts, rules win, and the allocation beats all linears at the width below.
TEST_F(QuantizeBits, TargetBitsAreAllocatedUnderTheBudget) {
  QuantizeOptions three = options("three");
  three.bits = 3;
  quantize(three);
  {
    QuantizeOptions o = options("target");
    o.target_bits = 4.2;
    const Json report = quantize(o);
    EXPECT_LT(report["verify_kl"].get<double>(), 1e-3);
    const Json& allocation = report["allocation"];
    EXPECT_EQ(allocation["linears"].size(), 21u);
    EXPECT_LE(allocation["bits_per_weight"].get<double>(), 4.2);
    EXPECT_GT(allocation["bits_per_weight"].get<double>(), 4.0);
    EXPECT_LT(allocation["predicted"].get<double>(), allocation["predicted_uniform"]["3"].get<double>());
    double bits = 0.0, weights = 0.0;
    const Checkpoint written = open_checkpoint_folder(o.output);
    for (const TensorInfo& info : written.weights->tensors()) {
      if (info.name.ends_with(".qweight") || info.name.ends_with(".qzeros") || info.name.ends_with("_proj.scales"))
        bits += 8.0 * static_cast<double>(info.stored_bytes);
      // 16 bits for each group of 32.
      if (info.name.ends_with("_proj.scales")) weights += static_cast<double>(info.stored_bytes) / 2.0 * 32.0;
    }
    EXPECT_NEAR(bits / weights, allocation["bits_per_weight"].get<double>(), 1e-6);
    EXPECT_THAT(bytes(o.output.filename().string() + "/README.md"), HasSubstr("most sensitive linears"));
    EXPECT_LT(divergence(o.output.filename().string()), divergence("three"));
  }
  QuantizeOptions o = options("table");
  o.target_bits = 6.0;
  o.head_bits = 8;
  o.bits_for = {{"down_proj", 2}, {"up_proj", 16}};
  const Json allocation = quantize(o)["allocation"];
  EXPECT_LE(allocation["bits_per_weight"].get<double>(), 6.0);
  EXPECT_EQ(allocation["linears"].size(), 15u);
  o = options("bad");
  o.target_bits = 1.5;
  expect_error(o, ErrorKind::kUsage, {"--target-bits 1.5", "expected 2.56"});
  o = options("bad", Method::kRtn);
  o.target_bits = 4.0;
  expect_error(o, ErrorKind::kUsage, {"--target-bits 4", "--method paroquant or gptq"});
}

}  // namespace
}  // namespace paro::calib
