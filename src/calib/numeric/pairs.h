// Which channels are rotated against each other: the rounds of perfect matchings of an input's groups.
#pragma once

#include <cstdint>
#include <vector>

namespace paro::calib {

enum class PairKind {
  kRandom,     // a random perfect matching of each group in each round
  kButterfly,  // round k: channel i with i xor 2^k; rounds beyond log2(g) stay unused
  kMagnitude,  // strong channels with weak ones: make_magnitude_pairs
};

struct PairRounds {
  int64_t in = 0;
  int64_t group_size = 0;
  int64_t rounds = 0;
  int64_t used_rounds = 0;     // the first ones; the angles of the others are to stay 0
  std::vector<int16_t> pairs;  // [rounds, in], channel numbers inside the group, i < j in each pair
  std::vector<bool> turning;   // [rounds, in/2]: the pairs whose angles may leave 0; empty: all of the used rounds
};

/// `rounds` rounds for an input of `in` channels in groups of `group_size` (a power of two for the butterfly).
/// No rounds at all still gives one unused round, as a file of the public format has at least one.
/// `seed` decides the random matchings: equal arguments give equal pairs.
PairRounds make_pairs(PairKind kind, int64_t in, int64_t group_size, int64_t rounds, uint64_t seed);
/// Round 0 pairs a group's strongest channel with its weakest, the second strongest with the second weakest and so on;
/// in each further round the stronger half meets the next of the weaker half. magnitudes [in].
PairRounds make_magnitude_pairs(const std::vector<float>& magnitudes, int64_t group_size, int64_t rounds);
/// Leaves, in each round and group, `fraction` of the pairs (at least one): those whose magnitudes differ most.
void keep_most_different(PairRounds& pairs, const std::vector<float>& magnitudes, double fraction);
/// The largest absolute value of each channel of w [rows, in], [in].
std::vector<float> largest_of_channels(const std::vector<float>& w, int64_t in);
/// As many rounds, none of them used.
PairRounds idle_pairs(int64_t in, int64_t group_size, int64_t rounds);

}  // namespace paro::calib
