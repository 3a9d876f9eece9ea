#include "io/tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <random>

namespace paro::tokenizer {
namespace {

// A random model over a few letters: merges of tokens that are there already.
Json random_model(unsigned seed, int merges) {
  std::mt19937 random(seed);
  std::vector<std::string> tokens = {"a", "b", "c", "d", "e"};
  Json model = {{"type", "BPE"}, {"vocab", Json::object()}, {"merges", Json::array()}};
  for (const std::string& token : tokens) model["vocab"][token] = model["vocab"].size();
  for (int i = 0; i < merges; ++i) {
    const std::string left = tokens[random() % tokens.size()], right = tokens[random() % tokens.size()];
    if (left.size() + right.size() > 12) continue;
    if (!model["vocab"].contains(left + right)) {
      model["vocab"][left + right] = model["vocab"].size();
      tokens.push_back(left + right);
    }
    model["merges"].push_back(Json::array({left, right}));
  }
  return model;
}

// The definition: again and again the leftmost pair of the lowest rank.
std::vector<std::string> reference(const Json& model, const std::string& word) {
  std::vector<std::string> parts;
  for (char c : word) parts.emplace_back(1, c);
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < model["merges"].size(); ++i) ranks[{model["merges"][i][0], model["merges"][i][1]}] = i;
  while (true) {
    size_t best = SIZE_MAX, at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find({parts[i], parts[i + 1]});
      if (found != ranks.end() && found->second < best) best = found->second, at = i;
    }
    if (best == SIZE_MAX) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

class BpeWords : public testing::TestWithParam<bool> {};

TEST_P(BpeWords, MergesAsDefined) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    const Json model = random_model(seed, 60);
    const Bpe bpe(model, GetParam(), "t");
    std::mt19937 random(seed);
    for (int round = 0; round < 40; ++round) {
      std::string word(1 + random() % (round % 4 == 0 ? 300 : 30), 'a');
      for (char& c : word) c = static_cast<char>('a' + random() % (round % 3 == 0 ? 2 : 5));
      std::vector<int32_t> ids;
      bpe.encode(word, ids);
      std::vector<std::string> parts;
      for (const int32_t id : ids) parts.push_back(bpe.tokens()[static_cast<size_t>(id)]);
      ASSERT_EQ(parts, reference(model, word)) << word;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, BpeWords, testing::Bool(),
                         [](const auto& item) { return item.param ? "Bytes" : "Characters"; });

TEST(Bpe, CharactersThatAreNotInTheVocabulary) {
  Json model = {{"type", "BPE"}, {"vocab", {{"a", 0}, {"?", 1}, {"aa", 2}}}, {"merges", {"a a"}}};
  const auto encode = [&](const char* word) {
    const Bpe bpe(model, false, "t");
    std::vector<int32_t> ids;
    bpe.encode(word, ids);
    return ids;
  };
  EXPECT_EQ(encode("axya"),
            (std::vector<int32_t>{2}));  // without an unknown token they vanish, and what is left merges
  model["unk_token"] = "?";
  EXPECT_EQ(encode("axya"), (std::vector<int32_t>{0, 1, 1, 0}));
  model["fuse_unk"] = true;
  EXPECT_EQ(encode("axyaz"), (std::vector<int32_t>{0, 1, 0, 1}));
  model["byte_fallback"] = true;  // counts only when the tokens of all its bytes are there
  model["vocab"]["<0x78>"] = 3;
  EXPECT_EQ(encode("axa"), (std::vector<int32_t>{0, 3, 0}));
  EXPECT_EQ(encode("aya"), (std::vector<int32_t>{0, 1, 0}));
}

}  // namespace
}  // namespace paro::tokenizer
