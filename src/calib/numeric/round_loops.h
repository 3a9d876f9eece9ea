// The bodies of the rounding loops of Kernels; included by kernels_*.cpp inside an unnamed namespace with PARO_MADD
// defined. (No include guard: the inclusion is the instantiation.)

/// round(x / s) with halves to even: adding 1.5 * 2^23 leaves no bits behind the point. Clamped far outside of what 8
/// bits can reach.
inline float round_ratio(float x, float s) {
  float ratio = x / s;
  ratio = ratio > 512.0f ? 512.0f : ratio;
  ratio = ratio < -512.0f ? -512.0f : ratio;
  return (ratio + 0x1.8p23f) - 0x1.8p23f;
}

inline float clamp_code(float code, float levels) {
  code = code > 0.0f ? code : 0.0f;
  return code < levels ? code : levels;
}

/// f16, never below the smallest subnormal.
inline float round_scale(float scale) {
  const float rounded = f16_to_f32(f32_to_f16(scale > 1e-7f ? scale : 1e-7f));
  return rounded;
}

inline void choose_range_body(const float* x, int64_t channels, float levels, bool clip, const float* column_weight,
                              TileQuantizer* quantizer) {
  alignas(64) float high[kTileRows];
  alignas(64) float low[kTileRows];
  alignas(64) float scale[kTileRows];
  alignas(64) float zero[kTileRows];
  alignas(64) float error[kTileRows];
  alignas(64) float best[kTileRows];
  for (int64_t r = 0; r < kTileRows; ++r) high[r] = low[r] = 0.0f;
  for (int64_t c = 0; c < channels; ++c) {
    const float* column = x + c * kTileRows;
    for (int64_t r = 0; r < kTileRows; ++r) {
      high[r] = column[r] > high[r] ? column[r] : high[r];
      low[r] = column[r] < low[r] ? column[r] : low[r];
    }
  }
  const int ratios = clip ? 17 : 1;
  for (int step = 0; step < ratios; ++step) {
    const float ratio = 1.0f - 0.025f * static_cast<float>(step);
    for (int64_t r = 0; r < kTileRows; ++r) {
      scale[r] = round_scale((high[r] * ratio - low[r] * ratio) / levels);
      zero[r] = clamp_code(round_ratio(-(low[r] * ratio), scale[r]), levels);
      error[r] = 0.0f;
    }
    if (clip) {
      for (int64_t c = 0; c < channels; ++c) {
        const float* column = x + c * kTileRows;
        const float weight = column_weight[c];
        for (int64_t r = 0; r < kTileRows; ++r) {
          const float code = clamp_code(round_ratio(column[r], scale[r]) + zero[r], levels);
          const float miss = (code - zero[r]) * scale[r] - column[r];
          error[r] = PARO_MADD(weight * miss, miss, error[r]);
        }
      }
    }
    for (int64_t r = 0; r < kTileRows; ++r) {
      const bool better = step == 0 || error[r] < best[r];
      best[r] = better ? error[r] : best[r];
      quantizer->scale[r] = better ? scale[r] : quantizer->scale[r];
      quantizer->zero[r] = better ? zero[r] : quantizer->zero[r];
    }
  }
}

inline void gptq_tile_body(float* x, int64_t channels, float levels, const float* u, int64_t u_stride,
                           const TileQuantizer& quantizer, uint8_t* codes, float* errors) {
  for (int64_t j = 0; j < channels; ++j) {
    const float* column = x + j * kTileRows;
    float* error = errors + j * kTileRows;
    const float pivot = 1.0f / u[j * u_stride + j];
    for (int64_t r = 0; r < kTileRows; ++r) {
      const float code = clamp_code(round_ratio(column[r], quantizer.scale[r]) + quantizer.zero[r], levels);
      codes[j * kTileRows + r] = static_cast<uint8_t>(code);
      error[r] = (column[r] - (code - quantizer.zero[r]) * quantizer.scale[r]) * pivot;
    }
    for (int64_t m = j + 1; m < channels; ++m) {
      float* later = x + m * kTileRows;
      const float factor = -u[j * u_stride + m];
      for (int64_t r = 0; r < kTileRows; ++r) later[r] = PARO_MADD(factor, error[r], later[r]);
    }
  }
}

inline void descent_tile_body(float* slope, int64_t channels, float levels, const float* h, int64_t h_stride,
                              const TileQuantizer& quantizer, uint8_t* codes, float* delta) {
  for (int64_t j = 0; j < channels; ++j) {
    const float diagonal = h[j * h_stride + j] > 1e-12f ? h[j * h_stride + j] : 1e-12f;
    const float* gradient = slope + j * kTileRows;
    float* change = delta + j * kTileRows;
    for (int64_t r = 0; r < kTileRows; ++r) {
      const float value = (static_cast<float>(codes[j * kTileRows + r]) - quantizer.zero[r]) * quantizer.scale[r];
      const float wanted = value - gradient[r] / diagonal;
      const float code = clamp_code(round_ratio(wanted, quantizer.scale[r]) + quantizer.zero[r], levels);
      codes[j * kTileRows + r] = static_cast<uint8_t>(code);
      change[r] = (code - quantizer.zero[r]) * quantizer.scale[r] - value;
    }
    for (int64_t m = 0; m < channels; ++m) {
      const float factor = h[j * h_stride + m];
      float* other = slope + m * kTileRows;
      for (int64_t r = 0; r < kTileRows; ++r) other[r] = PARO_MADD(factor, change[r], other[r]);
    }
  }
}
