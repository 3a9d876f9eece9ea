#include "io/chat_template/literals.h"

#include <charconv>
#include <cstdlib>

#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

int digit_value(char c) {
  if (digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

char at(std::string_view text, size_t i) { return i < text.size() ? text[i] : '\0'; }

/// Length of digits of `base` with single underscores between them.
size_t digits(std::string_view text, size_t begin, int base, bool leading_underscore) {
  size_t i = begin;
  for (;;) {
    bool underscore = at(text, i) == '_' && (i > begin || leading_underscore);
    if (digit_value(at(text, i + underscore)) >= base) return i - begin;
    i += 1 + underscore;
  }
}

std::string without_underscores(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c != '_') out += c;
  }
  return out;
}

}  // namespace

size_t float_literal(std::string_view text) {
  size_t end = digits(text, 0, 10, false);
  if (end == 0) return 0;
  bool real = false;
  if (at(text, end) == '.') {
    if (size_t fraction = digits(text, end + 1, 10, false); fraction > 0) {
      end += 1 + fraction;
      real = true;
    }
  }
  if (at(text, end) == 'e' || at(text, end) == 'E') {
    size_t sign = at(text, end + 1) == '+' || at(text, end + 1) == '-' ? 1 : 0;
    if (size_t exponent = digits(text, end + 1 + sign, 10, false); exponent > 0) return end + 1 + sign + exponent;
  }
  return real ? end : 0;
}

size_t integer_literal(std::string_view text) {
  if (at(text, 0) == '0') {
    char kind = static_cast<char>(at(text, 1) | 0x20);
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (base != 0) {
      if (size_t length = digits(text, 2, base, true); length > 0) return 2 + length;
    }
    return digits(text, 0, 1, false);
  }
  return digits(text, 0, 10, false);
}

double parse_float_literal(std::string_view text) { return std::strtod(without_underscores(text).c_str(), nullptr); }

bool parse_integer_literal(std::string_view text, int64_t* value) {
  std::string plain = without_underscores(text);
  int base = 10;
  if (plain.size() > 2 && plain[0] == '0' && !digit(plain[1])) {
    char kind = static_cast<char>(plain[1] | 0x20);
    base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
    plain.erase(0, 2);
  }
  auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), *value, base);
  return error == std::errc() && end == plain.data() + plain.size();
}

std::string unescape(std::string_view text, std::string* error) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    char c = at(text, ++i);
    int hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (hex > 0) {
      char32_t point = 0;
      for (int k = 0; k < hex; ++k) {
        int value = digit_value(at(text, i + 1));
        if (value > 15) {
          *error = "an escape in a string is truncated";
          return out;
        }
        point = point * 16 + static_cast<char32_t>(value);
        ++i;
      }
      if (point > 0x10FFFF) {
        *error = "an escape in a string is no Unicode character";
        return out;
      }
      append_char(out, point);
    } else if (c >= '0' && c <= '7') {
      char32_t point = 0;
      size_t end = i + 3;
      for (; i < end && at(text, i) >= '0' && at(text, i) <= '7'; ++i)
        point = point * 8 + static_cast<char32_t>(text[i] - '0');
      --i;
      append_char(out, point);
    } else {
      switch (c) {
        case '\n': break;
        case 'n': out += '\n'; break;
        case 't': out += '\t'; break;
        case 'r': out += '\r'; break;
        case 'a': out += '\a'; break;
        case 'b': out += '\b'; break;
        case 'f': out += '\f'; break;
        case 'v': out += '\v'; break;
        case '\\': out += '\\'; break;
        case '\'': out += '\''; break;
        case '"': out += '"'; break;
        case 'N': *error = "\\N{} escapes are not supported"; return out;
        default: out += '\\'; out += c;
      }
    }
  }
  return out;
}

}  // namespace paro::jinja
