#include "quant/paro4/rounded_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "quant/cpu_linear.h"
#include "quant/paro4/rtn.h"

namespace paro {
namespace {

constexpr int64_t kGroup = kRoundedInt4Group;
// Outputs rounded and packed together; a multiple of kInt4Tile.
constexpr int64_t kRangeOutputs = 16 * kInt4Tile;
// Ranges tried: 1, 0.975, ... 0.6 of the values'. Finer steps or both ends on their own gain under 1 % of the error.
constexpr int kRatios = 17;
constexpr float kRatioStep = 0.025f;
// Added and subtracted, it rounds a number below 2^22 to the nearest integer, ties to even (1.5 * 2^23).
constexpr float kRounder = 12582912.0f;

struct Grid {
  float scale;
  float zero;
  float code(float x) const {
    // Far outside, the ratio's size does not matter: it is clamped to a code.
    const float ratio = std::clamp(x / scale, -64.0f, 64.0f);
    return std::clamp((ratio + kRounder) - kRounder + zero, 0.0f, 15.0f);
  }
};

// The grid of least squared error on x [kGroup].
Grid best_grid(const float* x) {
  const auto [least, most] = std::minmax_element(x, x + kGroup);
  Grid best = {};
  float best_error = std::numeric_limits<float>::infinity();
  for (int step = 0; step < kRatios; ++step) {
    const float ratio = 1.0f - kRatioStep * static_cast<float>(step);
    const auto [scale, zero] = rtn_scale_zero(*least * ratio, *most * ratio);
    const Grid grid = {scale, static_cast<float>(zero)};
    float error = 0.0f;
    for (int64_t i = 0; i < kGroup; ++i) {
      const float miss = (grid.code(x[i]) - grid.zero) * scale - x[i];
      error += miss * miss;
    }
    if (error < best_error || step == 0) {
      best_error = error;
      best = grid;
    }
  }
  return best;
}

}  // namespace

RoundedRows round_rows(const TensorView& weight, int64_t begin, int64_t end) {
  const int64_t in = weight.shape[1];
  const int64_t groups = in / kGroup;
  std::vector<float> row(static_cast<size_t>(in));
  RoundedRows result;
  result.codes.resize(static_cast<size_t>((end - begin) * in));
  result.zeros.resize(static_cast<size_t>((end - begin) * groups));
  result.scales.resize(result.zeros.size());
  for (int64_t o = 0; o < end - begin; ++o) {
    copy_as_f32(weight, (begin + o) * in, in, row.data());
    // A row that is not finite keeps giving results that are not.
    const bool finite = std::all_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); });
    for (int64_t g = 0; g < groups; ++g) {
      const float* x = row.data() + g * kGroup;
      const Grid grid = finite ? best_grid(x) : Grid{std::numeric_limits<float>::quiet_NaN(), 0.0f};
      const auto at = static_cast<size_t>(o * groups + g);
      result.scales[at] = grid.scale;
      result.zeros[at] = static_cast<uint8_t>(grid.zero);
      for (int64_t i = 0; finite && i < kGroup; ++i)
        result.codes[static_cast<size_t>(o * in + g * kGroup + i)] = static_cast<uint8_t>(grid.code(x[i]));
    }
  }
  return result;
}

void pack_rows(PackedInt4& packed, ThreadPool* pool,
               const std::function<RoundedRows(int64_t begin, int64_t end)>& rows) {
  const auto tile_code_bytes = static_cast<size_t>(packed.codes.size() / packed.tiles());
  const auto tile_meta_bytes = static_cast<size_t>(packed.meta.size() / packed.tiles());
  const int64_t ranges = (packed.out + kRangeOutputs - 1) / kRangeOutputs;
  const auto body = [&](int64_t first, int64_t last) {
    for (int64_t range = first; range < last; ++range) {
      const int64_t begin = range * kRangeOutputs;
      const int64_t end = std::min(begin + kRangeOutputs, packed.out);
      const RoundedRows from = rows(begin, end);
      const PackedInt4 part = pack_int4(from.codes.data(), from.zeros.data(), from.scales.data(), end - begin,
                                        packed.in, packed.group_size);
      // Tiles lie one after another in both arrays.
      const auto tile = static_cast<size_t>(begin / kInt4Tile);
      std::memcpy(packed.codes.data() + tile * tile_code_bytes, part.codes.data(),
                  static_cast<size_t>(part.codes.size()));
      std::memcpy(packed.meta.data() + tile * tile_meta_bytes, part.meta.data(), static_cast<size_t>(part.meta.size()));
    }
  };
  if (pool != nullptr)
    pool->parallel_for(ranges, 1, body);
  else
    body(0, ranges);
}

}  // namespace paro
