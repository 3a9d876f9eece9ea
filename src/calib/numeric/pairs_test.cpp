#include "calib/numeric/pairs.h"

#include <gtest/gtest.h>

#include <set>

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

}  // namespace
}  // namespace paro::calib
