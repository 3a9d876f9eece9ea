// Against what Hugging Face `tokenizers` made of the same tokenizers (tools/fixtures/make_tokenizers.py).
#include "io/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "base/error.h"
#include "io/tokenizer/utf8.h"

namespace paro {
namespace {

const Json& fixture() {
  static const Json json = read_json(std::string(PARO_SOURCE_DIR) + "/tests/fixtures/tokenizer/tokenizers.json");
  return json;
}

Json document_of(const Json& tokenizer) {
  Json document = tokenizer;
  document["model"] = fixture()["models"][tokenizer["model"].get<std::string>()];
  return document;
}

std::unique_ptr<const Tokenizer> make(const std::string& name) {
  for (const Json& tokenizer : fixture()["tokenizers"])
    if (tokenizer["name"] == name) return Tokenizer::from_json(document_of(tokenizer), nullptr, name);
  return nullptr;
}

std::vector<int32_t> ids_of(const Json& json) { return json.get<std::vector<int32_t>>(); }

class TokenizerCases : public testing::TestWithParam<size_t> {
 protected:
  const Json& tokenizer_ = fixture()["tokenizers"][GetParam()];
  std::unique_ptr<const Tokenizer> made_ = Tokenizer::from_json(document_of(tokenizer_), nullptr, "t");
};

TEST_P(TokenizerCases, IdsAreThoseOfThePeer) {
  const Json& texts = fixture()["texts"];
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    const Json& bare = tokenizer_["bare"][i];
    EXPECT_EQ(made_->encode(text), ids_of(tokenizer_["ids"][i])) << text;
    EXPECT_EQ(made_->encode(text, false), ids_of(bare.is_null() ? tokenizer_["ids"][i] : bare)) << text;
  }
}

TEST_P(TokenizerCases, DecodedTextIsThatOfThePeer) {
  for (const Json& item : tokenizer_["decoded"]) {
    const std::vector<int32_t> ids = ids_of(item[0]);
    EXPECT_EQ(made_->decode(ids, false), item[1].get<std::string>());
    EXPECT_EQ(made_->decode(ids, true), item[2].get<std::string>());
  }
}

TEST_P(TokenizerCases, StreamedPiecesJoinToTheDecodedText) {
  std::mt19937 random(5);
  const auto size = static_cast<int>(made_->vocab_size());
  for (int round = 0; round < 60; ++round) {
    std::vector<int32_t> ids(random() % 30);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<unsigned>(size + 4)) - 2;
    for (const bool skip : {false, true}) {
      StreamDecoder stream(*made_, skip);
      std::string joined;
      for (const int32_t id : ids) {
        const std::string piece = stream.push(id);
        EXPECT_TRUE(tokenizer::is_valid_utf8(piece));
        joined += piece;
      }
      joined += stream.finish();
      EXPECT_EQ(joined, made_->decode(ids, skip));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, TokenizerCases, testing::Range(size_t{0}, fixture()["tokenizers"].size()),
                         [](const auto& item) {
                           return fixture()["tokenizers"][item.param]["name"].template get<std::string>();
                         });

TEST(Tokenizer, ByteLevelTextComesBack) {
  const auto tokenizer = make("gpt2");
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (unsigned i = 0, n = random() % 80; i < n; ++i) {
      char32_t c = random() % 4 == 0 ? random() % 0x110000 : random() % 0x250;
      if (c >= 0xD800 && c < 0xE000) c = ' ';
      tokenizer::append_utf8(c, text);
    }
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

TEST(Tokenizer, InvalidBytesBecomeReplacementCharacters) {
  const auto tokenizer = make("gpt2");
  const auto same = [&](std::string_view broken, std::string_view repaired) {
    EXPECT_EQ(tokenizer->encode(broken), tokenizer->encode(repaired));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(broken)), repaired);
  };
  same("a\xFFz", "a\uFFFDz");
  same("\xF0\x9F\x98", "\uFFFD");  // a cut character is one
  same("\xF0\x9F\x98z\x80\x80", "\uFFFDz\uFFFD\uFFFD");
  same("\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD");  // a surrogate
  same("\xC0\xAF\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(Tokenizer, TellsAboutTokens) {
  const auto tokenizer = make("llama3");
  const int32_t begin = tokenizer->token_to_id("<|begin|>").value();
  EXPECT_EQ(tokenizer->vocab_size(), begin + 2);
  EXPECT_TRUE(tokenizer->is_special(begin));
  EXPECT_FALSE(tokenizer->is_special(5));
  EXPECT_FALSE(tokenizer->is_special(-1));
  EXPECT_FALSE(tokenizer->is_special(1 << 30));
  EXPECT_EQ(tokenizer->id_to_token(begin), "<|begin|>");
  EXPECT_EQ(tokenizer->id_to_token(*tokenizer->token_to_id("\u0120the")), "\u0120the");
  EXPECT_EQ(tokenizer->id_to_token(-5), "");
  EXPECT_EQ(tokenizer->id_to_token(INT32_MAX), "");
  EXPECT_EQ(tokenizer->token_to_id("no such token"), std::nullopt);
}

TEST(Tokenizer, ReadsTheConfiguration) {
  const Json document = document_of(fixture()["tokenizers"][0]);
  const auto size = make("gpt2")->vocab_size();
  Json config = {{"bos_token", "<|end|>"}, {"eos_token", {{"content", "<|stop|>"}, {"lstrip", false}}}};
  config["added_tokens_decoder"][std::to_string(size + 3)] = {{"content", "<|stop|>"}, {"special", true}};
  const auto tokenizer = Tokenizer::from_json(document, config, "t");
  EXPECT_EQ(tokenizer->bos_token(), "<|end|>");
  EXPECT_EQ(tokenizer->eos_token(), "<|stop|>");
  EXPECT_EQ(tokenizer->token_to_id("<|stop|>"), size + 3);
  EXPECT_EQ(tokenizer->encode("<|stop|>"), std::vector<int32_t>{static_cast<int32_t>(size + 3)});
  EXPECT_EQ(tokenizer->vocab_size(), size + 4);
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{static_cast<int32_t>(size + 3)}, true), "");
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{static_cast<int32_t>(size + 1)}, false), "");

  EXPECT_EQ(make("gpt2")->bos_token(), "");
  EXPECT_THROW(Tokenizer::from_json(document, Json{{"eos_token", 3}}, "t"), Error);
  EXPECT_THROW(Tokenizer::from_json(document, Json{{"added_tokens_decoder", {{"x", {{"content", "y"}}}}}}, "t"), Error);
  EXPECT_THROW(Tokenizer::from_json(document, Json{{"added_tokens_decoder", {{"3", {{"content", "yy!"}}}}}}, "t"),
               Error);
  EXPECT_THROW(
      Tokenizer::from_json(document, Json{{"added_tokens_decoder", {{"4000000000", {{"content", "yy!"}}}}}}, "t"),
      Error);
}

TEST(Tokenizer, LongWordsTakeNoQuadraticTime) {
  for (const char* name : {"gpt2", "qwen", "llama3", "deepseek", "llama2", "metaspace_first"}) {
    const auto tokenizer = make(name);
    for (const char* unit : {"a", " ", "\n ", "ab", "\xE4\xBD\xA0", "<", "'s", "0", "e\xCC\x81", "\xF0\x9F\x98\x80"}) {
      std::string text;
      while (text.size() < 200'000) text += unit;
      const auto start = std::chrono::steady_clock::now();
      const auto ids = tokenizer->encode(text);
      EXPECT_FALSE(ids.empty());
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5)) << name << " " << unit;
    }
  }
}

TEST(Tokenizer, LongAndShortWordsMergeAlike) {
  // "llama2" has no pre-tokenizer: a text is cut where no merge can cross, or not at all. The ids must not depend on
  // it.
  const auto tokenizer = make("llama2");
  const auto whole = make("metaspace_first");
  std::mt19937 random(2);
  const std::string letters = "theanor is,.";
  for (int round = 0; round < 50; ++round) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += letters[random() % letters.size()];
    text.front() = 't';
    EXPECT_EQ(tokenizer->encode(text, false), whole->encode(text, false));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text), true), text);
  }
}

}  // namespace
}  // namespace paro
