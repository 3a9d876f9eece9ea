#include "quant/paro4/packing.h"

#include <algorithm>
#include <cstring>

namespace paro {
namespace {

// Rows of words handled together, so that the transposed writes fill whole cache lines.
constexpr int64_t kRowBlock = 64;
// Inputs packed together: whole cache lines of several tiles, from rows that the L2 cache holds.
constexpr int64_t kPackedInputs = 32;

using Bytes16 = uint8_t __attribute__((vector_size(16)));
using Words4 = uint32_t __attribute__((vector_size(16)));

// bytes[i] holds nibbles of 4 words' bytes; result: the 4 x 4 transposed, 32 bits for each byte.
struct Transposed {
  Words4 low, high;  // of bytes 0..3 and 4..7
};

Transposed transpose(const uint64_t* bytes) {
  Bytes16 row[4];
  for (int i = 0; i < 4; ++i) {
    row[i] = Bytes16{};
    std::memcpy(&row[i], bytes + i, 8);
  }
  const auto pairs = [](Bytes16 a, Bytes16 b) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  };
  const Bytes16 a = pairs(row[0], row[1]);
  const Bytes16 b = pairs(row[2], row[3]);
  const Bytes16 low = __builtin_shufflevector(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
  const Bytes16 high = __builtin_shufflevector(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
  return {reinterpret_cast<Words4>(low), reinterpret_cast<Words4>(high)};
}

// 8 inputs of up to 16 outputs (`bytes` 8 or 4 of each row) to 64 bytes [16][4].
void pack_line(const std::byte* words, int64_t stride, size_t bytes, uint8_t* line) {
  constexpr uint64_t kLow = 0x0f0f0f0f0f0f0f0full;
  uint64_t even[4];  // outputs 0 4 1 5 8 12 9 13
  uint64_t odd[4];   // outputs 2 6 3 7 10 14 11 15
  for (int i = 0; i < 4; ++i) {
    uint64_t first = 0;
    uint64_t second = 0;
    std::memcpy(&first, words + i * stride, bytes);
    std::memcpy(&second, words + (i + 4) * stride, bytes);
    even[i] = (first & kLow) | ((second & kLow) << 4);
    odd[i] = ((first >> 4) & kLow) | (second & ~kLow);
  }
  const Transposed e = transpose(even);
  const Transposed o = transpose(odd);
  const Words4 out[4] = {
      __builtin_shufflevector(e.low, o.low, 0, 2, 4, 6), __builtin_shufflevector(e.low, o.low, 1, 3, 5, 7),
      __builtin_shufflevector(e.high, o.high, 0, 2, 4, 6), __builtin_shufflevector(e.high, o.high, 1, 3, 5, 7)};
  std::memcpy(line, out, sizeof out);
}

}  // namespace

void unpack_words(const std::byte* words, int64_t rows, int64_t columns, uint8_t* values) {
  const int64_t width = columns / 8;
  for (int64_t begin = 0; begin < rows; begin += kRowBlock) {
    const int64_t end = std::min(begin + kRowBlock, rows);
    for (int64_t w = 0; w < width; ++w) {
      uint8_t* out[8];
      for (int p = 0; p < 8; ++p) out[p] = values + (8 * w + kNibbleColumn[p]) * rows;
      for (int64_t r = begin; r < end; ++r) {
        uint32_t word;
        std::memcpy(&word, words + (r * width + w) * 4, 4);
        for (int p = 0; p < 8; ++p) out[p][r] = static_cast<uint8_t>((word >> (4 * p)) & 15u);
      }
    }
  }
}

void pack_tiles(const std::byte* words, int64_t in, int64_t columns, int64_t begin, int64_t end, uint8_t* codes) {
  const int64_t stride = columns / 2;
  for (int64_t block = begin; block < end; block += kPackedInputs) {
    const int64_t block_end = std::min(block + kPackedInputs, end);
    for (int64_t column = 0; column < columns; column += 16) {
      const auto bytes = static_cast<size_t>(std::min<int64_t>(16, columns - column) / 2);
      uint8_t* tile = codes + column / 16 * in * 8;
      for (int64_t i = block; i < block_end; i += 8) {
        const std::byte* from = words + i * stride + column / 2;
        // A constant size for the usual case: one load instead of a call.
        if (bytes == 8)
          pack_line(from, stride, 8, tile + i * 8);
        else
          pack_line(from, stride, bytes, tile + i * 8);
      }
    }
  }
}

std::vector<uint32_t> pack_words(const uint8_t* values, int64_t rows, int64_t columns) {
  const int64_t width = columns / 8;
  std::vector<uint32_t> words(static_cast<size_t>(rows * width));
  for (int64_t begin = 0; begin < rows; begin += kRowBlock) {
    const int64_t end = std::min(begin + kRowBlock, rows);
    for (int64_t w = 0; w < width; ++w) {
      for (int64_t r = begin; r < end; ++r) {
        uint32_t word = 0;
        for (int p = 0; p < 8; ++p) {
          const uint8_t value = values[(8 * w + kNibbleColumn[p]) * rows + r];
          word |= static_cast<uint32_t>(value & 15u) << (4 * p);
        }
        words[static_cast<size_t>(r * width + w)] = word;
      }
    }
  }
  return words;
}

void unpack_older_words(const std::byte* words, int64_t rows, int64_t columns, uint8_t* values) {
  for (int64_t w = 0; w < columns / 4; ++w) {
    for (int64_t r = 0; r < rows; ++r) {
      uint16_t word;
      std::memcpy(&word, words + (w * rows + r) * 2, 2);
      for (int p = 0; p < 4; ++p) values[(4 * w + p) * rows + r] = static_cast<uint8_t>((word >> (4 * p)) & 15u);
    }
  }
}

}  // namespace paro
