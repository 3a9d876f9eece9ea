// Filters on single values, and the table of all filters.
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "io/chat_template/bind.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/format.h"
#include "io/chat_template/methods.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

Value default_filter(Runtime& runtime, const Value& self, Call& call) {
  auto [fallback, boolean] = bind<2>(runtime, "default", call, {"default_value", "boolean"});
  if (self.is_undefined() || (flag_argument(boolean, false) && !truthy(self))) {
    return fallback.is_missing() ? runtime.string("") : fallback;
  }
  return self;
}

/// Python's float(text); nothing when it raises ValueError.
std::optional<double> parse_float(std::string_view text) {
  text = strip(text, nullptr, true, true);
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    bool between = i > 0 && i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i - 1])) &&
                   std::isdigit(static_cast<unsigned char>(text[i + 1]));
    if (text[i] == '_' && between) continue;
    plain += static_cast<char>(std::tolower(static_cast<unsigned char>(text[i])));
  }
  std::string_view digits = plain;
  double sign = digits.starts_with("-") ? -1 : 1;
  if (digits.starts_with("-") || digits.starts_with("+")) digits.remove_prefix(1);
  if (digits == "inf" || digits == "infinity") return sign * HUGE_VAL;
  if (digits == "nan") return std::nan("");
  if (digits.empty() || digits.find_first_not_of("0123456789.e+-") != std::string_view::npos) return std::nullopt;
  std::string body(digits);
  char* end = nullptr;
  double value = std::strtod(body.c_str(), &end);
  bool valid = end == body.c_str() + body.size() && body[0] != '+' && body[0] != '-';
  return valid ? std::optional(sign * value) : std::nullopt;
}

/// Python's int(text, base).
std::optional<int64_t> parse_int(std::string_view text, int64_t base) {
  text = strip(text, nullptr, true, true);
  bool minus = text.starts_with("-");
  if (minus || text.starts_with("+")) text.remove_prefix(1);
  auto prefixed = [&](char lower, int64_t of) {
    return text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == lower && (base == of || base == 0);
  };
  int64_t actual = base == 0 ? 10 : base;
  for (auto [letter, of] : {std::pair{'x', 16}, std::pair{'o', 8}, std::pair{'b', 2}}) {
    if (!prefixed(letter, of)) continue;
    actual = of;
    text.remove_prefix(2);
    break;
  }
  std::string plain = minus ? "-" : "";
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i > 0 && i + 1 < text.size() && text[i - 1] != '_') continue;
    plain += text[i];
  }
  if (text.empty() || text[0] == '-' || text[0] == '+') return std::nullopt;
  int64_t value = 0;
  auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value, static_cast<int>(actual));
  if (error != std::errc() || end != plain.data() + plain.size()) return std::nullopt;
  return value;
}

Value int_filter(Runtime& runtime, const Value& self, Call& call) {
  auto [fallback, base] = bind<2>(runtime, "int", call, {"default", "base"});
  Value otherwise = fallback.is_missing() ? Value(int64_t{0}) : fallback;
  if (self.is_undefined()) runtime.fail_undefined(self);
  if (self.is_integer()) return Value(self.integer());
  std::optional<double> number;
  if (self.is_string()) {
    int64_t radix = int_argument(runtime, "int", base, 10);
    if (radix >= 0 && radix <= 36 && radix != 1) {
      if (auto value = parse_int(self.text(), radix)) return Value(*value);
    }
    number = parse_float(self.text());
  } else if (self.is(Type::kFloat)) {
    if (std::isinf(self.number())) runtime.fail("cannot convert float infinity to integer");
    number = self.number();
  }
  if (!number || !std::isfinite(*number)) return otherwise;
  if (!(std::abs(*number) < 9.2e18)) runtime.fail("an integer does not fit into 64 bits");
  return Value(static_cast<int64_t>(*number));
}

Value float_filter(Runtime& runtime, const Value& self, Call& call) {
  auto [fallback] = bind<1>(runtime, "float", call, {"default"});
  if (self.is_undefined()) runtime.fail_undefined(self);
  if (self.is_number()) return Value(self.number());
  if (self.is_string()) {
    if (auto value = parse_float(self.text())) return Value(*value);
  }
  return fallback.is_missing() ? Value(0.0) : fallback;
}

Value abs_filter(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "abs", call, {});
  if (self.is(Type::kFloat)) return Value(std::abs(self.number()));
  if (!self.is_integer()) runtime.fail(fmt::format("bad operand type for abs(): '{}'", type_name(self)));
  return self.integer() < 0 ? runtime.negate(self, true) : Value(self.integer());
}

/// Python's round(): the decimal text of the exact value, half to even.
Value round_number(Runtime& runtime, const Value& self, int64_t precision) {
  if (self.is_integer()) {
    if (precision >= 0) return Value(self.integer());
    if (precision < -18) return Value(int64_t{0});
    int64_t unit = 1;
    for (int64_t i = precision; i < 0; ++i) unit *= 10;
    int64_t rest = self.integer() % unit, base = self.integer() - rest, magnitude = std::abs(rest);
    bool up = magnitude > unit / 2 || (magnitude == unit / 2 && (base / unit) % 2 != 0);
    return runtime.add(Value(base), Value(up ? (rest < 0 ? -unit : unit) : int64_t{0}));
  }
  double value = self.number();
  if (!std::isfinite(value) || precision > 323) return self;
  if (precision < -308) return Value(std::copysign(0.0, value));
  if (precision >= 0) {
    std::string text = format_double(runtime, value, 'f', static_cast<int>(precision), false);
    return Value(std::strtod(text.c_str(), nullptr));
  }
  double unit = std::pow(10.0, static_cast<double>(-precision));
  return Value(std::nearbyint(value / unit) * unit);
}

Value round_filter(Runtime& runtime, const Value& self, Call& call) {
  auto [digits, method] = bind<2>(runtime, "round", call, {"precision", "method"});
  std::string_view how = method.is_missing() ? "common" : text_argument(runtime, "round", method);
  if (how != "common" && how != "ceil" && how != "floor") runtime.fail("method must be common, ceil or floor");
  int64_t precision = int_argument(runtime, "round", digits, 0);
  if (self.is_undefined()) runtime.fail_undefined(self);
  if (!self.is_number()) runtime.fail(fmt::format("type {} doesn't define __round__ method", type_name(self)));
  if (how == "common") return round_number(runtime, self, precision);
  double unit = std::pow(10.0, static_cast<double>(precision)), scaled = self.number() * unit;
  if (!std::isfinite(scaled)) runtime.fail("cannot convert float infinity or NaN to integer");
  return Value((how == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

Value attr(Runtime& runtime, const Value& self, Call& call) {
  auto [name] = bind<1>(runtime, "attr", call, {"name"}, 1);
  std::string key(text_argument(runtime, "attr", name));
  const char* stored = nullptr;
  bool forbidden = false;
  bool known = !self.is_dict() || find_method(self, key, &stored, &forbidden) != nullptr || forbidden;
  return known ? runtime.attribute(self, key) : runtime.undefined(key, &self);
}

Value filesizeformat(Runtime& runtime, const Value& self, Call& call) {
  auto [flag] = bind<1>(runtime, "filesizeformat", call, {"binary"});
  bool binary = flag_argument(flag, false);
  std::optional<double> bytes;
  if (self.is_number()) bytes = self.number();
  if (self.is_string()) bytes = parse_float(self.text());
  if (!bytes) runtime.fail("could not convert the value to float");
  double base = binary ? 1024 : 1000;
  if (*bytes == 1) return runtime.string("1 Byte");
  if (*bytes < base) return runtime.string(fmt::format("{} Bytes", static_cast<int64_t>(*bytes)));
  const char* letters = binary ? "KMGTPEZY" : "kMGTPEZY";
  double unit = base;
  size_t i = 0;
  for (; i < 8; ++i) {
    unit = std::pow(base, static_cast<double>(i + 2));
    if (*bytes < unit || i == 7) break;
  }
  return runtime.string(fmt::format("{:.1f} {}{}", base * *bytes / unit, letters[i], binary ? "iB" : "B"));
}

constexpr NamedBuiltin kFilters[] = {
    {"default", default_filter}, {"d", default_filter},   {"int", int_filter}, {"float", float_filter},
    {"abs", abs_filter},         {"round", round_filter}, {"attr", attr},      {"filesizeformat", filesizeformat},
};

}  // namespace

std::span<const NamedBuiltin> value_filters() { return kFilters; }

Builtin find_filter(std::string_view name) {
  for (auto table : {text_filters(), sequence_filters(), order_filters(), value_filters()}) {
    if (Builtin filter = find_named(table, name, nullptr)) return filter;
  }
  return nullptr;
}

}  // namespace paro::jinja
