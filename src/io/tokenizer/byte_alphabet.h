// The alphabet of byte-level tokenizers: one printable character for every byte ("Ġ" for the space), as GPT-2 chose.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace paro::tokenizer {

class ByteAlphabet {
 public:
  static const ByteAlphabet& get();
  /// Bytes to the characters that stand for them.
  std::string spell(std::string_view bytes) const;
  /// The bytes that a token spells; nothing when a character of it stands for no byte.
  std::optional<std::string> bytes(std::string_view token) const;

 private:
  ByteAlphabet();
  std::array<char16_t, 256> char_of_{};
  std::array<int16_t, 0x144> byte_of_;
};

}  // namespace paro::tokenizer
