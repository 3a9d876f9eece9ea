// "format" % values.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/chat_template/format.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

struct Spec {
  bool minus = false, plus = false, space = false, zero = false, alternate = false;
  int64_t width = 0, precision = -1;
};

class Printf {
 public:
  Printf(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime), format_(format.text()), markup_(format.markup()), values_(values) {
    if (values.is(Type::kTuple)) {
      arguments_ = values.items();
    } else {
      arguments_ = {values};
    }
  }

  std::string run() {
    runtime_.charge_bytes(format_.size());
    bool mapping = false;
    while (at_ < format_.size()) {
      if (format_[at_] != '%') {
        out_ += format_[at_++];
        continue;
      }
      ++at_;
      runtime_.charge();
      directive(&mapping);
      runtime_.check_size(static_cast<double>(out_.size()));
    }
    bool all_used = next_ >= arguments_.size() || (values_.is_dict() && next_ == 0) || mapping;
    bool plain = !values_.is(Type::kTuple) && (values_.is_dict() || values_.is_sequence());
    if (!all_used && !(plain && next_ == 0)) runtime_.fail("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  /// Markup escapes what is put into it.
  std::string safe(std::string text) const { return markup_ ? escape_html(text) : text; }

  char peek() const { return at_ < format_.size() ? format_[at_] : '\0'; }

  Value next() {
    if (next_ >= arguments_.size()) runtime_.fail("not enough arguments for format string");
    return arguments_[next_++];
  }

  int64_t number_or_star() {
    if (peek() == '*') {
      ++at_;
      Value value = next();
      if (!value.is_integer()) runtime_.fail("* wants int");
      return std::clamp<int64_t>(value.integer(), -(int64_t{1} << 40), int64_t{1} << 40);
    }
    int64_t number = 0;
    while (peek() >= '0' && peek() <= '9')
      number = std::min<int64_t>(number * 10 + (format_[at_++] - '0'), int64_t{1} << 40);
    return number;
  }

  void directive(bool* mapping) {
    Spec spec;
    Value keyed = Value::missing();
    if (peek() == '(') {
      size_t end = ++at_;
      for (int open = 1; end < format_.size(); ++end) {
        if (format_[end] == '(') ++open;
        if (format_[end] == ')' && --open == 0) break;
      }
      if (end >= format_.size()) runtime_.fail("incomplete format key");
      if (!values_.is_dict()) runtime_.fail("format requires a mapping");
      const Value* found = values_.dict().find(format_.substr(at_, end - at_));
      if (found == nullptr) runtime_.fail("a key of the format is not in the mapping");
      keyed = *found;
      *mapping = true;
      at_ = end + 1;
    }
    for (;; ++at_) {
      if (peek() == '-') {
        spec.minus = true;
      } else if (peek() == '+') {
        spec.plus = true;
      } else if (peek() == ' ') {
        spec.space = true;
      } else if (peek() == '0') {
        spec.zero = true;
      } else if (peek() == '#') {
        spec.alternate = true;
      } else {
        break;
      }
    }
    spec.width = number_or_star();
    if (spec.width < 0) {
      spec.minus = true;
      spec.width = -spec.width;
    }
    if (peek() == '.') {
      ++at_;
      spec.precision = std::max<int64_t>(0, number_or_star());
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at_;
    if (at_ >= format_.size()) runtime_.fail("incomplete format");
    char type = format_[at_++];
    if (type == '%') {
      out_ += '%';
      return;
    }
    convert(spec, type, keyed.is_missing() ? next() : keyed);
  }

  void convert(const Spec& spec, char type, const Value& value) {
    switch (type) {
      case 's':
        return pad_text(spec, value.is_string() && value.markup() ? runtime_.str(value) : safe(runtime_.str(value)));
      case 'r': return pad_text(spec, safe(runtime_.repr(value)));
      case 'a': return pad_text(spec, ascii_escaped(runtime_.repr(value)));
      case 'c': {
        std::string text;
        if (value.is_integer() && value.integer() >= 0 && value.integer() < 0x110000) {
          append_char(text, static_cast<char32_t>(value.integer()));
        } else if (value.is_string() && runtime_.length(value) == 1) {
          text = value.text();
        } else {
          runtime_.fail("%c requires int or char");
        }
        return pad_text({.minus = spec.minus, .width = spec.width}, text);
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': return integer(spec, type, value);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        if (value.is_undefined()) runtime_.fail_undefined(value);
        if (!value.is_number()) runtime_.fail(fmt::format("must be real number, not {}", type_name(value)));
        int precision = static_cast<int>(std::min<int64_t>(spec.precision < 0 ? 6 : spec.precision, 100000));
        double number = value.number();
        return pad_number(spec, std::signbit(number) && !std::isnan(number), "",
                          format_double(runtime_, std::abs(number), type, precision, spec.alternate));
      }
      default: runtime_.fail(fmt::format("unsupported format character '{}'", type));
    }
  }

  void integer(const Spec& spec, char type, const Value& value) {
    if (value.is_undefined()) runtime_.fail_undefined(value);
    bool decimal = type == 'd' || type == 'i' || type == 'u';
    if (!value.is_integer() && !(decimal && value.is(Type::kFloat))) {
      runtime_.fail(fmt::format("%{} format: a number is required, not {}", type, type_name(value)));
    }
    int64_t number = value.is_integer() ? value.integer() : 0;
    if (value.is(Type::kFloat)) {
      if (!(std::abs(value.number()) < 9.2e18)) runtime_.fail("cannot convert float to integer");
      number = static_cast<int64_t>(value.number());
    }
    uint64_t magnitude = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    std::string digits = type == 'x'   ? fmt::format("{:x}", magnitude)
                         : type == 'X' ? fmt::format("{:X}", magnitude)
                         : type == 'o' ? fmt::format("{:o}", magnitude)
                                       : std::to_string(magnitude);
    if (spec.precision > static_cast<int64_t>(digits.size())) {
      runtime_.check_size(static_cast<double>(spec.precision));
      digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
    }
    const char* prefix = !spec.alternate || decimal ? "" : type == 'x' ? "0x" : type == 'X' ? "0X" : "0o";
    pad_number(spec, number < 0, prefix, digits);
  }

  void pad_text(const Spec& spec, std::string text) {
    if (spec.precision >= 0) text.resize(char_offset(text, spec.precision));
    pad(spec, text);
  }

  void pad(const Spec& spec, const std::string& text) {
    int64_t length = count_chars(text);
    runtime_.check_size(static_cast<double>(spec.width) + static_cast<double>(out_.size() + text.size()));
    std::string fill(static_cast<size_t>(std::max<int64_t>(0, spec.width - length)), ' ');
    out_ += spec.minus ? text + fill : fill + text;
  }

  void pad_number(const Spec& spec, bool negative, std::string prefix, const std::string& digits) {
    std::string sign = negative ? "-" : spec.plus ? "+" : spec.space ? " " : "";
    prefix = sign + prefix;
    runtime_.check_size(static_cast<double>(spec.width));
    auto width = static_cast<size_t>(spec.width);
    if (spec.zero && !spec.minus && prefix.size() + digits.size() < width) {
      prefix.append(width - prefix.size() - digits.size(), '0');
    }
    pad(spec, prefix + digits);
  }

  Runtime& runtime_;
  std::string_view format_;
  const bool markup_;
  const Value& values_;
  std::vector<Value> arguments_;
  size_t next_ = 0, at_ = 0;
  std::string out_;
};

}  // namespace

std::string format_double(Runtime& runtime, double value, char style, int precision, bool alternate) {
  bool upper = style == 'E' || style == 'F' || style == 'G';
  if (std::isnan(value)) return upper ? "NAN" : "nan";
  if (std::isinf(value)) return std::string(value < 0 ? "-" : "") + (upper ? "INF" : "inf");
  runtime.check_size(precision + 400.0);
  char format[8] = {'%', alternate ? '#' : '.', alternate ? '.' : '*', alternate ? '*' : style,
                    alternate ? style : '\0'};
  std::string out(static_cast<size_t>(precision) + 400, '\0');
  out.resize(static_cast<size_t>(std::snprintf(out.data(), out.size(), format, precision, value)));
  return out;
}

Value printf_format(Runtime& runtime, const Value& format, const Value& values) {
  return runtime.string(Printf(runtime, format, values).run(), format.markup());
}

}  // namespace paro::jinja
