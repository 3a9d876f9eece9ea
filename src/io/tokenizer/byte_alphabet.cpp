#include "io/tokenizer/byte_alphabet.h"

#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {

ByteAlphabet::ByteAlphabet() {
  byte_of_.fill(-1);
  char16_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
    char_of_[static_cast<size_t>(byte)] = printable ? static_cast<char16_t>(byte) : next++;
    byte_of_[char_of_[static_cast<size_t>(byte)]] = static_cast<int16_t>(byte);
  }
}

const ByteAlphabet& ByteAlphabet::get() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

std::string ByteAlphabet::spell(std::string_view bytes) const {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char byte : bytes) append_utf8(char_of_[static_cast<unsigned char>(byte)], out);
  return out;
}

std::optional<std::string> ByteAlphabet::bytes(std::string_view token) const {
  std::string out;
  for (const char *p = token.data(), *end = p + token.size(); p < end;) {
    const Utf8Char c = read_utf8(p, end);
    if (!c.valid || c.value >= byte_of_.size() || byte_of_[c.value] < 0) return std::nullopt;
    out += static_cast<char>(byte_of_[c.value]);
    p += c.length;
  }
  return out;
}

}  // namespace paro::tokenizer
