#include "io/tokenizer/regex.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "base/error.h"
#include "io/tokenizer/regex_translate.h"

namespace paro::tokenizer {
namespace {

std::vector<std::string> find_all(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "t");
  Regex::Matches matches(regex, text);
  std::vector<std::string> result;
  for (size_t start = 0, end = 0; matches.next(&start, &end);) result.push_back(text.substr(start, end - start));
  return result;
}

using Strings = std::vector<std::string>;

TEST(Regex, HasTheMeaningOfOniguruma) {
  EXPECT_EQ(find_all(R"(\s)", "a\u180eb\u0085c d"), (Strings{"\u0085", " "}));
  EXPECT_EQ(find_all(R"([^\s]+)", "a\u180eb c"), (Strings{"a\u180eb", "c"}));
  EXPECT_EQ(find_all(R"([\S]+)", "a\u3000b"), (Strings{"a", "b"}));
  EXPECT_EQ(find_all(R"(\w+)", "ab\u00b2c\u0301_\u24b6-"), (Strings{"ab", "c\u0301_\u24b6"}));
  EXPECT_EQ(find_all(R"(\h+)", "xaf09z"), (Strings{"af09"}));
  EXPECT_EQ(find_all(R"(\d{1,2}+)", "1234567 8"), (Strings{"1234567", "8"}));
  EXPECT_EQ(find_all(R"((?m:a.b))", "a\nb"), (Strings{"a\nb"}));
  EXPECT_EQ(find_all(R"(a.b)", "a\nb a\rb"), (Strings{"a\rb"}));
  EXPECT_EQ(find_all(R"(^b$)", "a\nb\nc"), (Strings{"b"}));
  EXPECT_EQ(find_all(R"([a-z&&[^b-y]]+)", "azbyza"), (Strings{"az", "za"}));
  EXPECT_EQ(find_all(R"([a[bc]]+)", "xabcx"), (Strings{"abc"}));
  EXPECT_EQ(find_all(R"([^a&&[^b]]+)", "aabbc"), (Strings{"bbc"}));
  EXPECT_EQ(find_all(R"([]a]+)", "x]a"), (Strings{"]a"}));
  EXPECT_EQ(find_all(R"((?i:'S))", "'s'\u017f"), (Strings{"'s", "'\u017f"}));
  EXPECT_EQ(find_all(R"(\u0041+)", "xAA"), (Strings{"AA"}));
  EXPECT_EQ(find_all(R"(a{,2})", "aaab"), (Strings{"aa", "a", ""}));
  EXPECT_EQ(find_all(R"(x*)", "axb"), (Strings{"", "x", ""}));
  EXPECT_EQ(find_all(R"(\p{L}+|\p{So})", "\U0002ebf0a\U0001f8b2"), (Strings{"\U0002ebf0a", "\U0001f8b2"}));
}

TEST(Regex, RefusesWhatItCannotDo) {
  for (const char* pattern : {"(", ")", "[a", "[", "a{2,1}", "*", "\\", "\\p{Nothing}", "\\p", "(?x: a)", "(*UTF)a",
                              "(?#c)", "[[:alpha:", "\\uZZZZ", "[\\W]", "\\C", "(?<n>a)(?<n>b)\\k<m>", "[]"})
    EXPECT_THROW(Regex(pattern, "t"), Error) << pattern;
  EXPECT_THROW(Regex(std::string(100'000, 'a'), "t"), Error);
  EXPECT_THROW(Regex(std::string(20'000, '('), "t"), Error);
  EXPECT_THROW(Regex(std::string(20'000, '['), "t"), Error);
  EXPECT_THROW(Regex("((((((a{60000}){60000}){60000}){60000}){60000}){60000})", "t"), Error);
}

TEST(Regex, EndlessBacktrackingIsAnError) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THROW(find_all("(a+)+$", std::string(100, 'a') + "b"), Error);
  EXPECT_THROW(find_all("(?:a|aa)*$", std::string(1000, 'a') + "b"), Error);
  EXPECT_THROW(find_all("(?:(?:x?)*a)*z", std::string(1000, 'a') + "bz"), Error);
  // Without a z the engine sees at once that nothing can match.
  EXPECT_EQ(find_all("(?:(?:x?)*a)*z", std::string(1000, 'a') + "b"), Strings{});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Regex, QuadraticSearchesAreStopped) {
  const auto start = std::chrono::steady_clock::now();
  try {
    find_all(R"(\s+$)", std::string(400'000, ' ') + "x");
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("takes too long"), std::string::npos);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(8));
}

}  // namespace
}  // namespace paro::tokenizer
