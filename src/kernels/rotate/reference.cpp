#include <bit>
#include <cmath>
#include <limits>

#include "kernels/rotate/variants.h"

namespace paro {
namespace {

constexpr int64_t kMaxGroup = 128;

void rotate_group(const RotationTables& t, int64_t group, const float* x, float* y) {
  const int64_t begin = group * t.group_size;
  for (int64_t i = 0; i < t.group_size; ++i)
    y[i] = t.channel_scales.empty() ? x[begin + i] : x[begin + i] * t.channel_scales[static_cast<size_t>(begin + i)];
  for (int32_t p = t.offsets[static_cast<size_t>(group)]; p < t.offsets[static_cast<size_t>(group + 1)]; ++p) {
    const uint8_t* channel = t.channels.data() + 2 * p;
    const float c = t.angles[static_cast<size_t>(2 * p)];
    const float s = t.angles[static_cast<size_t>(2 * p + 1)];
    const float a = y[channel[0]];
    const float b = y[channel[1]];
    y[channel[0]] = std::fma(c, a, s * b);
    y[channel[1]] = std::fma(c, b, -(s * a));
  }
}

// The same with the whole rounds and their 16-bit angles; x and y [group_size].
void rotate_group_16(const RotationTables& t, int64_t group, const float* x, float* y) {
  const int64_t begin = group * t.group_size;
  const int64_t half = t.group_size / 2;
  for (int64_t i = 0; i < t.group_size; ++i)
    y[i] = t.channel_scales.empty() ? x[i] : x[i] * t.channel_scales[static_cast<size_t>(begin + i)];
  for (int64_t r = t.first_round[static_cast<size_t>(group)]; r < t.first_round[static_cast<size_t>(group + 1)]; ++r) {
    const uint8_t* channels = t.round_channels.data() + r * t.group_size;
    const int16_t* angles = t.round_angles.data() + r * t.group_size;
    for (int64_t p = 0; p < half; ++p) {
      const float c = static_cast<float>(angles[p]) * kAngleStep;
      const float s = static_cast<float>(angles[half + p]) * kAngleStep;
      const float a = y[channels[2 * p]];
      const float b = y[channels[2 * p + 1]];
      y[channels[2 * p]] = std::fma(c, a, s * b);
      y[channels[2 * p + 1]] = std::fma(c, b, -(s * a));
    }
  }
}

void rotate(const RotationTables& t, const float* x, int64_t rows, int64_t group_begin, int64_t group_end, float* y) {
  float group_y[kMaxGroup];
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t group = group_begin; group < group_end; ++group) {
      rotate_group(t, group, x + row * t.in, group_y);
      for (int64_t i = 0; i < t.group_size; ++i) y[row * t.in + group * t.group_size + i] = group_y[i];
    }
  }
}

void rotate_quantize(const RotationTables& t, const FloatRows& x, const Int8Rows& out, int64_t tile_begin,
                     int64_t tile_end, int64_t group_begin, int64_t group_end) {
  float y[kMaxGroup];
  const int64_t g = t.group_size;
  const int64_t padded = out.padded();
  for (int64_t group = group_begin; group < group_end; ++group) {
    for (int64_t r = tile_begin * out.lanes; r < tile_end * out.lanes; ++r) {
      // Rows of padding repeat the last row; nothing reads their products.
      rotate_group_16(t, group, x.at(r < out.rows ? r : out.rows - 1, group * g), y);
      // Compared as integers, NaN is the largest and is not lost.
      int32_t largest = 0;
      for (int64_t i = 0; i < g; ++i) {
        const int32_t bits = std::bit_cast<int32_t>(y[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
      }
      const float absmax = std::bit_cast<float>(largest);
      const float inverse = largest > std::bit_cast<int32_t>(0x1p-100f) ? 127.0f / absmax : 0.0f;
      int32_t sum = 0;
      for (int64_t i = 0; i < g; ++i) {
        const float scaled = std::nearbyint(y[i] * inverse);
        const int32_t value = scaled >= -127.0f && scaled <= 127.0f ? static_cast<int32_t>(scaled) : 0;
        const int64_t lane = r % out.lanes;
        out.q[((group * padded + r - lane) * g + (i / 4 * out.lanes + lane) * 4) + i % 4] = static_cast<int8_t>(value);
        sum += value;
      }
      out.scales[group * padded + r] = absmax * (1.0f / 127.0f);
      out.sums[group * padded + r] = sum;
    }
  }
}

}  // namespace

const RotateKernels kRotateReference{Isa::kReference, 1, rotate, rotate_quantize};

}  // namespace paro
