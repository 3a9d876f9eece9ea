#include "calib/numeric/pairs.h"

#include <algorithm>
#include <bit>
#include <cmath>
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
  PairRounds result{in, group_size, std::max<int64_t>(rounds, 1), 0, {}, {}};
  result.pairs.resize(static_cast<size_t>(result.rounds * in));
  for (int64_t begin = 0; begin < result.rounds * in; begin += group_size)
    xor_matching(group_size, 1, result.pairs.data() + begin);
  return result;
}

PairRounds make_magnitude_pairs(const std::vector<float>& magnitudes, int64_t group_size, int64_t rounds) {
  const auto in = static_cast<int64_t>(magnitudes.size());
  PARO_CHECK(group_size >= 2 && group_size % 2 == 0 && in % group_size == 0);
  PairRounds result = idle_pairs(in, group_size, rounds);
  result.used_rounds = rounds;
  const int64_t half = group_size / 2;
  std::vector<int16_t> ranked(static_cast<size_t>(group_size));
  for (int64_t begin = 0; begin < in; begin += group_size) {
    std::iota(ranked.begin(), ranked.end(), int16_t{0});
    std::stable_sort(ranked.begin(), ranked.end(), [&](int16_t a, int16_t b) {
      return magnitudes[static_cast<size_t>(begin + a)] > magnitudes[static_cast<size_t>(begin + b)];
    });
    for (int64_t round = 0; round < rounds; ++round)
      for (int64_t t = 0; t < half; ++t) {
        const int16_t strong = ranked[static_cast<size_t>(t)];
        const int16_t weak = ranked[static_cast<size_t>(group_size - 1 - (t + round) % half)];
        int16_t* pair = result.pairs.data() + round * in + begin + 2 * t;
        pair[0] = std::min(strong, weak);
        pair[1] = std::max(strong, weak);
      }
  }
  return result;
}

void keep_most_different(PairRounds& pairs, const std::vector<float>& magnitudes, double fraction) {
  PARO_CHECK(fraction > 0.0 && fraction <= 1.0 && std::ssize(magnitudes) == pairs.in);
  const int64_t half = pairs.group_size / 2;
  const auto kept = std::max<int64_t>(1, std::llround(fraction * static_cast<double>(half)));
  pairs.turning.assign(pairs.pairs.size() / 2, false);
  std::vector<int64_t> order(static_cast<size_t>(half));
  for (int64_t round = 0; round < pairs.used_rounds; ++round)
    for (int64_t begin = 0; begin < pairs.in; begin += pairs.group_size) {
      const int16_t* pair = pairs.pairs.data() + round * pairs.in + begin;
      const auto difference = [&](int64_t t) {
        return std::abs(magnitudes[static_cast<size_t>(begin + pair[2 * t])] -
                        magnitudes[static_cast<size_t>(begin + pair[2 * t + 1])]);
      };
      std::iota(order.begin(), order.end(), int64_t{0});
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return difference(a) > difference(b); });
      for (int64_t i = 0; i < kept; ++i)
        pairs.turning[static_cast<size_t>((round * pairs.in + begin) / 2 + order[static_cast<size_t>(i)])] = true;
    }
}

std::vector<float> largest_of_channels(const std::vector<float>& w, int64_t in) {
  std::vector<float> largest(static_cast<size_t>(in));
  for (size_t i = 0; i < w.size(); ++i) {
    float& channel = largest[i % largest.size()];
    channel = std::max(channel, std::abs(w[i]));
  }
  return largest;
}

PairRounds make_pairs(PairKind kind, int64_t in, int64_t group_size, int64_t rounds, uint64_t seed) {
  PARO_CHECK(kind != PairKind::kMagnitude);
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
