#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/rotate/rotate.h"

namespace paro {

RotationTables make_rotation_tables(int64_t in, int64_t group_size, int64_t rounds, const float* theta,
                                    const int16_t* pairs, const float* channel_scales) {
  PARO_CHECK(group_size > 0 && group_size <= 128 && group_size % 8 == 0 && in % group_size == 0);
  RotationTables tables;
  tables.in = in;
  tables.group_size = group_size;
  if (std::any_of(channel_scales, channel_scales + in, [](float s) { return s != 1.0f; }))
    tables.channel_scales.assign(channel_scales, channel_scales + in);
  tables.offsets.push_back(0);
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
  }
  return tables;
}

}  // namespace paro
