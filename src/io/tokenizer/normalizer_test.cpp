// Every character through every normalizer of Unicode, against Hugging Face `tokenizers`
// (tools/fixtures/make_normalizers.py), whatever Unicode version the libraries here have.
#include "io/tokenizer/normalizer.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "base/files.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {
namespace {

std::string every_character() {
  std::string text;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    append_utf8(c, text);
    text += ' ';
  }
  return text;
}

std::string fnv1a(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
  return fmt::format("{:016x}", hash);
}

std::string normalized(const std::string& type, std::string_view text) {
  return Normalizer::from_json(Json{{"type", type}}, "t").apply(text);
}

TEST(Normalizer, EveryCharacterAsThePeer) {
  const std::string text = every_character();
  const Json expected = read_json(std::string(PARO_SOURCE_DIR) + "/tests/fixtures/tokenizer/normalizers.json");
  for (const auto& [type, hash] : expected.items())
    EXPECT_EQ(fnv1a(normalized(type, text)), hash.get<std::string>()) << type;
}

TEST(Normalizer, UnicodeVersionsOfThePeer) {
  EXPECT_EQ(normalized("Lowercase", "\u0130 \u1C89 \U00010D50 \U00016EA0"), "i\u0307 \u1C8A \U00010D70 \U00016EBB");
  // Marks since Unicode 11 and 16 stay; what was a mark up to Unicode 11 goes.
  EXPECT_EQ(normalized("StripAccents", "e\u0301 \u07FD \u0897 \u1CF2"), "e \u07FD \u0897 ");
}

}  // namespace
}  // namespace paro::tokenizer
