// For tests and benches: random rotations.
#pragma once

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/rotate/rotate.h"

namespace paro {

struct RandomRotation {
  std::vector<float> theta;
  std::vector<int16_t> pairs;
  std::vector<float> channel_scales;
};

/// Random pairs and angles in every round; with `fillers`, a third of the angles is 0.
inline RandomRotation random_rotation(int64_t in, int64_t group_size, int64_t rounds, uint32_t seed,
                                      bool fillers = false) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> angle(-1.0f, 1.0f);
  std::uniform_real_distribution<float> scale(0.5f, 2.0f);
  RandomRotation r;
  for (int64_t i = 0; i < rounds * in / 2; ++i) r.theta.push_back(fillers && i % 3 == 0 ? 0.0f : angle(engine));
  for (int64_t group = 0; group < rounds * in / group_size; ++group) {
    std::vector<int16_t> order(static_cast<size_t>(group_size));
    std::iota(order.begin(), order.end(), int16_t{0});
    std::shuffle(order.begin(), order.end(), engine);
    r.pairs.insert(r.pairs.end(), order.begin(), order.end());
  }
  for (int64_t i = 0; i < in; ++i) r.channel_scales.push_back(scale(engine));
  return r;
}

inline RotationTables random_tables(int64_t in, int64_t group_size, int64_t rounds, uint32_t seed,
                                    bool fillers = false) {
  const RandomRotation r = random_rotation(in, group_size, rounds, seed, fillers);
  return make_rotation_tables(in, group_size, rounds, r.theta.data(), r.pairs.data(), r.channel_scales.data());
}

/// Int8Rows with memory of its own.
struct Int8Buffer {
  Int8Buffer(int64_t rows, int64_t lanes, int64_t in, int64_t group_size) {
    view.rows = rows;
    view.lanes = lanes;
    q.resize(static_cast<size_t>(view.padded() * in));
    scales.resize(static_cast<size_t>(view.padded() * in / group_size));
    sums.resize(scales.size());
    view.q = q.data();
    view.scales = scales.data();
    view.sums = sums.data();
  }
  int8_t at(int64_t row, int64_t i, int64_t group_size) const {
    const int64_t lane = row % view.lanes;
    const int64_t k = i % group_size;
    return q[static_cast<size_t>((i / group_size * view.padded() + row - lane) * group_size +
                                 (k / 4 * view.lanes + lane) * 4 + k % 4)];
  }
  std::vector<int8_t> q;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  Int8Rows view;
};

}  // namespace paro
