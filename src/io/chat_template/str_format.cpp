// "{}".format(...) and the format specifications of its fields.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/chat_template/format.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

struct FieldSpec {
  std::string fill = " ";
  char align = '\0', sign = '-', type = '\0', grouping = '\0';
  bool alternate = false, zero = false;
  int64_t width = 0, precision = -1;
};

int64_t read_number(std::string_view spec, size_t& at, int64_t fallback) {
  int64_t number = 0;
  size_t begin = at;
  while (at < spec.size() && spec[at] >= '0' && spec[at] <= '9') {
    number = std::min<int64_t>(number * 10 + (spec[at++] - '0'), int64_t{1} << 40);
  }
  return at == begin ? fallback : number;
}

FieldSpec read_spec(Runtime& runtime, std::string_view spec) {
  FieldSpec out;
  auto is_align = [](char c) { return c == '<' || c == '>' || c == '=' || c == '^'; };
  auto peek = [&](size_t i) { return i < spec.size() ? spec[i] : '\0'; };
  size_t at = 0;
  if (!spec.empty()) {
    size_t after = 0;
    next_char(spec, after);
    if (is_align(peek(after))) {
      out.fill = spec.substr(0, after);
      out.align = spec[after];
      at = after + 1;
    } else if (is_align(spec[0])) {
      out.align = spec[0];
      at = 1;
    }
  }
  if (peek(at) == '+' || peek(at) == '-' || peek(at) == ' ') out.sign = spec[at++];
  if (peek(at) == '#') out.alternate = ++at > 0;
  if (peek(at) == '0') {
    out.zero = ++at > 0;
    if (out.align == '\0') {
      out.fill.assign(1, '0');
      out.align = '=';
    }
  }
  out.width = read_number(spec, at, 0);
  if (peek(at) == ',' || peek(at) == '_') out.grouping = spec[at++];
  if (peek(at) == '.') {
    ++at;
    out.precision = read_number(spec, at, -1);
    if (out.precision < 0) runtime.fail("format specifier missing precision");
  }
  if (at < spec.size()) out.type = spec[at++];
  if (at < spec.size()) runtime.fail("invalid format specifier");
  return out;
}

void group(std::string& digits, char separator, size_t size) {
  if (separator == '\0') return;
  size_t end = 0;
  while (end < digits.size() && std::isxdigit(static_cast<unsigned char>(digits[end]))) ++end;
  for (size_t at = end; at > size;) {
    at -= size;
    digits.insert(at, 1, separator);
  }
}

std::string pad(Runtime& runtime, const FieldSpec& spec, const std::string& prefix, const std::string& body,
                char align) {
  int64_t length = count_chars(prefix) + count_chars(body);
  int64_t missing = std::max<int64_t>(0, spec.width - length);
  runtime.check_size(static_cast<double>(missing) * static_cast<double>(spec.fill.size()) +
                     static_cast<double>(body.size()));
  runtime.charge_bytes(static_cast<size_t>(missing));
  auto fill = [&](int64_t count) {
    std::string out;
    for (int64_t i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  if (spec.align != '\0') align = spec.align;
  if (align == '=') return prefix + fill(missing) + body;
  int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  return fill(left) + prefix + body + fill(missing - left);
}

std::string format_float(Runtime& runtime, double value, FieldSpec spec) {
  bool percent = spec.type == '%';
  bool negative = std::signbit(value) && !std::isnan(value);
  double magnitude = std::abs(value) * (percent ? 100 : 1);
  std::string digits;
  int precision = static_cast<int>(std::min<int64_t>(spec.precision < 0 ? 6 : spec.precision, 100000));
  if (spec.type == '\0' && spec.precision < 0) {
    digits = float_repr(magnitude);
  } else if (spec.type == '\0') {
    digits = format_double(runtime, magnitude, 'g', std::max(1, precision), spec.alternate);
    if (digits.find_first_of(".en") == std::string::npos) digits += ".0";
  } else {
    char style = percent ? 'f' : spec.type == 'n' ? 'g' : spec.type;
    if (std::string_view("eEfFgG").find(style) == std::string_view::npos) {
      runtime.fail(fmt::format("unknown format code '{}' for object of type 'float'", spec.type));
    }
    digits = format_double(runtime, magnitude, style, precision, spec.alternate);
  }
  group(digits, spec.grouping, 3);
  if (percent) digits += '%';
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  return pad(runtime, spec, sign, digits, '>');
}

std::string format_integer(Runtime& runtime, const Value& value, const FieldSpec& spec) {
  if (std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos && spec.type != '\0') {
    return format_float(runtime, value.number(), spec);
  }
  if (spec.precision >= 0) runtime.fail("precision not allowed in integer format specifier");
  int64_t number = value.integer();
  uint64_t magnitude = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  std::string digits, prefix;
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'n': digits = std::to_string(magnitude); break;
    case 'x': digits = fmt::format("{:x}", magnitude); break;
    case 'X': digits = fmt::format("{:X}", magnitude); break;
    case 'o': digits = fmt::format("{:o}", magnitude); break;
    case 'b': digits = fmt::format("{:b}", magnitude); break;
    case 'c': {
      if (number < 0 || number > 0x10FFFF) runtime.fail("%c arg not in range");
      append_char(digits, static_cast<char32_t>(number));
      return pad(runtime, spec, "", digits, '<');
    }
    default: runtime.fail(fmt::format("unknown format code '{}' for object of type 'int'", spec.type));
  }
  if (spec.alternate && std::string_view("xXob").find(spec.type) != std::string_view::npos && spec.type != '\0') {
    prefix = std::string("0") + spec.type;
  }
  group(digits, spec.grouping, spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b' ? 4 : 3);
  std::string sign = number < 0 ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  return pad(runtime, spec, sign + prefix, digits, '>');
}

class Formatter {
 public:
  Formatter(Runtime& runtime, const Call& call, bool markup) : runtime_(runtime), call_(call), markup_(markup) {}

  std::string run(std::string_view format, int depth) {
    if (depth > 2) runtime_.fail("max string recursion exceeded");
    runtime_.charge_bytes(format.size());
    std::string out;
    for (size_t at = 0; at < format.size(); ++at) {
      char c = format[at];
      bool twice = at + 1 < format.size() && format[at + 1] == c;
      if (c == '}') {
        if (!twice) runtime_.fail("single '}' encountered in format string");
        ++at;
        out += c;
      } else if (c == '{' && twice) {
        ++at;
        out += c;
      } else if (c == '{') {
        size_t end = at + 1;
        for (int open = 1; end < format.size(); ++end) {
          if (format[end] == '{') ++open;
          if (format[end] == '}' && --open == 0) break;
        }
        if (end >= format.size()) runtime_.fail("expected '}' before end of string");
        out += field(format.substr(at + 1, end - at - 1), depth);
        at = end;
      } else {
        out += c;
      }
      runtime_.check_size(static_cast<double>(out.size()));
    }
    return out;
  }

 private:
  std::string field(std::string_view text, int depth) {
    runtime_.charge();
    size_t end = 0;
    for (int bracket = 0; end < text.size(); ++end) {
      if (text[end] == '[') bracket = 1;
      if (text[end] == ']') bracket = 0;
      if (bracket == 0 && (text[end] == ':' || text[end] == '!')) break;
    }
    Value value = lookup(text.substr(0, end));
    if (end < text.size() && text[end] == '!') {
      char conversion = end + 1 < text.size() ? text[end + 1] : '\0';
      end += 2;
      if (end < text.size() && text[end] != ':') runtime_.fail("expected ':' after conversion specifier");
      if (conversion == 's') {
        value = runtime_.string(runtime_.str(value));
      } else if (conversion == 'r') {
        value = runtime_.string(runtime_.repr(value));
      } else if (conversion == 'a') {
        value = runtime_.string(ascii_escaped(runtime_.repr(value)));
      } else {
        runtime_.fail("unknown conversion specifier");
      }
    }
    std::string spec = end < text.size() ? run(text.substr(end + 1), depth + 1) : std::string();
    std::string out = format_value(runtime_, value, spec);
    bool safe = !markup_ || (value.is_string() && value.markup());
    return safe ? out : escape_html(out);
  }

  Value lookup(std::string_view name) {
    size_t end = name.find_first_of(".[");
    std::string_view first = name.substr(0, end);
    Value value = argument(first);
    while (end < name.size()) {
      runtime_.charge();
      if (name[end] == '.') {
        size_t next = std::min(name.find_first_of(".[", end + 1), name.size());
        if (next == end + 1) runtime_.fail("empty attribute in format string");
        value = runtime_.attribute(value, std::string(name.substr(end + 1, next - end - 1)));
        end = next;
      } else if (name[end] == '[') {
        size_t close = name.find(']', end);
        if (close == std::string_view::npos || close == end + 1) runtime_.fail("missing ']' in format string");
        std::string_view key = name.substr(end + 1, close - end - 1);
        bool number =
            key.size() < 18 && std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
        Value index = number ? Value(int64_t{std::stoll(std::string(key))}) : runtime_.string(std::string(key));
        value = runtime_.item(value, index);
        end = close + 1;
      } else {
        runtime_.fail("only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Value argument(std::string_view name) {
    bool number =
        name.size() < 10 && std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (number) {
      bool automatic = name.empty();
      if (mode_ != 0 && (mode_ == 1) != automatic) runtime_.fail("cannot mix automatic and manual field numbering");
      mode_ = automatic ? 1 : 2;
      size_t index = automatic ? next_++ : static_cast<size_t>(std::stoll(std::string(name)));
      if (index >= call_.args.size()) runtime_.fail("replacement index out of range for positional args tuple");
      return call_.args[index];
    }
    for (const auto& [key, value] : call_.keywords) {
      if (key == name) return value;
    }
    runtime_.fail(fmt::format("format() misses the argument '{}'", name));
  }

  Runtime& runtime_;
  const Call& call_;
  const bool markup_;
  size_t next_ = 0;
  int mode_ = 0;
};

}  // namespace

std::string format_value(Runtime& runtime, const Value& value, std::string_view text) {
  if (text.empty()) return runtime.str(value);
  FieldSpec spec = read_spec(runtime, text);
  if (value.is_string()) {
    if (spec.type != '\0' && spec.type != 's') runtime.fail("unknown format code for object of type 'str'");
    if (spec.sign != '-' || spec.alternate || spec.grouping != '\0' || (spec.align == '=' && !spec.zero)) {
      runtime.fail("format specifier is not allowed for a string");
    }
    if (spec.align == '=') spec.align = '<';
    std::string body(value.text());
    if (spec.precision >= 0) body.resize(char_offset(body, spec.precision));
    return pad(runtime, spec, "", body, '<');
  }
  if (value.is(Type::kFloat)) return format_float(runtime, value.number(), spec);
  if (value.is_integer()) return format_integer(runtime, value, spec);
  runtime.fail(fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
}

Value str_format(Runtime& runtime, const Value& format, const Call& call) {
  return runtime.string(Formatter(runtime, call, format.markup()).run(format.text(), 0), format.markup());
}

}  // namespace paro::jinja
