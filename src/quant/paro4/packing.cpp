#include "quant/paro4/packing.h"

#include <algorithm>
#include <cstring>

namespace paro {
namespace {

// Rows of words handled together, so that the transposed writes fill whole cache lines.
constexpr int64_t kRowBlock = 64;

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
