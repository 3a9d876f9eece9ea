// UTF-8 for the tokenizer: decoding, checking and repairing, the same way as Rust's and Python's lossy conversion (one
// U+FFFD for each maximal part of an ill-formed sequence).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace paro::tokenizer {

struct Utf8Char {
  char32_t value;  // U+FFFD when not valid
  uint8_t length;  // bytes taken, at least 1
  bool valid;
  bool cut;  // not valid only because the text ends inside the character
};

/// The character at `p`; requires p < end.
Utf8Char read_utf8(const char* p, const char* end);

/// The character at `p` of a text that is known to be valid; moves `p` behind it.
inline char32_t next_char(const char*& p) {
  const auto byte = [&](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
  const char32_t first = byte(0);
  if (first < 0x80) return p += 1, first;
  if (first < 0xE0) {
    const char32_t value = (first & 0x1F) << 6 | (byte(1) & 0x3F);
    return p += 2, value;
  }
  if (first < 0xF0) {
    const char32_t value = (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return p += 3, value;
  }
  const char32_t value = (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  return p += 4, value;
}

/// Where the character that ends at `p` begins, in a text that is known to be valid; requires p > start of the text.
inline const char* previous_char(const char* p) {
  do --p;
  while ((static_cast<unsigned char>(*p) & 0xC0) == 0x80);
  return p;
}

inline void append_utf8(char32_t value, std::string& out) {
  if (value < 0x80) {
    out += static_cast<char>(value);
  } else if (value < 0x800) {
    out += static_cast<char>(0xC0 | value >> 6);
    out += static_cast<char>(0x80 | (value & 0x3F));
  } else if (value < 0x10000) {
    out += static_cast<char>(0xE0 | value >> 12);
    out += static_cast<char>(0x80 | (value >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (value & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | value >> 18);
    out += static_cast<char>(0x80 | (value >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (value >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (value & 0x3F));
  }
}

bool is_valid_utf8(std::string_view text);

/// Appends `text` to `out` with every ill-formed part replaced by U+FFFD. With `keep_cut`, a character that the end of
/// the text cuts is left out; returns the number of bytes of `text` that were used.
size_t append_repaired(std::string_view text, bool keep_cut, std::string& out);

}  // namespace paro::tokenizer
