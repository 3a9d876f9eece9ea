// Template text to tokens, with the white-space rules of transformers: trim_blocks, lstrip_blocks, one newline at the
// end of the template dropped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace paro::jinja {

enum class Token : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Lexeme {
  Token type = Token::kEnd;
  int line = 0;
  std::string text;  // data, name, unescaped string, operator
  int64_t integer = 0;
  double number = 0;

  bool is_operator(std::string_view symbol) const { return type == Token::kOperator && text == symbol; }
  bool is_name(std::string_view name) const { return type == Token::kName && text == name; }
};

/// Throws Error{kInput} naming `place` and the line.
std::vector<Lexeme> tokenize(std::string_view source, const std::string& place);

/// "place, line N: message" as Error{kInput}.
[[noreturn]] void fail_template(const std::string& place, int line, std::string_view message);

}  // namespace paro::jinja
