#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "kernels/rotate/rotate.h"

namespace paro {

namespace {

int16_t in_steps(double value) { return static_cast<int16_t>(std::lround(value / static_cast<double>(kAngleStep))); }

// The whole rounds of one group.
void add_rounds(RotationTables& tables, int64_t begin, int64_t rounds, const float* theta, const int16_t* pairs) {
  const int64_t g = tables.group_size;
  std::array<uint8_t, 128> place;  // of each channel
  std::iota(place.begin(), place.end(), uint8_t{0});
  for (int64_t r = 0; r < rounds; ++r) {
    const float* angles = theta + (r * tables.in + begin) / 2;
    if (std::all_of(angles, angles + g / 2, [](float angle) { return angle == 0.0f; })) continue;
    const int16_t* channels = pairs + r * tables.in + begin;
    for (int64_t k = 0; k < g; ++k) tables.round_channels.push_back(static_cast<uint8_t>(channels[k]));
    for (int64_t t = 0; t < g / 2; ++t) tables.round_angles.push_back(in_steps(std::cos(double{angles[t]})));
    for (int64_t t = 0; t < g / 2; ++t) tables.round_angles.push_back(in_steps(std::sin(double{angles[t]})));
    for (int64_t k = 0; k < 2; ++k)
      for (int64_t t = 0; t < g / 2; ++t) tables.moves.push_back(place[static_cast<size_t>(channels[2 * t + k])]);
    for (int64_t t = 0; t < g; ++t)
      place[static_cast<size_t>(channels[t])] = static_cast<uint8_t>(t % 2 * (g / 2) + t / 2);
  }
  tables.moves.insert(tables.moves.end(), place.begin(), place.begin() + g);
}

}  // namespace

RotationTables make_rotation_tables(int64_t in, int64_t group_size, int64_t rounds, const float* theta,
                                    const int16_t* pairs, const float* channel_scales) {
  PARO_CHECK(group_size > 0 && group_size <= 128 && group_size % 8 == 0 && in % group_size == 0);
  RotationTables tables;
  tables.in = in;
  tables.group_size = group_size;
  if (std::any_of(channel_scales, channel_scales + in, [](float s) { return s != 1.0f; }))
    tables.channel_scales.assign(channel_scales, channel_scales + in);
  tables.offsets.push_back(0);
  tables.first_round.push_back(0);
  for (int64_t begin = 0; begin < in; begin += group_size) {
    for (int64_t r = 0; r < rounds; ++r) {
      for (int64_t t = 0; t < group_size / 2; ++t) {
        const double angle = theta[(r * in + begin) / 2 + t];
        if (angle == 0.0) continue;
        for (int64_t k = 0; k < 2; ++k)
          tables.channels.push_back(static_cast<uint8_t>(pairs[r * in + begin + 2 * t + k]));
        tables.angles.push_back(static_cast<float>(std::cos(angle)));
        tables.angles.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    tables.offsets.push_back(static_cast<int32_t>(tables.channels.size() / 2));
    add_rounds(tables, begin, rounds, theta, pairs);
    tables.first_round.push_back(static_cast<int32_t>(tables.round_angles.size() / static_cast<size_t>(group_size)));
  }
  // Without rounds no row moves.
  if (tables.round_angles.empty()) tables.moves.clear();
  return tables;
}

}  // namespace paro
