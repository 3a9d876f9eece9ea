#include "calib/numeric/pairs.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/error.h"
#include "calib/numeric/random.h"

namespace paro::calib {
namespace {

/// Pairs (i, i xor mask), each once.
void xor_matching(int64_t group_size, int64_t mask, int16_t* pairs) {
  for (int64_t i = 0; i < group_size; ++i) {
    if ((i ^ mask) < i) continue;
    *pairs++ = static_cast<int16_t>(i);
    *pairs++ = static_cast<int16_t>(i ^ mask);
  }
}

void random_matching(int64_t group_size, Random& random, int16_t* pairs) {
  std::vector<int16_t> order(static_cast<size_t>(group_size));
  std::iota(order.begin(), order.end(), int16_t{0});
  random.shuffle(order);
  for (size_t t = 0; t < order.size(); t += 2) {
    pairs[t] = std::min(order[t], order[t + 1]);
    pairs[t + 1] = std::max(order[t], order[t + 1]);
  }
}

}  // namespace

PairRounds idle_pairs(int64_t in, int64_t group_size, int64_t rounds) {
  PairRounds result{in, group_size, std::max<int64_t>(rounds, 1), 0, {}};
  result.pairs.resize(static_cast<size_t>(result.rounds * in));
  for (int64_t begin = 0; begin < result.rounds * in; begin += group_size)
    xor_matching(group_size, 1, result.pairs.data() + begin);
  return result;
}

PairRounds make_pairs(PairKind kind, int64_t in, int64_t group_size, int64_t rounds, uint64_t seed) {
  PARO_CHECK(group_size >= 2 && std::has_single_bit(static_cast<uint64_t>(group_size)) && in % group_size == 0);
  PairRounds result = idle_pairs(in, group_size, rounds);
  result.used_rounds = rounds;
  const int64_t levels = std::countr_zero(static_cast<uint64_t>(group_size));
  if (kind == PairKind::kButterfly) result.used_rounds = std::min(rounds, levels);
  for (int64_t group = 0; group < in / group_size; ++group) {
    Random random(seed, static_cast<uint64_t>(group));
    for (int64_t round = 0; round < result.used_rounds; ++round) {
      int16_t* pairs = result.pairs.data() + round * in + group * group_size;
      if (kind == PairKind::kButterfly)
        xor_matching(group_size, int64_t{1} << round, pairs);
      else
        random_matching(group_size, random, pairs);
    }
  }
  return result;
}

}  // namespace paro::calib
