#include "io/tokenizer/splitters.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "io/tokenizer/regex.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {
namespace {

using Matches = std::vector<std::string>;

Matches by_regex(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "t");
  Regex::Matches matches(regex, text);
  Matches result;
  for (size_t start = 0, end = 0; matches.next(&start, &end);) result.push_back(text.substr(start, end - start));
  return result;
}

std::string random_text(std::mt19937& random) {
  static const std::vector<std::u32string> kPools = {
      U"abcXYZ",
      U" ",
      U"  \t",
      U"\n\r",
      U"0123456789",
      U"'sStTrReEvVmMlLdD\u017f",
      U".,;:!?#$%&()*+-/<=>@[]^_`{|}~\\\"",
      U"\u00a0\u0085\u1680\u180e\u2003\u2028\u202f\u205f\u3000\u200b\ufeff\v\f\x1c",
      U"\u4f60\u597d\u3042\u30a2\u9fa5\u9fa6\u30ff\u3100",
      U"\u0301\u0300\u20dd\u0903",
      U"\u00e9\u00df\u0130\u01c5\u02b0\u05d0\u0627\uac00",
      U"\u00b2\u00bd\u2167\u0663\u3007",
      U"\U0001f600\u200d\ufe0f\U0001f44d\u2764",
      U"\x01\x07\x1b\x7f",
      U"\U0002ebf0\U000105c0\U00010d40\u1c89\U0001cd00\u0897"};
  std::string text;
  for (unsigned runs = random() % 12; runs > 0; --runs) {
    const std::u32string& pool = kPools[random() % kPools.size()];
    for (unsigned n = 1 + random() % 4; n > 0; --n) append_utf8(pool[random() % pool.size()], text);
    if (random() % 8 == 0) {
      const char32_t c = random() % 0x110000;
      if (c < 0xD800 || c >= 0xE000) append_utf8(c, text);
    }
  }
  return text;
}

class SplittersMatch : public testing::TestWithParam<std::string> {};

TEST_P(SplittersMatch, WhatTheirPatternsMatch) {
  const std::optional<Splitter> splitter = find_splitter(GetParam());
  ASSERT_TRUE(splitter);
  std::mt19937 random(17);
  for (int round = 0; round < 4000; ++round) {
    const std::string text = random_text(random);
    Matches matches;
    split_with(*splitter, text.data(), text.data() + text.size(),
               [&](const char* start, const char* end) { matches.emplace_back(start, end); });
    ASSERT_EQ(matches, by_regex(GetParam(), text)) << testing::PrintToString(text);
  }
}

std::vector<std::string> patterns() {
  const std::string head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  const std::string tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::string deep_seek =
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
      "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
  return {std::string(kGpt2Pattern), head + R"(\p{N}{1,3})" + tail,
          head + R"(\p{N})" + tail,  deep_seek,
          R"(\p{N}{1,3})",           "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"};
}

std::string name_of(const testing::TestParamInfo<std::string>& item) {
  static const char* const kNames[] = {"Gpt2", "Llama3", "Qwen2", "DeepSeek", "DigitsThree", "HanAndKana"};
  return kNames[item.index];
}

INSTANTIATE_TEST_SUITE_P(, SplittersMatch, testing::ValuesIn(patterns()), name_of);

TEST(Splitters, OtherPatternsAreNotRecognised) {
  EXPECT_FALSE(find_splitter(""));
  EXPECT_FALSE(find_splitter(R"(\p{N}{1,4})"));
  EXPECT_FALSE(find_splitter(std::string(kGpt2Pattern) + " "));
}

}  // namespace
}  // namespace paro::tokenizer
