#include "io/gguf_dequantize.h"

#include <cstring>

#include "base/dtype.h"

namespace paro::gguf {
namespace {

float half_at(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return f16_to_f32(bits);
}

const uint8_t* bytes_at(const std::byte* p) { return reinterpret_cast<const uint8_t*>(p); }

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// Six-bit scale and minimum of each of eight groups, from 12 bytes: four low scales, four low minima, then nibbles
/// of the upper four; the top two bits of the first eight bytes complete those.
void unpack_k_scales(const uint8_t* packed, uint8_t* scale, uint8_t* minimum) {
  for (int j = 0; j < 4; ++j) {
    scale[j] = packed[j] & 63;
    minimum[j] = packed[j + 4] & 63;
    scale[j + 4] = static_cast<uint8_t>((packed[j + 8] & 15) | ((packed[j] >> 6) << 4));
    minimum[j + 4] = static_cast<uint8_t>((packed[j + 8] >> 4) | ((packed[j + 4] >> 6) << 4));
  }
}

}  // namespace

void dequantize_q4_0(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 18, out += 32) {
    const float d = half_at(from);
    const uint8_t* q = bytes_at(from + 2);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>((q[j] & 15) - 8);
      out[j + 16] = d * static_cast<float>((q[j] >> 4) - 8);
    }
  }
}

void dequantize_q4_1(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 20, out += 32) {
    const float d = half_at(from);
    const float m = half_at(from + 2);
    const uint8_t* q = bytes_at(from + 4);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(q[j] & 15) + m;
      out[j + 16] = d * static_cast<float>(q[j] >> 4) + m;
    }
  }
}

void dequantize_q5_0(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 22, out += 32) {
    const float d = half_at(from);
    uint32_t high;
    std::memcpy(&high, from + 2, 4);
    const uint8_t* q = bytes_at(from + 6);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(static_cast<int>((q[j] & 15u) | ((high >> j & 1u) << 4)) - 16);
      out[j + 16] = d * static_cast<float>(static_cast<int>((q[j] >> 4) | ((high >> (j + 16) & 1u) << 4)) - 16);
    }
  }
}

void dequantize_q5_1(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 24, out += 32) {
    const float d = half_at(from);
    const float m = half_at(from + 2);
    uint32_t high;
    std::memcpy(&high, from + 4, 4);
    const uint8_t* q = bytes_at(from + 8);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>((q[j] & 15u) | ((high >> j & 1u) << 4)) + m;
      out[j + 16] = d * static_cast<float>((q[j] >> 4) | ((high >> (j + 16) & 1u) << 4)) + m;
    }
  }
}

void dequantize_q8_0(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 34, out += 32) {
    const float d = half_at(from);
    const auto* q = reinterpret_cast<const int8_t*>(from + 2);
    for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(q[j]);
  }
}

void dequantize_iq4_nl(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 18, out += 32) {
    const float d = half_at(from);
    const uint8_t* q = bytes_at(from + 2);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(kIq4Values[q[j] & 15]);
      out[j + 16] = d * static_cast<float>(kIq4Values[q[j] >> 4]);
    }
  }
}

// scales[16] (low nibble scale, high nibble minimum), codes[64], d, dmin. Each half of 128 elements has 32 bytes of
// codes; its four runs of 32 elements lie in bit pairs 0, 2, 4, 6.
void dequantize_q2_k(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 84, out += 256) {
    const uint8_t* scales = bytes_at(from);
    const uint8_t* codes = bytes_at(from + 16);
    const float d = half_at(from + 80);
    const float dmin = half_at(from + 82);
    for (int group = 0; group < 16; ++group) {
      const uint8_t* q = codes + group / 8 * 32 + group % 2 * 16;
      const int shift = group % 8 / 2 * 2;
      const float scale = d * static_cast<float>(scales[group] & 15);
      const float minimum = dmin * static_cast<float>(scales[group] >> 4);
      for (int j = 0; j < 16; ++j) out[group * 16 + j] = scale * static_cast<float>(q[j] >> shift & 3) - minimum;
    }
  }
}

// high[32] (one bit for each run of 32, set: no offset), codes[64] as in Q2_K, scales[12], d.
void dequantize_q3_k(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 110, out += 256) {
    const uint8_t* high = bytes_at(from);
    const uint8_t* codes = bytes_at(from + 32);
    const uint8_t* packed = bytes_at(from + 96);
    const float d = half_at(from + 108);
    for (int group = 0; group < 16; ++group) {
      // Sixteen 6-bit scales: nibbles in bytes 0..7 (low ones first), top bit pairs in bytes 8..11.
      const int low = packed[group % 8] >> (group / 8 * 4) & 15;
      const int top = packed[8 + group % 4] >> (group / 4 * 2) & 3;
      const float scale = d * static_cast<float>((low | top << 4) - 32);
      const uint8_t* q = codes + group / 8 * 32 + group % 2 * 16;
      const uint8_t* h = high + group % 2 * 16;
      const int shift = group % 8 / 2 * 2;
      const int bit = group / 2;
      for (int j = 0; j < 16; ++j)
        out[group * 16 + j] = scale * static_cast<float>((q[j] >> shift & 3) + (h[j] >> bit & 1) * 4 - 4);
    }
  }
}

// d, dmin, scales[12], codes[128]: each 32 bytes hold two groups of 32, low nibbles and high nibbles.
void dequantize_q4_k(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 144, out += 256) {
    const float d = half_at(from);
    const float dmin = half_at(from + 2);
    uint8_t scales[8];
    uint8_t minima[8];
    unpack_k_scales(bytes_at(from + 4), scales, minima);
    const uint8_t* codes = bytes_at(from + 16);
    for (int group = 0; group < 8; ++group) {
      const uint8_t* q = codes + group / 2 * 32;
      const int shift = group % 2 * 4;
      const float scale = d * static_cast<float>(scales[group]);
      const float minimum = dmin * static_cast<float>(minima[group]);
      for (int j = 0; j < 32; ++j) out[group * 32 + j] = scale * static_cast<float>(q[j] >> shift & 15) - minimum;
    }
  }
}

// As Q4_K with high[32] between scales and codes: bit g of byte j is the fifth bit of element j of group g.
void dequantize_q5_k(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 176, out += 256) {
    const float d = half_at(from);
    const float dmin = half_at(from + 2);
    uint8_t scales[8];
    uint8_t minima[8];
    unpack_k_scales(bytes_at(from + 4), scales, minima);
    const uint8_t* high = bytes_at(from + 16);
    const uint8_t* codes = bytes_at(from + 48);
    for (int group = 0; group < 8; ++group) {
      const uint8_t* q = codes + group / 2 * 32;
      const int shift = group % 2 * 4;
      const float scale = d * static_cast<float>(scales[group]);
      const float minimum = dmin * static_cast<float>(minima[group]);
      for (int j = 0; j < 32; ++j)
        out[group * 32 + j] = scale * static_cast<float>((q[j] >> shift & 15) | (high[j] >> group & 1) << 4) - minimum;
    }
  }
}

// low[128], high[64], scales[16] (signed), d. Each half of 128 elements: four runs of 32; runs 0, 1 in the low
// nibbles of 64 bytes, 2, 3 in the high ones; their top bit pairs in 32 bytes at bits 0, 2, 4, 6.
void dequantize_q6_k(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 210, out += 256) {
    const uint8_t* low = bytes_at(from);
    const uint8_t* high = bytes_at(from + 128);
    const auto* scales = reinterpret_cast<const int8_t*>(from + 192);
    const float d = half_at(from + 208);
    for (int group = 0; group < 16; ++group) {
      const int half = group / 8;
      const int run = group % 8 / 2;
      const uint8_t* q = low + half * 64 + run % 2 * 32 + group % 2 * 16;
      const uint8_t* h = high + half * 32 + group % 2 * 16;
      const int shift = run / 2 * 4;
      const float scale = d * static_cast<float>(scales[group]);
      for (int j = 0; j < 16; ++j)
        out[group * 16 + j] = scale * static_cast<float>(((q[j] >> shift & 15) | (h[j] >> run * 2 & 3) << 4) - 32);
    }
  }
}

// d, top bit pairs of eight 6-bit scales (u16), their low nibbles [4], codes [128] in groups of 32 as IQ4_NL.
void dequantize_iq4_xs(const std::byte* from, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b, from += 136, out += 256) {
    const float d = half_at(from);
    uint16_t top;
    std::memcpy(&top, from + 2, 2);
    const uint8_t* low = bytes_at(from + 4);
    const uint8_t* codes = bytes_at(from + 8);
    for (int group = 0; group < 8; ++group) {
      const int code = (low[group / 2] >> (group % 2 * 4) & 15) | (top >> (group * 2) & 3) << 4;
      const float scale = d * static_cast<float>(code - 32);
      const uint8_t* q = codes + group * 16;
      for (int j = 0; j < 16; ++j) {
        out[group * 32 + j] = scale * static_cast<float>(kIq4Values[q[j] & 15]);
        out[group * 32 + j + 16] = scale * static_cast<float>(kIq4Values[q[j] >> 4]);
      }
    }
  }
}

}  // namespace paro::gguf
