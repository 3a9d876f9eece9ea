#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "base/error.h"
#include "kernels/int4/int4.h"

namespace paro {

PackedInt4 pack_int4(const uint8_t* codes, const uint8_t* zeros, const float* scales, int64_t out, int64_t in,
                     int64_t group_size, ThreadPool* pool) {
  PARO_CHECK((group_size == 32 || group_size == 64 || group_size == 128) && in % group_size == 0 && out > 0);
  PackedInt4 packed;
  packed.in = in;
  packed.out = out;
  packed.group_size = group_size;
  const int64_t groups = packed.groups();
  packed.codes = AlignedBuffer(packed.tiles() * in * kInt4Tile / 2);
  packed.meta = AlignedBuffer(packed.tiles() * groups * kInt4MetaBytes);
  const auto body = [&](int64_t first, int64_t last) {
    for (int64_t tile = first; tile < last; ++tile) {
      const int64_t outputs = std::min(kInt4Tile, out - tile * kInt4Tile);
      uint8_t* bytes = packed.codes.data() + tile * in * kInt4Tile / 2;
      uint8_t* meta = packed.meta.data() + tile * groups * kInt4MetaBytes;
      for (int64_t o = 0; o < outputs; ++o) {
        const int64_t row = tile * kInt4Tile + o;
        const uint8_t* code = codes + row * in;
        for (int64_t j = 0; j < in / 8; ++j)
          for (int64_t i = 0; i < 4; ++i)
            bytes[j * 64 + o * 4 + i] =
                static_cast<uint8_t>((code[8 * j + i] & 15) | ((code[8 * j + 4 + i] & 15) << 4));
        for (int64_t g = 0; g < groups; ++g) {
          uint8_t* at = meta + g * kInt4MetaBytes;
          const uint16_t scale = f32_to_f16(scales[row * groups + g]);
          std::memcpy(at + 2 * o, &scale, 2);
          at[32 + o % 8] = static_cast<uint8_t>(at[32 + o % 8] | ((zeros[row * groups + g] & 15) << (o / 8 * 4)));
        }
      }
    }
  };
  if (pool != nullptr)
    pool->parallel_for(packed.tiles(), 4, body);
  else
    body(0, packed.tiles());
  return packed;
}

void unpack_int4(const PackedInt4& weight, std::vector<uint8_t>& codes, std::vector<uint8_t>& zeros,
                 std::vector<float>& scales) {
  const int64_t groups = weight.groups();
  codes.resize(static_cast<size_t>(weight.out * weight.in));
  zeros.resize(static_cast<size_t>(weight.out * groups));
  scales.resize(zeros.size());
  for (int64_t row = 0; row < weight.out; ++row) {
    const int64_t tile = row / kInt4Tile;
    const int64_t o = row % kInt4Tile;
    const uint8_t* bytes = weight.codes.data() + tile * weight.in * kInt4Tile / 2;
    for (int64_t i = 0; i < weight.in; ++i)
      codes[static_cast<size_t>(row * weight.in + i)] = (bytes[i / 8 * 64 + o * 4 + i % 4] >> (i % 8 / 4 * 4)) & 15;
    for (int64_t g = 0; g < groups; ++g) {
      const uint8_t* meta = weight.meta.data() + (tile * groups + g) * kInt4MetaBytes;
      uint16_t scale;
      std::memcpy(&scale, meta + 2 * o, 2);
      zeros[static_cast<size_t>(row * groups + g)] = (meta[32 + o % 8] >> (o / 8 * 4)) & 15;
      scales[static_cast<size_t>(row * groups + g)] = f16_to_f32(scale);
    }
  }
}

std::vector<float> unpack_int4(const PackedInt4& weight) {
  std::vector<uint8_t> codes, zeros;
  std::vector<float> scales;
  unpack_int4(weight, codes, zeros, scales);
  std::vector<float> w(codes.size());
  for (size_t at = 0; at < w.size(); ++at) {
    const size_t group = at / static_cast<size_t>(weight.group_size);
    w[at] = static_cast<float>(codes[at] - zeros[group]) * scales[group];
  }
  return w;
}

}  // namespace paro
