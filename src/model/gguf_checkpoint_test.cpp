#include "model/gguf_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "io/test_folder.h"
#include "model/gguf_pretokenizer.h"
#include "model/open_checkpoint.h"

namespace paro {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(PARO_SOURCE_DIR) / "tests/fixtures/gguf";

/// The fixture gives each row of q, k and v its own Hugging Face row number.
void expect_rows_in_order(const WeightSource& source, const std::string& name, int64_t rows) {
  const std::vector<float> values = source.load_f32(name);
  const int64_t width = static_cast<int64_t>(values.size()) / rows;
  for (int64_t row = 0; row < rows; ++row)
    // 8-bit codes of a constant row: nearly exact.
    EXPECT_NEAR(values[static_cast<size_t>(row * width)], static_cast<float>(row), 0.01) << name;
}

TEST(GgufCheckpoint, LlamaHasHuggingFaceRowsAndConfig) {
  const Checkpoint checkpoint = open_gguf_checkpoint(kFixtures / "llama.gguf");
  const Json& config = checkpoint.config;
  EXPECT_EQ(config["architectures"], Json::array({"LlamaForCausalLM"}));
  EXPECT_EQ(config["hidden_size"], 32);
  EXPECT_EQ(config["head_dim"], 8);
  EXPECT_EQ(config["num_key_value_heads"], 2);
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);
  EXPECT_EQ(config["tie_word_embeddings"], false);
  EXPECT_EQ(config["attention_bias"], false);
  EXPECT_EQ(config["rope_scaling"]["rope_type"], "llama3");
  EXPECT_EQ(config["rope_scaling"]["factor"], 8.0);
  expect_rows_in_order(*checkpoint.weights, "model.layers.1.self_attn.q_proj.weight", 32);
  expect_rows_in_order(*checkpoint.weights, "model.layers.1.self_attn.k_proj.weight", 16);
  expect_rows_in_order(*checkpoint.weights, "model.layers.1.self_attn.v_proj.weight", 16);
  EXPECT_TRUE(checkpoint.weights->has("lm_head.weight"));
  EXPECT_FALSE(checkpoint.weights->has("rope_freqs.weight"));
  EXPECT_EQ(checkpoint.weights->require("model.norm.weight").dtype, DType::kF32);
  // The end of the text, and the end of a turn.
  EXPECT_EQ(checkpoint.generation_config["eos_token_id"], Json::array({264, 265}));
  EXPECT_THAT(checkpoint.chat_template, HasSubstr("<|eot_id|>"));
}

TEST(GgufCheckpoint, LlamaTokenizer) {
  const Checkpoint checkpoint = open_gguf_checkpoint(kFixtures / "llama.gguf", {false, false, true});
  const Json& tokenizer = checkpoint.tokenizer_json;
  EXPECT_EQ(tokenizer["model"]["ignore_merges"], true);
  EXPECT_EQ(tokenizer["model"]["vocab"].size(), 267u);
  EXPECT_EQ(tokenizer["model"]["merges"][1], Json::array({"th", "e"}));
  EXPECT_EQ(tokenizer["added_tokens"].size(), 4u);
  EXPECT_EQ(tokenizer["added_tokens"][0]["special"], true);
  EXPECT_EQ(tokenizer["added_tokens"][3]["special"], false);
  EXPECT_EQ(tokenizer["post_processor"]["single"][0]["SpecialToken"]["id"], "<|begin|>");
  EXPECT_EQ(tokenizer["post_processor"]["special_tokens"]["<|begin|>"]["ids"], Json::array({263}));
  EXPECT_EQ(checkpoint.tokenizer_config["bos_token"], "<|begin|>");
  EXPECT_EQ(checkpoint.tokenizer_config["added_tokens_decoder"]["264"]["content"], "<|end_of_text|>");
}

TEST(GgufCheckpoint, Qwen2HasBiasesTiedHeadAndF16Weights) {
  const Checkpoint checkpoint = open_gguf_checkpoint(kFixtures / "qwen2.gguf");
  EXPECT_EQ(checkpoint.config["model_type"], "qwen2");
  EXPECT_EQ(checkpoint.config["tie_word_embeddings"], true);
  EXPECT_EQ(checkpoint.config["vocab_size"], 266);
  const TensorInfo& q = checkpoint.weights->require("model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(q.dtype, DType::kF16);
  EXPECT_EQ(q.stored_type, "Q8_0");
  EXPECT_EQ(checkpoint.weights->load(q.name).view.dtype, DType::kF16);
  expect_rows_in_order(*checkpoint.weights, q.name, 32);
  expect_rows_in_order(*checkpoint.weights, "model.layers.0.self_attn.q_proj.bias", 32);
  EXPECT_EQ(checkpoint.weights->require("model.layers.0.self_attn.q_proj.bias").dtype, DType::kF32);
  EXPECT_FALSE(checkpoint.tokenizer_json["model"]["vocab"].contains("[PAD265]"));
  EXPECT_EQ(checkpoint.tokenizer_json["normalizer"]["type"], "NFC");
  EXPECT_TRUE(checkpoint.tokenizer_json["post_processor"].is_null());
}

TEST(GgufCheckpoint, SentencepieceMergesAreThoseOfTransformers) {
  const Checkpoint checkpoint = open_gguf_checkpoint(kFixtures / "sentencepiece.gguf", {false, false, true});
  const Json& model = checkpoint.tokenizer_json["model"];
  EXPECT_EQ(model["merges"], read_json(kFixtures / "sentencepiece_merges.json"));
  EXPECT_EQ(model["byte_fallback"], true);
  EXPECT_EQ(model["unk_token"], "<unk>");
  EXPECT_EQ(checkpoint.tokenizer_json["normalizer"]["normalizers"][0]["type"], "Prepend");
  EXPECT_EQ(checkpoint.tokenizer_json["post_processor"]["single"][0]["SpecialToken"]["id"], "<s>");
}

TEST(GgufPretokenizerNames, UnknownOnesAreRefused) {
  EXPECT_TRUE(gguf_pretokenizer("llama-bpe", "f").ignore_merges);
  EXPECT_EQ(gguf_pretokenizer("smollm", "f").pre_tokenizer["pretokenizers"][0]["type"], "Digits");
  EXPECT_THAT(input_error_of([] { gguf_pretokenizer("new", "f"); }), HasSubstr("\"new\" is not supported"));
}

/// The fixture with all occurrences of one text replaced by another of the same length.
std::string changed_error(const std::string& from, const std::string& to) {
  std::string bytes = read_file(kFixtures / "llama.gguf");
  for (size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + to.size()))
    bytes.replace(at, from.size(), to);
  const TestFolder folder;
  const fs::path path = folder.write("changed.gguf", bytes);
  return input_error_of([&] { open_gguf_checkpoint(path); });
}

TEST(GgufCheckpoint, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(changed_error("llama", "llama"), "");
  EXPECT_THAT(changed_error("general.architecture", "general.architectur_"), HasSubstr("architecture\" is missing"));
  EXPECT_THAT(changed_error("block_count", "block_coun_"), HasSubstr("\"llama.block_count\" is missing"));
  EXPECT_THAT(changed_error("blk.1.ffn_up", "blk.1.ffn_xx"), HasSubstr("\"blk.1.ffn_xx.weight\" has no meaning"));
  EXPECT_THAT(changed_error("token_embd", "token_embx"), HasSubstr("\"token_embd.weight\" is missing"));
  EXPECT_THAT(changed_error("llama-bpe", "llama-xyz"), HasSubstr("tokenizer.ggml.pre"));
  EXPECT_THAT(changed_error("ggml.merges", "ggml.merge_"), HasSubstr("merges\" is missing"));
  EXPECT_THAT(changed_error("ggml.tokens", "ggml.token_"), HasSubstr("tokenizer.ggml.tokens"));
  EXPECT_THAT(changed_error("th e", "t_he"), HasSubstr("expected two tokens, found \"t_he\""));
}

TEST(OpenCheckpoint, TakesFoldersFilesAndSaysWhatIsNotThere) {
  const HubOptions hub{"http://127.0.0.1:1", "/nonexistent", "", true};
  const auto error = [&](const std::string& model) { return input_error_of([&] { open_checkpoint(model, {}, hub); }); };
  const TestFolder folder;
  EXPECT_EQ(open_checkpoint((kFixtures / "llama.gguf").string(), {}, hub).config["model_type"], "llama");
  EXPECT_THAT(error((folder.path() / "nothing").string()), HasSubstr("no such file or folder"));
  EXPECT_THAT(error("nothing"), HasSubstr("no such file or folder"));
  EXPECT_THAT(error(""), HasSubstr("expected a model"));
  EXPECT_THAT(error("org/name"), HasSubstr("not in the cache"));
  EXPECT_THAT(error(folder.path().string()), HasSubstr("there is no config.json"));
  EXPECT_THAT(error(folder.write("text.txt", "hello, world").string()), HasSubstr("not a GGUF file"));
  fs::copy_file(kFixtures / "llama.gguf", folder.path() / "a.gguf");
  EXPECT_EQ(open_checkpoint(folder.path().string(), {}, hub).config["model_type"], "llama");
  fs::copy_file(kFixtures / "qwen2.gguf", folder.path() / "b.gguf");
  EXPECT_THAT(error(folder.path().string()), HasSubstr("2 GGUF files: name one of them"));
}

}  // namespace
}  // namespace paro
