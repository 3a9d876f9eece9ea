#include "quant/paro4/bit_streams.h"

#include <algorithm>
#include <cstring>

namespace paro {

void unpack_stream_row(const std::byte* words, int64_t columns, int bits, int64_t row, uint8_t* codes) {
  const int64_t bit = row * bits;
  const int shift = static_cast<int>(bit % 32);
  const std::byte* at = words + bit / 32 * columns * 4;
  const uint32_t mask = (1u << bits) - 1u;
  const bool crosses = shift + bits > 32;
  for (int64_t c = 0; c < columns; ++c) {
    uint32_t word;
    std::memcpy(&word, at + c * 4, 4);
    codes[c] = static_cast<uint8_t>((word >> shift) & mask);
  }
  if (!crosses) return;
  for (int64_t c = 0; c < columns; ++c) {
    uint32_t word;
    std::memcpy(&word, at + (columns + c) * 4, 4);
    codes[c] = static_cast<uint8_t>((codes[c] | (word << (32 - shift))) & mask);
  }
}

std::vector<uint32_t> pack_streams(const uint8_t* codes, int64_t rows, int64_t columns, int bits) {
  std::vector<uint32_t> words(static_cast<size_t>(rows * bits / 32 * columns));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t bit = row * bits;
    const int shift = static_cast<int>(bit % 32);
    uint32_t* at = words.data() + bit / 32 * columns;
    for (int64_t c = 0; c < columns; ++c) {
      const uint32_t code = codes[row * columns + c];
      at[c] |= code << shift;
      if (shift + bits > 32) at[columns + c] |= code >> (32 - shift);
    }
  }
  return words;
}

void pack_stream_tiles(const std::byte* words, int64_t in, int64_t out, int bits, int shift,
                       const std::vector<int32_t>& order, int64_t begin, int64_t end, uint8_t* codes) {
  constexpr int64_t kTile = 16;
  std::vector<uint8_t> rows(static_cast<size_t>(8 * out));
  for (int64_t first = begin; first < end; first += 8) {
    for (int64_t i = 0; i < 8; ++i) {
      const int64_t row = order.empty() ? first + i : order[static_cast<size_t>(first + i)];
      unpack_stream_row(words, out, bits, row, rows.data() + i * out);
    }
    for (int64_t tile = 0; tile * kTile < out; ++tile) {
      uint8_t* line = codes + tile * in * 8 + first * 8;
      const int64_t outputs = std::min(kTile, out - tile * kTile);
      const uint8_t* from = rows.data() + tile * kTile;
      for (int64_t o = 0; o < outputs; ++o)
        for (int64_t i = 0; i < 4; ++i)
          line[o * 4 + i] =
              static_cast<uint8_t>(((from[i * out + o] >> shift) & 15) | ((from[(i + 4) * out + o] >> shift) << 4));
    }
  }
}

}  // namespace paro
