// The bodies of Kernels::fit_group and angle_gradient; included by kernels_*.cpp inside an unnamed namespace with
// PARO_MADD defined. (No include guard: the inclusion is the instantiation.)

/// w' for one tile: rounds applied to [g, kTileRows], the first one read from `source` (rows `stride` apart).
inline void rotate_tile(const FitGroup& group, const float* source, int64_t stride, float* tile) {
  for (int64_t round = 0; round < group.rounds; ++round) {
    const int16_t* pairs = group.pairs + round * group.pair_stride;
    const float* cosine = group.cosine + round * (group.channels / 2);
    const float* sine = group.sine + round * (group.channels / 2);
    const float* from = round == 0 ? source : tile;
    const int64_t step = round == 0 ? stride : kTileRows;
    for (int64_t t = 0; t < group.channels / 2; ++t) {
      const float* xi = from + pairs[2 * t] * step;
      const float* xj = from + pairs[2 * t + 1] * step;
      float* yi = tile + pairs[2 * t] * kTileRows;
      float* yj = tile + pairs[2 * t + 1] * kTileRows;
      const float c = cosine[t];
      const float s = sine[t];
      for (int64_t r = 0; r < kTileRows; ++r) {
        const float a = xi[r];
        const float b = xj[r];
        yi[r] = PARO_MADD(c, a, s * b);
        yj[r] = PARO_MADD(c, b, -(s * a));
      }
    }
  }
}

/// Largest and smallest value of each row with 0 included; the low bits hold the channel.
inline void tile_extremes(const float* tile, int64_t channels, float* high, float* low) {
  const uint32_t mask = ~static_cast<uint32_t>(channels - 1);
  for (int64_t r = 0; r < kTileRows; ++r) high[r] = low[r] = 0.0f;
  for (int64_t c = 0; c < channels; ++c) {
    const float* y = tile + c * kTileRows;
    const uint32_t tag = static_cast<uint32_t>(c);
    for (int64_t r = 0; r < kTileRows; ++r) {
      const float tagged = std::bit_cast<float>((std::bit_cast<uint32_t>(y[r]) & mask) | tag);
      high[r] = tagged > high[r] ? tagged : high[r];
      low[r] = tagged < low[r] ? tagged : low[r];
    }
  }
}

inline double fit_group_body(const FitGroup& group, float levels, float* gradient) {
  const int64_t g = group.channels;
  alignas(64) float tile[kMaxGroup * kTileRows];
  alignas(64) float high[kTileRows];
  alignas(64) float low[kTileRows];
  std::fill(gradient, gradient + g * g, 0.0f);
  double loss = 0.0;
  for (int64_t row = 0; row < group.rows; row += kTileRows) {
    rotate_tile(group, group.transposed + row, group.rows, tile);
    tile_extremes(tile, g, high, low);
    float tile_loss = 0.0f;
    for (int64_t r = 0; r < kTileRows; ++r) {
      const float scale = (high[r] - low[r]) / levels;
      const float weight = group.row_weight[row + r];
      tile_loss += weight * scale * scale;
      // The gradient of max and min picks one channel each; by the chain rule each adds a multiple of w to a row of R.
      const float slope = 2.0f * weight * scale / levels;
      const float* w = group.weights + (row + r) * g;
      const float up = high[r] > 0.0f ? slope : 0.0f;
      const float down = low[r] < 0.0f ? -slope : 0.0f;
      float* high_row =
          gradient + static_cast<int64_t>(std::bit_cast<uint32_t>(high[r]) & static_cast<uint32_t>(g - 1)) * g;
      float* low_row =
          gradient + static_cast<int64_t>(std::bit_cast<uint32_t>(low[r]) & static_cast<uint32_t>(g - 1)) * g;
      for (int64_t c = 0; c < g; ++c) high_row[c] = PARO_MADD(up, w[c], high_row[c]);
      for (int64_t c = 0; c < g; ++c) low_row[c] = PARO_MADD(down, w[c], low_row[c]);
    }
    loss += static_cast<double>(tile_loss);
  }
  return loss;
}

/// Rows i and j turned by the angle with this cosine and sine.
inline void turn_rows(float* xi, float* xj, int64_t count, float c, float s) {
  for (int64_t m = 0; m < count; ++m) {
    const float a = xi[m];
    const float b = xj[m];
    xi[m] = PARO_MADD(c, a, s * b);
    xj[m] = PARO_MADD(c, b, -(s * a));
  }
}

inline void angle_gradient_body(const FitGroup& group, float* gradient, float* scratch, float* angle_gradient) {
  const int64_t g = group.channels;
  std::fill(scratch, scratch + g * g, 0.0f);
  for (int64_t c = 0; c < g; ++c) scratch[c * g + c] = 1.0f;
  for (int64_t round = 0; round < group.rounds; ++round) {
    const int16_t* pairs = group.pairs + round * group.pair_stride;
    for (int64_t t = 0; t < g / 2; ++t)
      turn_rows(scratch + pairs[2 * t] * g, scratch + pairs[2 * t + 1] * g, g, group.cosine[round * (g / 2) + t],
                group.sine[round * (g / 2) + t]);
  }
  for (int64_t round = group.rounds - 1; round >= 0; --round) {
    const int16_t* pairs = group.pairs + round * group.pair_stride;
    for (int64_t t = 0; t < g / 2; ++t) {
      float* yi = scratch + pairs[2 * t] * g;
      float* yj = scratch + pairs[2 * t + 1] * g;
      float* gi = gradient + pairs[2 * t] * g;
      float* gj = gradient + pairs[2 * t + 1] * g;
      // Eight partial sums: a fixed order that fills vector registers.
      float sums[8] = {};
      for (int64_t m = 0; m < g; m += 8)
        for (int64_t lane = 0; lane < 8; ++lane)
          sums[lane] += gi[m + lane] * yj[m + lane] - gj[m + lane] * yi[m + lane];
      float total = 0.0f;
      for (const float sum : sums) total += sum;
      const int64_t at = round * (g / 2) + t;
      angle_gradient[at] = total;
      turn_rows(yi, yj, g, group.cosine[at], -group.sine[at]);
      turn_rows(gi, gj, g, group.cosine[at], -group.sine[at]);
    }
  }
}
