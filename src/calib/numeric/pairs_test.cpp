#include "calib/numeric/pairs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace paro::calib {
namespace {

void expect_matchings(const PairRounds& p) {
  ASSERT_EQ(static_cast<int64_t>(p.pairs.size()), p.rounds * p.in);
  for (int64_t begin = 0; begin < p.rounds * p.in; begin += p.group_size) {
    std::set<int16_t> seen;
    for (int64_t t = 0; t < p.group_size; t += 2) {
      EXPECT_LT(p.pairs[begin + t], p.pairs[begin + t + 1]);
      seen.insert(p.pairs[begin + t]);
      seen.insert(p.pairs[begin + t + 1]);
    }
    EXPECT_EQ(static_cast<int64_t>(seen.size()), p.group_size);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), p.group_size - 1);
  }
}

TEST(Pairs, EveryRoundIsAPerfectMatching) {
  for (const PairKind kind : {PairKind::kRandom, PairKind::kButterfly})
    for (const int64_t group : {32, 64, 128})
      for (const int64_t rounds : {0, 1, 4, 8}) expect_matchings(make_pairs(kind, 256, group, rounds, 7));
}

TEST(Pairs, SeedsDecideRandomRounds) {
  const PairRounds a = make_pairs(PairKind::kRandom, 128, 64, 8, 1);
  EXPECT_EQ(a.pairs, make_pairs(PairKind::kRandom, 128, 64, 8, 1).pairs);
  EXPECT_NE(a.pairs, make_pairs(PairKind::kRandom, 128, 64, 8, 2).pairs);
  EXPECT_EQ(a.used_rounds, 8);
}

TEST(Pairs, ButterflyMeetsEachDistanceOnce) {
  const PairRounds p = make_pairs(PairKind::kButterfly, 64, 64, 8, 0);
  EXPECT_EQ(p.rounds, 8);
  EXPECT_EQ(p.used_rounds, 6);
  for (int64_t round = 0; round < 6; ++round)
    for (int64_t t = 0; t < 64; t += 2) EXPECT_EQ(p.pairs[round * 64 + t] ^ p.pairs[round * 64 + t + 1], 1 << round);
  EXPECT_EQ(make_pairs(PairKind::kRandom, 64, 64, 0, 0).used_rounds, 0);
  EXPECT_EQ(make_pairs(PairKind::kRandom, 64, 64, 0, 0).rounds, 1);
}

TEST(Pairs, MagnitudePairsStrongChannelsWithWeakOnes) {
  std::vector<float> magnitudes;
  for (int i = 0; i < 64; ++i) magnitudes.push_back(static_cast<float>((i * 37) % 64));
  const PairRounds p = make_magnitude_pairs(magnitudes, 32, 4);
  expect_matchings(p);
  EXPECT_EQ(p.used_rounds, 4);
  std::set<std::pair<int64_t, int16_t>> met;  // (group and channel, partner): never twice
  for (int64_t round = 0; round < 4; ++round)
    for (int64_t t = 0; t < 64; t += 2) {
      const int64_t begin = t / 32 * 32;
      const int16_t a = p.pairs[round * 64 + t], b = p.pairs[round * 64 + t + 1];
      EXPECT_TRUE(met.emplace(begin + a, b).second);
      // Ranks inside the group: one of the pair in each half, and in round 0 they mirror each other.
      const auto rank = [&](int16_t channel) {
        return std::count_if(magnitudes.begin() + begin, magnitudes.begin() + begin + 32,
                             [&](float m) { return m > magnitudes[begin + channel]; });
      };
      EXPECT_NE(rank(a) < 16, rank(b) < 16);
      if (round == 0) {
        EXPECT_EQ(rank(a) + rank(b), 31);
      }
    }
}

TEST(Pairs, AFractionKeepsThePairsThatDifferMost) {
  std::vector<float> magnitudes(64, 1.0f);
  magnitudes[5] = 9.0f;
  magnitudes[40] = 7.0f;
  PairRounds p = make_pairs(PairKind::kRandom, 64, 32, 3, 1);
  keep_most_different(p, magnitudes, 1.0 / 16.0);
  ASSERT_EQ(p.turning.size(), 3u * 32u);
  for (int64_t i = 0; i < 3 * 32; ++i) {
    const int64_t begin = i % 32 / 16 * 32;
    const bool strong = magnitudes[begin + p.pairs[2 * i]] > 1.0f || magnitudes[begin + p.pairs[2 * i + 1]] > 1.0f;
    EXPECT_EQ(p.turning[i], strong) << i;
  }
}

}  // namespace
}  // namespace paro::calib
