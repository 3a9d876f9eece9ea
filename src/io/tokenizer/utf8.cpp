#include "io/tokenizer/utf8.h"

#include <cstring>

namespace paro::tokenizer {

Utf8Char read_utf8(const char* p, const char* end) {
  const auto byte = [&](int i) { return static_cast<unsigned char>(p[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true, false};
  if (first < 0xC2 || first > 0xF4) return {0xFFFD, 1, false, false};
  const int length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  // The second byte has a narrower range after some first ones: no overlong forms, surrogates or values past U+10FFFF.
  unsigned char low = 0x80, high = 0xBF;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  char32_t value = first & (0xFF >> (length + 1));
  for (int i = 1; i < length; ++i) {
    if (p + i == end) return {0xFFFD, static_cast<uint8_t>(i), false, true};
    if (byte(i) < low || byte(i) > high) return {0xFFFD, static_cast<uint8_t>(i), false, false};
    value = value << 6 | (byte(i) & 0x3F);
    low = 0x80, high = 0xBF;
  }
  return {value, static_cast<uint8_t>(length), true, false};
}

namespace {

// The first byte at or after `p` that is not ASCII.
const char* skip_ascii(const char* p, const char* end) {
  while (end - p >= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    if (word & 0x8080808080808080u) break;
    p += 8;
  }
  while (p < end && static_cast<signed char>(*p) >= 0) ++p;
  return p;
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  const char* const end = text.data() + text.size();
  for (const char* p = skip_ascii(text.data(), end); p < end; p = skip_ascii(p, end)) {
    const Utf8Char c = read_utf8(p, end);
    if (!c.valid) return false;
    p += c.length;
  }
  return true;
}

size_t append_repaired(std::string_view text, bool keep_cut, std::string& out) {
  const char* const end = text.data() + text.size();
  const char* copied = text.data();
  for (const char* p = skip_ascii(copied, end); p < end; p = skip_ascii(p, end)) {
    const Utf8Char c = read_utf8(p, end);
    if (!c.valid) {
      out.append(copied, p);
      if (c.cut && keep_cut) return static_cast<size_t>(p - text.data());
      out += "\xEF\xBF\xBD";
      copied = p + c.length;
    }
    p += c.length;
  }
  out.append(copied, end);
  return text.size();
}

}  // namespace paro::tokenizer
