// Tokenizer files that are wrong: each gets one clear error, quickly and without large allocations.
#include <gtest/gtest.h>

#include <chrono>

#include "base/error.h"
#include "io/tokenizer/tokenizer.h"

namespace paro {
namespace {

Json valid() {
  return parse_json(R"({"version": "1.0", "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": null, "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})",
                    "t");
}

// The error of a tokenizer in which the value at `path` is replaced; empty when it loads.
std::string error_with(const std::string& path, const Json& value) {
  Json json = valid();
  json[Json::json_pointer(path)] = value;
  const auto start = std::chrono::steady_clock::now();
  std::string message;
  try {
    const auto tokenizer = Tokenizer::from_json(json, nullptr, "file.json");
    tokenizer->decode(tokenizer->encode("ab <s> ab"));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    message = error.what();
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_EQ(message.rfind("file.json", 0), 0u) << message;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5)) << path;
  return message;
}

void expect_error(const std::string& path, const Json& value, const std::string& part) {
  EXPECT_NE(error_with(path, value).find(part), std::string::npos)
      << path << " = " << value << ": " << error_with(path, value);
}

TEST(MalformedTokenizer, TheValidOneLoads) { EXPECT_EQ(error_with("/version", "1.0"), ""); }

TEST(MalformedTokenizer, OtherDocuments) {
  for (const char* text :
       {"null", "[]", "3", "\"x\"", "{}", R"({"model": null})", R"({"model": []})", R"({"model": {}})"})
    EXPECT_THROW(Tokenizer::from_json(parse_json(text, "t"), nullptr, "t"), Error) << text;
  Json json = valid();
  json.erase("model");
  EXPECT_THROW(Tokenizer::from_json(json, nullptr, "t"), Error);
}

TEST(MalformedTokenizer, OtherModelsAreNamed) {
  expect_error("/model/type", "Unigram", "the type is \"Unigram\", expected \"BPE\"");
  expect_error("/model/type", "WordPiece", "WordPiece");
  expect_error("/model/type", 3, "expected a string, found an integer");
}

TEST(MalformedTokenizer, Vocabulary) {
  expect_error("/model/vocab", Json::array(), "\"vocab\": expected an object");
  expect_error("/model/vocab", nullptr, "\"vocab\"");
  expect_error("/model/vocab/a", -1, "the id of \"a\" is -1");
  expect_error("/model/vocab/a", 1, "the id 1 belongs to");
  expect_error("/model/vocab/a", 1.5, "the id of \"a\" is 1.5");
  expect_error("/model/vocab/a", "0", "the id of \"a\"");
  expect_error("/model/vocab/a", nullptr, "the id of \"a\"");
  expect_error("/model/vocab/a", 1 << 30, "the id of \"a\" is 1073741824");
  for (const uint64_t huge : {uint64_t{1} << 31, uint64_t{1} << 32, (uint64_t{1} << 32) + 1, UINT64_MAX})
    expect_error("/model/vocab/a", huge, "the id of \"a\"");
}

TEST(MalformedTokenizer, Merges) {
  expect_error("/model/merges", "a b", "\"merges\": expected an array");
  expect_error("/model/merges/0", "a", "merge 0");
  expect_error("/model/merges/0", "a b c", "merge 0");
  expect_error("/model/merges/0", "a x", "merge 0: \"x\" is not in the vocabulary");
  expect_error("/model/merges/0", "b a", "merge 0: \"ba\" is not in the vocabulary");
  expect_error("/model/merges/0", " ab", "merge 0");
  expect_error("/model/merges/0", 7, "merge 0: expected a string or two strings");
  expect_error("/model/merges/0", Json::array({"a"}), "merge 0");
  expect_error("/model/merges/0", Json::array({"a", 3}), "merge 0");
  expect_error("/model/merges/0", Json::array({"a", "b", "c"}), "merge 0");
}

TEST(MalformedTokenizer, ModelOptions) {
  expect_error("/model/unk_token", "?", "\"unk_token\" \"?\" is not in the vocabulary");
  expect_error("/model/unk_token", 3, "\"unk_token\"");
  expect_error("/model/fuse_unk", "yes", "\"fuse_unk\"");
  expect_error("/model/dropout", 0.1, "\"dropout\"");
  expect_error("/model/end_of_word_suffix", "</w>", "\"end_of_word_suffix\"");
}

TEST(MalformedTokenizer, AddedTokens) {
  expect_error("/added_tokens", "x", "added_tokens: expected an array");
  expect_error("/added_tokens/0", 3, "added_tokens");
  expect_error("/added_tokens/0/content", 3, "\"content\"");
  expect_error("/added_tokens/0/content", std::string(5000, 'x'), "5000 bytes");
  expect_error("/added_tokens/0/id", -1, "the id of \"<s>\" is -1");
  expect_error("/added_tokens/0/id", uint64_t{1} << 31, "the id of \"<s>\"");
  expect_error("/added_tokens/0/id", UINT64_MAX, "\"id\" is out of range");
  expect_error("/added_tokens/0/id", "3", "\"id\"");
  expect_error("/added_tokens/0/lstrip", 1, "\"lstrip\"");
  expect_error("/added_tokens/1", Json{{"id", 3}, {"content", "<t>"}}, "the id 3 of \"<t>\" stands there twice");
}

TEST(MalformedTokenizer, Parts) {
  for (const char* part : {"/normalizer", "/pre_tokenizer", "/post_processor", "/decoder"}) {
    expect_error(part, 3, "expected an object with \"type\", found an integer");
    expect_error(part, Json::object(), "\"type\" is missing");
    expect_error(part, Json{{"type", "Strange"}}, "the type \"Strange\" is not supported");
    expect_error(part, Json{{"type", "Sequence"}}, "is missing");
    const char* key = std::string(part) == "/normalizer"      ? "normalizers"
                      : std::string(part) == "/pre_tokenizer" ? "pretokenizers"
                      : std::string(part) == "/decoder"       ? "decoders"
                                                              : "processors";
    expect_error(part, Json{{"type", "Sequence"}, {key, 3}}, "expected an array");
    Json nested = {{"type", "Sequence"}, {key, Json::array()}};
    for (int i = 0; i < 100; ++i) nested = Json{{"type", "Sequence"}, {key, Json::array({nested})}};
    expect_error(part, nested, "nested deeper than");
  }
  const auto split = [](const Json& pattern, const char* behavior) {
    return Json{{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", false}};
  };
  expect_error("/pre_tokenizer", split({{"Regex", "("}}, "Isolated"), "regular expression \"(\"");
  expect_error("/pre_tokenizer", split({{"Regex", "a"}}, "Sideways"), "found \"Sideways\"");
  expect_error("/pre_tokenizer", split({{"Other", "a"}}, "Isolated"), "\"pattern\"");
  expect_error("/pre_tokenizer", Json{{"type", "Split"}, {"behavior", "Isolated"}}, "\"pattern\" is missing");
  expect_error("/pre_tokenizer", Json{{"type", "Metaspace"}, {"replacement", "ab"}}, "expected one character");
  expect_error("/pre_tokenizer", Json{{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "x"}},
               "found \"x\"");
  expect_error("/normalizer", Json{{"type", "Replace"}, {"pattern", {{"Regex", "[z"}}}, {"content", ""}}, "[z");
  expect_error("/decoder", Json{{"type", "Strip"}, {"content", "x"}, {"start", -1}}, "\"start\" and \"stop\"");
  const auto post = [](const char* single, const char* tokens) {
    return Json{{"type", "TemplateProcessing"},
                {"single", parse_json(single, "t")},
                {"special_tokens", parse_json(tokens, "t")}};
  };
  expect_error("/post_processor", post(R"([{"SpecialToken": {"id": "<x>"}}])", "{}"), "has no \"<x>\"");
  expect_error("/post_processor", post(R"([{"Sequence": {"id": "B"}}])", "{}"), "second text");
  expect_error("/post_processor", post(R"([3])", "{}"), "\"single\"");
  expect_error("/post_processor", post(R"([{"SpecialToken": {"id": "x"}}])", R"({"x": {"ids": [-4]}})"), "found -4");
  expect_error("/post_processor",
               Json{{"type", "BertProcessing"}, {"sep", Json::array({"a"})}, {"cls", Json::array({"b", 1})}},
               "\"sep\"");
}

TEST(MalformedTokenizer, EndlessPatternsStop) {
  Json json = valid();
  json["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(?:a|aa)*$"}}}, {"behavior", "Isolated"}};
  const auto tokenizer = Tokenizer::from_json(json, nullptr, "file.json");
  EXPECT_THROW(tokenizer->encode(std::string(3000, 'a') + "b"), Error);
}

}  // namespace
}  // namespace paro
