#include "io/chat_template/lexer.h"

#include <algorithm>

#include "base/error.h"
#include "io/chat_template/literals.h"
#include "io/chat_template/text.h"

namespace paro::jinja {

void fail_template(const std::string& place, int line, std::string_view message) {
  throw Error(ErrorKind::kInput, fmt::format("{}, line {}: {}", place, line, message));
}

namespace {

/// "\r\n" and "\r" become "\n"; the last newline goes.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& place)
      : source_(normalize(source)), text_(source_), place_(place) {}

  std::vector<Lexeme> run() {
    while (at_ < text_.size()) root();
    push(Token::kEnd, "");
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(std::string_view message) const { fail_template(place_, line_, message); }

  bool starts(size_t at, std::string_view what) const {
    return text_.substr(std::min(at, text_.size())).starts_with(what);
  }

  void push(Token type, std::string_view text) {
    Lexeme& lexeme = out_.emplace_back();
    lexeme.type = type;
    lexeme.line = line_;
    lexeme.text = text;
  }

  size_t skip_space(size_t at) const {
    while (at < text_.size()) {
      size_t after = at;
      if (!is_space(next_char(text_, after))) break;
      at = after;
    }
    return at;
  }

  /// Moves to `end`, counting lines; line_starting_ as jinja's lexer keeps it after every match.
  void advance(size_t end) {
    line_ += static_cast<int>(
        std::count(text_.begin() + static_cast<ptrdiff_t>(at_), text_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    if (end > at_) line_starting_ = text_[end - 1] == '\n';
    at_ = end;
  }

  /// The text before a tag, stripped as the tag's sign and lstrip_blocks ask.
  void data(size_t end, char sign, bool variable) {
    std::string_view text = text_.substr(at_, end - at_);
    if (sign == '-') {
      text = strip(text, nullptr, false, true);
    } else if (sign != '+' && !variable) {
      size_t newline = text.rfind('\n');
      size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line_begin > 0 || line_starting_) && strip(text.substr(line_begin), nullptr, true, true).empty()) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) push(Token::kData, text);
    advance(end);
  }

  void root() {
    size_t open = at_;
    while (open + 1 < text_.size() &&
           !(text_[open] == '{' && (text_[open + 1] == '%' || text_[open + 1] == '#' || text_[open + 1] == '{'))) {
      ++open;
    }
    if (open + 1 >= text_.size()) {
      push(Token::kData, text_.substr(at_));
      advance(text_.size());
      return;
    }
    char kind = text_[open + 1];
    size_t inside = open + 2;
    char sign = inside < text_.size() && (text_[inside] == '-' || text_[inside] == '+') ? text_[inside] : ' ';
    if (sign != ' ') ++inside;
    data(open, sign, kind == '{');
    if (kind == '#') {
      comment(inside);
    } else if (kind == '{') {
      push(Token::kVariableBegin, "{{");
      advance(inside);
      expression(Token::kVariableEnd, "}}");
    } else if (size_t body = raw_tag(inside, "raw", false); body != 0) {
      raw(body);
    } else {
      push(Token::kBlockBegin, "{%");
      advance(inside);
      expression(Token::kBlockEnd, "%}");
    }
  }

  void comment(size_t inside) {
    size_t end = text_.find("#}", inside);
    if (end == std::string_view::npos) {
      if (inside >= text_.size()) return advance(inside);  // jinja2 forgives this one
      fail("missing end of comment tag");
    }
    bool minus = end > inside && text_[end - 1] == '-', plus = end > inside && text_[end - 1] == '+';
    end += 2;
    if (minus) {
      end = skip_space(end);
    } else if (!plus && starts(end, "\n")) {
      ++end;
    }
    advance(end);
  }

  /// Where the tag `word` that stands at `inside` ends; 0 when another one stands there.
  size_t raw_tag(size_t inside, std::string_view word, bool closing) const {
    size_t at = skip_space(inside);
    if (!starts(at, word)) return 0;
    at = skip_space(at + word.size());
    if (starts(at, "-%}")) return skip_space(at + 3);
    if (closing && starts(at, "+%}")) return at + 3;
    if (!starts(at, "%}")) return 0;
    return closing && starts(at + 2, "\n") ? at + 3 : at + 2;
  }

  void raw(size_t body) {
    advance(body);
    for (size_t open = text_.find("{%", at_); open != std::string_view::npos; open = text_.find("{%", open + 1)) {
      size_t inside = open + 2;
      char sign = inside < text_.size() && (text_[inside] == '-' || text_[inside] == '+') ? text_[inside] : ' ';
      if (sign != ' ') ++inside;
      size_t end = raw_tag(inside, "endraw", true);
      if (end == 0) continue;
      data(open, sign, false);
      advance(end);
      return;
    }
    if (at_ < text_.size()) fail("missing end of raw directive");
  }

  void expression(Token end_token, std::string_view end_mark) {
    std::string open_brackets;
    for (;;) {
      if (at_ >= text_.size()) return;  // the parser reports the end of the template
      if (open_brackets.empty()) {
        bool block = end_token == Token::kBlockEnd;
        size_t end = 0;
        if (text_[at_] == '-' && starts(at_ + 1, end_mark)) {
          end = skip_space(at_ + 3);
        } else if (block && text_[at_] == '+' && starts(at_ + 1, end_mark)) {
          end = at_ + 3;
        } else if (starts(at_, end_mark)) {
          end = at_ + 2;
          if (block && starts(end, "\n")) ++end;
        }
        if (end != 0) {
          push(end_token, end_mark);
          advance(end);
          return;
        }
      }
      token(open_brackets);
    }
  }

  void token(std::string& open_brackets) {
    if (size_t after = skip_space(at_); after > at_) return advance(after);
    char c = text_[at_];
    if (c == '\'' || c == '"') return string(c);
    if (c >= '0' && c <= '9') return number();
    size_t after = at_;
    while (after < text_.size()) {
      size_t next = after;
      char32_t point = next_char(text_, next);
      if (point != '_' && !is_alnum(point)) break;
      after = next;
    }
    if (after > at_) {
      push(Token::kName, text_.substr(at_, after - at_));
      return advance(after);
    }
    for (std::string_view symbol : {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"}) {
      if (!starts(at_, symbol)) continue;
      if (c == '(' || c == '[' || c == '{') open_brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (c == ')' || c == ']' || c == '}') {
        if (open_brackets.empty()) fail(fmt::format("unexpected '{}'", c));
        if (open_brackets.back() != c) fail(fmt::format("unexpected '{}', expected '{}'", c, open_brackets.back()));
        open_brackets.pop_back();
      }
      push(Token::kOperator, symbol);
      return advance(at_ + symbol.size());
    }
    fail("unexpected character in a tag");
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail("a string is not closed");
    std::string error, value = unescape(text_.substr(at_ + 1, end - at_ - 1), &error);
    if (!error.empty()) fail(error);
    push(Token::kString, value);
    advance(end + 1);
  }

  void number() {
    bool after_dot = at_ > 0 && text_[at_ - 1] == '.';
    size_t length = after_dot ? 0 : float_literal(text_.substr(at_));
    if (length > 0) {
      push(Token::kFloat, text_.substr(at_, length));
      out_.back().number = parse_float_literal(text_.substr(at_, length));
    } else {
      length = integer_literal(text_.substr(at_));
      push(Token::kInteger, text_.substr(at_, length));
      if (!parse_integer_literal(text_.substr(at_, length), &out_.back().integer)) {
        fail("an integer does not fit into 64 bits");
      }
    }
    advance(at_ + length);
  }

  const std::string source_;
  const std::string_view text_;
  const std::string& place_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Lexeme> out_;
};

}  // namespace

std::vector<Lexeme> tokenize(std::string_view source, const std::string& place) { return Lexer(source, place).run(); }

}  // namespace paro::jinja
