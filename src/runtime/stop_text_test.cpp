#include "runtime/stop_text.h"

#include <gtest/gtest.h>

#include <random>

namespace paro {
namespace {

TEST(StopText, WithoutStopsTextPassesThrough) {
  StopText stop({""});
  EXPECT_EQ(stop.push("abc"), "abc");
  EXPECT_EQ(stop.finish(), "");
  EXPECT_FALSE(stop.found());
}

TEST(StopText, HoldsBackWhatMayBeTheBeginning) {
  StopText stop({"User:"});
  EXPECT_EQ(stop.push("Hello Us"), "Hello ");
  EXPECT_EQ(stop.push("ers. U"), "Users. ");
  EXPECT_EQ(stop.push("se"), "");
  EXPECT_EQ(stop.push("r: more"), "");
  EXPECT_TRUE(stop.found());
  EXPECT_EQ(stop.which(), "User:");
  EXPECT_EQ(stop.push("more"), "");
  EXPECT_EQ(stop.finish(), "");
}

TEST(StopText, GivesBackTheHeldTextAtTheEnd) {
  StopText stop({"\n\n"});
  EXPECT_EQ(stop.push("a\n"), "a");
  EXPECT_EQ(stop.finish(), "\n");
}

TEST(StopText, TheEarliestStopWins) {
  StopText stop({"later", "b"});
  EXPECT_EQ(stop.push("a b later"), "a ");
  EXPECT_EQ(stop.which(), "b");
}

// However a text is cut into pieces, what is shown is what a search in the whole text says.
TEST(StopText, CutsDoNotMatter) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 30; ++i) text += static_cast<char>('a' + random() % 2);
    const std::vector<std::string> stops = {"aabba", "babbb", "aaaa"};
    size_t first = text.size();
    for (const std::string& s : stops) first = std::min(first, text.find(s));
    StopText stop(stops);
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + random() % 4;
      shown += stop.push(std::string_view(text).substr(at, length));
      at += length;
    }
    shown += stop.finish();
    EXPECT_EQ(shown, text.substr(0, first));
    EXPECT_EQ(stop.found(), first < text.size());
  }
}

}  // namespace
}  // namespace paro
