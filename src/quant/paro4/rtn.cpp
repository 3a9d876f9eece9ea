#include "quant/paro4/rtn.h"

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "base/error.h"

namespace paro {

std::pair<float, uint8_t> rtn_scale_zero(float min, float max) {
  min = std::min(min, 0.0f);
  max = std::max(max, 0.0f);
  const float scale = std::max(f16_to_f32(f32_to_f16(std::max((max - min) / 15.0f, 1e-7f))), 0x1p-24f);
  const float zero = std::clamp(std::nearbyint(-min / scale), 0.0f, 15.0f);
  return {scale, static_cast<uint8_t>(zero)};
}

Paro4Weight quantize_rtn(const float* w, int64_t out, int64_t in, int64_t group_size,
                         std::shared_ptr<const PairRotation> rotation, ThreadPool* pool) {
  PARO_CHECK(rotation != nullptr && rotation->in == in && rotation->group_size == group_size && in % group_size == 0);
  std::vector<float> rotated(w, w + out * in);
  rotate_weight(*rotation, rotated.data(), out, pool);
  const int64_t groups = in / group_size;
  Paro4Weight result;
  result.in = in;
  result.out = out;
  result.group_size = group_size;
  result.codes.resize(rotated.size());
  result.zeros.resize(static_cast<size_t>(out * groups));
  result.scales.resize(static_cast<size_t>(out * groups));
  result.rotation = std::move(rotation);
  const auto body = [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      const float* x = rotated.data() + group * group_size;
      float min = 0.0f;
      float max = 0.0f;
      bool finite = true;
      for (int64_t i = 0; i < group_size; ++i) {
        finite = finite && std::isfinite(x[i]);
        min = std::min(min, x[i]);
        max = std::max(max, x[i]);
      }
      const auto [scale, zero] = rtn_scale_zero(min, max);
      if (!finite || !std::isfinite(scale))
        fail_input(
            "a weight to quantize has values that are not finite or beyond 16 bits: row {}, inputs {} to {}, "
            "range {} to {}",
            group / groups, group % groups * group_size, (group % groups + 1) * group_size - 1, min, max);
      result.scales[static_cast<size_t>(group)] = scale;
      result.zeros[static_cast<size_t>(group)] = zero;
      for (int64_t i = 0; i < group_size; ++i) {
        const float code = std::nearbyint(x[i] / scale) + static_cast<float>(zero);
        result.codes[static_cast<size_t>(group * group_size + i)] = static_cast<uint8_t>(std::clamp(code, 0.0f, 15.0f));
      }
    }
  };
  if (pool != nullptr)
    pool->parallel_for(out * groups, 256, body);
  else
    body(0, out * groups);
  return result;
}

}  // namespace paro
