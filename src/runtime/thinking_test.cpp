#include "runtime/thinking.h"

#include <gtest/gtest.h>

namespace paro {
namespace {

/// "a[b]c": thinking in brackets.
std::string run(const std::string& text, size_t cut, bool inside = false) {
  ThinkingSplitter splitter(inside);
  std::string result;
  bool thinking = false;
  const auto add = [&](const std::vector<TextPiece>& pieces) {
    for (const TextPiece& piece : pieces) {
      if (piece.thinking != thinking) result += thinking ? "]" : "[";
      thinking = piece.thinking;
      result += piece.text;
    }
  };
  for (size_t at = 0; at < text.size(); at += cut) add(splitter.push(text.substr(at, cut)));
  add(splitter.finish());
  return result + (thinking ? "]" : "");
}

TEST(Thinking, SplitsHoweverTheTextIsCut) {
  for (size_t cut = 1; cut < 12; ++cut) {
    EXPECT_EQ(run("<think>a < b</think>c<thin", cut), "[a < b]c<thin");
    EXPECT_EQ(run("x<think></think>y", cut), "xy");
    EXPECT_EQ(run("a</think>b", cut, true), "[a]b");
    EXPECT_EQ(run("never closed", cut, true), "[never closed]");
  }
}

TEST(Thinking, APromptMayOpenIt) {
  EXPECT_TRUE(prompt_opens_thinking("<|assistant|><think>\n"));
  EXPECT_FALSE(prompt_opens_thinking("<think>\n\n</think>\n\n"));
}

}  // namespace
}  // namespace paro
