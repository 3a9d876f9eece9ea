#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace paro {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Json small(const char* model_type = "llama") {
  return {{"model_type", model_type}, {"vocab_size", 100},        {"hidden_size", 64},       {"num_hidden_layers", 5},
          {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"intermediate_size", 128}};
}

/// `small` with the keys of `changes` set.
ModelConfig parse(const char* changes = "{}", const char* model_type = "llama") {
  Json config = small(model_type);
  config.update(parse_json(changes, "changes"));
  return parse_model_config(config, "DIR/config.json");
}

TEST(ModelConfigTest, LlamaDefaults) {
  const ModelConfig config = parse();
  EXPECT_EQ(config.family, "llama");
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.max_positions, 2048);
  EXPECT_EQ(config.norm_eps, 1e-6);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_FALSE(config.tied_embeddings || config.qkv_bias || config.o_bias || config.mlp_bias || config.head_norm);
  EXPECT_THAT(config.layer_has_rope, ElementsAre(true, true, true, true, true));
  EXPECT_THAT(config.layer_window, ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(config.eos_ids, ElementsAre(2));
  EXPECT_EQ(config.quantization.bits, 0);
}

TEST(ModelConfigTest, KvHeadsLeftOutOrNull) {
  Json config = small();
  config.erase("num_key_value_heads");
  EXPECT_EQ(parse_model_config(config, "c").kv_heads, 4);
  EXPECT_EQ(parse(R"({"num_key_value_heads": null})", "smollm3").kv_heads, 4);
  config["model_type"] = "mistral";
  config["num_attention_heads"] = 16;
  EXPECT_EQ(parse_model_config(config, "c").kv_heads, 8);
}

TEST(ModelConfigTest, Llama) {
  const ModelConfig config = parse(
      R"({"attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true, "head_dim": 32, "rms_norm_eps": 1e-5})");
  EXPECT_TRUE(config.qkv_bias && config.o_bias && config.mlp_bias && config.tied_embeddings);
  EXPECT_EQ(config.head_dim, 32);
  EXPECT_EQ(config.norm_eps, 1e-5);
}

TEST(ModelConfigTest, MistralWindow) {
  EXPECT_THAT(parse("{}", "mistral").layer_window, ElementsAre(4096, 4096, 4096, 4096, 4096));
  EXPECT_THAT(parse(R"({"sliding_window": null})", "mistral").layer_window, ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(parse(R"({"sliding_window": 9})", "mistral").layer_window, ElementsAre(9, 9, 9, 9, 9));
}

TEST(ModelConfigTest, QwenWindows) {
  for (const char* family : {"qwen2", "qwen3"}) {
    EXPECT_THAT(parse(R"({"sliding_window": 8, "max_window_layers": 3})", family).layer_window,
                ElementsAre(0, 0, 0, 0, 0));
    EXPECT_THAT(
        parse(R"({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 3})", family).layer_window,
        ElementsAre(0, 0, 0, 8, 8));
    EXPECT_THAT(parse(R"({"use_sliding_window": true, "layer_types": ["sliding_attention", "full_attention",
                          "full_attention", "full_attention", "sliding_attention"]})",
                      family)
                    .layer_window,
                ElementsAre(4096, 0, 0, 0, 4096));
  }
  EXPECT_TRUE(parse("{}", "qwen2").qkv_bias);
  EXPECT_FALSE(parse("{}", "qwen2").o_bias);
  EXPECT_TRUE(parse("{}", "qwen3").head_norm);
  EXPECT_EQ(parse("{}", "qwen3").head_dim, 128);
  EXPECT_THAT(parse("{}", "qwen3").eos_ids, IsEmpty());
}

TEST(ModelConfigTest, SmolLm3LayersWithoutRope) {
  const ModelConfig config = parse("{}", "smollm3");
  EXPECT_THAT(config.layer_has_rope, ElementsAre(true, true, true, false, true));
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.rope.theta, 2000000.0);
  EXPECT_THAT(parse(R"({"no_rope_layer_interval": 2})", "smollm3").layer_has_rope,
              ElementsAre(true, false, true, false, true));
  const ModelConfig listed =
      parse(R"({"no_rope_layers": [0, 1, 1, 0, 1], "use_sliding_window": true, "sliding_window": 5})", "smollm3");
  EXPECT_THAT(listed.layer_has_rope, ElementsAre(false, true, true, false, true));
  EXPECT_THAT(listed.layer_window, ElementsAre(5, 0, 0, 5, 0));
}

TEST(ModelConfigTest, EosAsNumberListOrNull) {
  EXPECT_THAT(parse(R"({"eos_token_id": 7})").eos_ids, ElementsAre(7));
  EXPECT_THAT(parse(R"({"eos_token_id": [7, 9]})").eos_ids, ElementsAre(7, 9));
  EXPECT_THAT(parse(R"({"eos_token_id": null})").eos_ids, IsEmpty());
}

TEST(ModelConfigTest, ContextLengthCountsRopeScaling) {
  EXPECT_EQ(parse().context_length(), 2048);
  EXPECT_EQ(parse(R"({"rope_scaling": {"type": "linear", "factor": 4}})").context_length(), 8192);
  EXPECT_EQ(parse(R"({"rope_scaling": {"type": "dynamic", "factor": 1e300}})").context_length(), 1 << 30);
  EXPECT_EQ(parse(R"({"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 512}})")
                .context_length(),
            2048);
  EXPECT_EQ(parse(R"({"rope_scaling": {"type": "yarn", "factor": 4}})").context_length(), 8192);
  EXPECT_EQ(parse(R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}})")
                .context_length(),
            2048);
}

TEST(ModelConfigTest, Quantization) {
  const ModelConfig config =
      parse(R"({"quantization_config": {"quant_method": "paroquant", "bits": 4, "group_size": 64, "krot": 8}})");
  EXPECT_EQ(config.quantization.bits, 4);
  EXPECT_EQ(config.quantization.group_size, 64);
  EXPECT_EQ(config.quantization.rotations, 8);
  EXPECT_EQ(parse(R"({"quantization_config": null})").quantization.bits, 0);
}

TEST(ModelConfigTest, QuantizationByOtherMethods) {
  const QuantizationConfig mixed =
      parse(R"({"quantization_config": {"quant_method": "paroquant", "bits": 3, "group_size": 64,
               "linear_bits": {"model.layers.0.mlp.down_proj": 8}, "embedding_bits": 8}})")
          .quantization;
  EXPECT_EQ(mixed.bits_of("model.layers.0.mlp.down_proj"), 8);
  EXPECT_EQ(mixed.bits_of("model.layers.1.mlp.down_proj"), 3);
  QuantizationConfig q = parse(R"({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128,
      "zero_point": true, "version": "gemm", "modules_to_not_convert": null}})")
                             .quantization;
  EXPECT_EQ(q.method, "awq");
  EXPECT_EQ(q.bits, 4);
  EXPECT_EQ(q.group_size, 128);
  q = parse(R"({"quantization_config": {"quant_method": "gptq", "bits": 3, "group_size": -1, "desc_act": true}})")
          .quantization;
  EXPECT_EQ(q.method, "gptq");
  EXPECT_EQ(q.bits, 3);
  EXPECT_EQ(q.group_size, -1);
  EXPECT_TRUE(q.act_order);
  EXPECT_TRUE(q.zeros_minus_one);
  EXPECT_FALSE(q.mixed);
  q = parse(R"({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64,
      "checkpoint_format": "gptq_v2", "dynamic": {"-:lm_head": {}}}})")
          .quantization;
  EXPECT_FALSE(q.zeros_minus_one);
  EXPECT_TRUE(q.mixed);
}

struct BadConfig {
  const char* model_type;
  const char* changes;
  std::vector<const char*> said;
};

TEST(ModelConfigTest, WhatIsWrongIsNamed) {
  const BadConfig cases[] = {
      {"qwen3_moe", "{}", {"\"model_type\": \"qwen3_moe\" is not supported", "llama (", "smollm3 ("}},
      {"gemma3_text", "{}", {"\"gemma3_text\" is not supported", "qwen3"}},
      {"llama", R"({"model_type": null})", {"\"model_type\" is missing"}},
      {"llama", R"({"model_type": 3})", {"\"model_type\": expected a string, found an integer"}},
      {"llama", R"({"vocab_size": null})", {"\"vocab_size\" is missing"}},
      {"llama", R"({"vocab_size": 10000001})", {"\"vocab_size\": expected 1 to 10000000, found 10000001"}},
      {"llama", R"({"hidden_size": 0})", {"\"hidden_size\": expected 1 to 1000000, found 0"}},
      {"llama", R"({"hidden_size": "64"})", {"\"hidden_size\": expected an integer, found a string"}},
      {"llama", R"({"hidden_size": 64.5})", {"\"hidden_size\": expected an integer"}},
      {"llama",
       R"({"hidden_size": 66})",
       {"\"hidden_size\": expected a multiple of \"num_attention_heads\" (4)", "66"}},
      {"llama", R"({"hidden_size": 18446744073709551615})", {"\"hidden_size\" is out of range"}},
      {"llama", R"({"hidden_size": 12})", {"even number", "3"}},
      {"llama", R"({"num_hidden_layers": 1001})", {"\"num_hidden_layers\": expected 1 to 1000, found 1001"}},
      {"llama", R"({"num_attention_heads": -4})", {"\"num_attention_heads\"", "-4"}},
      {"llama", R"({"num_key_value_heads": 3})", {"\"num_key_value_heads\": expected a divisor", "(4)", "3"}},
      {"llama", R"({"head_dim": 7})", {"even number", "7"}},
      {"llama", R"({"intermediate_size": 1000001})", {"\"intermediate_size\"", "1000001"}},
      {"llama", R"({"max_position_embeddings": 0})", {"\"max_position_embeddings\""}},
      {"llama", R"({"hidden_act": "gelu"})", {"\"hidden_act\": expected \"silu\", found \"gelu\""}},
      {"llama", R"({"rms_norm_eps": 0})", {"\"rms_norm_eps\": expected a finite number above 0, found 0"}},
      {"llama", R"({"rms_norm_eps": 2})", {"\"rms_norm_eps\": expected less than 1, found 2"}},
      {"llama", R"({"rms_norm_eps": "x"})", {"\"rms_norm_eps\": expected a number, found a string"}},
      {"llama", R"({"attention_bias": 1})", {"\"attention_bias\": expected true or false, found an integer"}},
      {"llama", R"({"eos_token_id": "a"})", {"\"eos_token_id\": expected an integer or a list"}},
      {"llama", R"({"eos_token_id": [1, -1]})", {"\"eos_token_id\"", "-1"}},
      {"llama", R"({"eos_token_id": 18446744073709551615})", {"\"eos_token_id\"", "18446744073709551615"}},
      {"llama", R"({"rope_theta": 1})", {"\"rope_theta\"", "above 1"}},
      {"llama", R"({"rope_theta": -1})", {"\"rope_theta\"", "-1"}},
      {"llama", R"({"partial_rotary_factor": 0.5})", {"\"partial_rotary_factor\": expected 1", "0.5"}},
      {"llama", R"({"rope_scaling": 3})", {"\"rope_scaling\": expected an object, found an integer"}},
      {"llama", R"({"rope_scaling": {"type": "longrope"}})", {"\"rope_type\": expected default, linear", "longrope"}},
      {"llama", R"({"rope_scaling": {"type": "linear"}})", {"\"rope_scaling\": \"factor\" is missing"}},
      {"llama", R"({"rope_scaling": {"type": "linear", "factor": -2}})", {"\"factor\"", "-2"}},
      {"llama", R"({"rope_scaling": {"type": "dynamic", "factor": 0.5}})", {"\"factor\": expected at least 1", "0.5"}},
      {"llama", R"({"rope_scaling": {"type": "llama3", "factor": 8}})", {"\"low_freq_factor\" is missing"}},
      {"llama",
       R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}})",
       {"\"high_freq_factor\": expected more than \"low_freq_factor\" (4), found 4"}},
      {"llama", R"({"rope_scaling": {"type": "yarn", "beta_fast": -0.5}})", {"\"beta_fast\": expected a positive"}},
      {"llama", R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})", {"per layer type"}},
      {"llama", R"({"quantization_config": 4})", {"\"quantization_config\": expected an object"}},
      {"llama", R"({"quantization_config": {"quant_method": "fp8", "bits": 4}})", {"\"gptq\", found \"fp8\""}},
      {"llama", R"({"quantization_config": {"bits": 4}})", {"\"gptq\", found \"\""}},
      {"llama", R"({"quantization_config": {"quant_method": "gptq", "bits": 4}})", {"\"group_size\" is missing"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "gptq", "bits": 5, "group_size": 64}})",
       {"\"bits\": expected 2, 3, 4 or 8, found 5"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 0}})",
       {"\"group_size\": expected -1 or 1 to 4096, found 0"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64, "checkpoint_format": "marlin"}})",
       {"\"checkpoint_format\": expected \"gptq\" or \"gptq_v2\", found \"marlin\""}},
      {"llama",
       R"({"quantization_config": {"quant_method": "awq", "bits": 8, "group_size": 64}})",
       {"\"bits\": expected 4, found 8"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemv"}})",
       {"\"version\": expected \"gemm\", found \"gemv\""}},
      {"llama",
       R"({"quantization_config": {"quant_method": "paroquant", "bits": 5, "group_size": 128, "krot": 8}})",
       {"\"bits\": expected 4 (or 2, 3 or 8, an extension), found 5"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "paroquant", "bits": 4, "group_size": 64, "linear_bits": [4]}})",
       {"\"linear_bits\"", "expected an object"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "paroquant", "bits": 4, "group_size": 64, "linear_bits": {"x": 5}}})",
       {"\"linear_bits\": \"x\": expected 2, 3, 4 or 8, found 5"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "paroquant", "bits": 4, "group_size": 64, "head_bits": 3}})",
       {"\"head_bits\": expected 4, 8 or 16, found 3"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "paroquant", "bits": 4, "group_size": 0, "krot": 8}})",
       {"\"group_size\": expected 2 to 4096, found 0"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "paroquant", "bits": 4, "group_size": 65, "krot": 8}})",
       {"\"group_size\": expected an even number, found 65"}},
      {"llama",
       R"({"quantization_config": {"quant_method": "paroquant", "bits": 4, "group_size": 64, "krot": 65}})",
       {"\"krot\": expected 0 to 64, found 65"}},
      {"mistral", R"({"sliding_window": 0})", {"\"sliding_window\"", "found 0"}},
      {"mistral", R"({"sliding_window": "8"})", {"\"sliding_window\": expected an integer"}},
      {"qwen2", R"({"layer_types": ["full_attention"]})", {"\"layer_types\": expected a list of 5 entries, found 1"}},
      {"qwen2", R"({"layer_types": "full_attention"})", {"\"layer_types\"", "found a string"}},
      {"qwen3",
       R"({"layer_types": ["full_attention", "full_attention", "full_attention", "full_attention", "linear_attention"]})",
       {"\"layer_types\"", "linear_attention"}},
      {"smollm3", R"({"no_rope_layers": [1]})", {"\"no_rope_layers\": expected a list of 5 entries, found 1"}},
      {"smollm3", R"({"no_rope_layers": [1, 1, 1, 1, 2]})", {"\"no_rope_layers\": expected 0 or 1, found 2"}},
      {"smollm3", R"({"no_rope_layer_interval": 0})", {"\"no_rope_layer_interval\"", "found 0"}},
  };
  for (const BadConfig& bad : cases) {
    try {
      parse(bad.changes, bad.model_type);
      ADD_FAILURE() << "accepted: " << bad.changes;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput) << bad.changes;
      EXPECT_THAT(error.what(), HasSubstr("DIR/config.json")) << bad.changes;
      for (const char* words : bad.said) EXPECT_THAT(error.what(), HasSubstr(words)) << bad.changes;
    }
  }
  EXPECT_THROW(parse_model_config(Json::array(), "config.json"), Error);
  EXPECT_THROW(parse_model_config(Json(), "config.json"), Error);
}

}  // namespace
}  // namespace paro
