// Character classes as the regular expressions of tokenizers use them, one byte a character, from utf8proc's data and
// brought to the Unicode version of the peer (see unicode_tables.inc).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace paro::tokenizer {

enum CharClass : uint8_t {
  kLetter = 1,       // \p{L}
  kNumber = 2,       // \p{N}
  kPunctuation = 4,  // \p{P}
  kSymbol = 8,       // \p{S}
  kMark = 16,        // \p{M}
  kSpace = 32,       // \s: White_Space
  kNumeric = 64,     // what the Digits pre-tokenizer takes
  kLate = 128,       // newer than what PCRE2 may know
};

class CharClasses {
 public:
  static const CharClasses& get();
  /// The CharClass bits of `c`.
  uint8_t of(char32_t c) const { return blocks_[block_[c >> 8]][c & 0xFF]; }
  /// The same for U+0000 to U+00FF, as a table.
  const uint8_t* low() const { return blocks_[1].data(); }
  bool is(char32_t c, int classes) const { return (of(c) & classes) != 0; }

 private:
  CharClasses();
  void set(char32_t c, uint8_t classes);

  using Block = std::array<uint8_t, 256>;
  std::array<uint16_t, 0x1100> block_{};  // block 0 holds zeros
  std::unique_ptr<Block[]> blocks_;
};

/// For a character with kLate: an older one of the same category and the same UTF-8 length; otherwise `c`.
char32_t older_like(char32_t c);

/// True for characters that the peer's (older) normalization leaves as they are and does not reorder.
bool normalizes_to_itself(char32_t c);

/// True for what the peer's StripAccents removes: the marks of an older Unicode version.
bool is_accent(char32_t c);

inline bool is_space(char32_t c) { return CharClasses::get().is(c, kSpace); }

/// \w of the peer for single_word tokens: letters, marks, decimal digits, letter numbers, connectors.
bool is_word_char(char32_t c);

}  // namespace paro::tokenizer
