#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "kernels/int4/variants.h"

namespace paro {
namespace {

struct Cell {
  int code;
  int zero;
  float scale;
};

Cell cell(const PackedInt4& w, int64_t out, int64_t i) {
  const int64_t tile = out / kInt4Tile;
  const int64_t o = out % kInt4Tile;
  const uint8_t* meta = w.meta.data() + (tile * w.groups() + i / w.group_size) * kInt4MetaBytes;
  const uint8_t byte = w.codes.data()[tile * w.in * kInt4Tile / 2 + i / 8 * 64 + o * 4 + i % 4];
  uint16_t scale;
  std::memcpy(&scale, meta + 2 * o, 2);
  return {(byte >> (i % 8 / 4 * 4)) & 15, (meta[32 + o % 8] >> (o / 8 * 4)) & 15, f16_to_f32(scale)};
}

void multiply(const PackedInt4& w, const Int8Rows& x, int64_t row_begin, int64_t row_end, int64_t tile_begin,
              int64_t tile_end, Int4Addend addend, float* y) {
  const int64_t padded = x.padded();
  for (int64_t r = row_begin; r < row_end; ++r) {
    const int64_t lane = r % x.lanes;
    for (int64_t o = tile_begin * kInt4Tile; o < tile_end * kInt4Tile && o < w.out; ++o) {
      float sum = 0.0f;
      for (int64_t g = 0; g < w.groups(); ++g) {
        int32_t dot = 0;
        Cell c{};
        for (int64_t i = 0; i < w.group_size; ++i) {
          c = cell(w, o, g * w.group_size + i);
          dot += c.code * x.q[(g * padded + r - lane) * w.group_size + (i / 4 * x.lanes + lane) * 4 + i % 4];
        }
        dot -= c.zero * x.sums[g * padded + r];
        sum = std::fma(static_cast<float>(dot), c.scale * x.scales[g * padded + r], sum);
      }
      const float* addition = addend.at(r, o);
      y[r * w.out + o] = addition == nullptr ? sum : sum + *addition;
    }
  }
}

void multiply_f32(const PackedInt4& w, const float* x, int64_t rows, int64_t row_begin, int64_t row_end,
                  int64_t tile_begin, int64_t tile_end, Int4Addend addend, float* y) {
  for (int64_t r = row_begin; r < row_end; ++r) {
    for (int64_t o = tile_begin * kInt4Tile; o < tile_end * kInt4Tile && o < w.out; ++o) {
      float sum = 0.0f;
      for (int64_t i = 0; i < w.in; ++i) {
        const Cell c = cell(w, o, i);
        const int64_t g = i / w.group_size;
        sum = std::fma(static_cast<float>(c.code - c.zero) * c.scale,
                       x[(g * rows + r) * w.group_size + i % w.group_size], sum);
      }
      const float* addition = addend.at(r, o);
      y[r * w.out + o] = addition == nullptr ? sum : sum + *addition;
    }
  }
}

}  // namespace

const Int4Kernels kInt4Reference{Isa::kReference, 1, 1, multiply, multiply_f32};

}  // namespace paro
