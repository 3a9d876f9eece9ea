// Text from values: Python's repr of numbers and strings, "%" formatting, str.format, JSON, HTML escapes.
#pragma once

#include <string>
#include <string_view>

#include "io/chat_template/runtime.h"

namespace paro::jinja {

std::string float_repr(double value);
void append_string_repr(std::string& out, std::string_view text);
/// Everything beyond ASCII as \x, \u or \U escapes (Python's ascii()).
std::string ascii_escaped(std::string_view text);
std::string escape_html(std::string_view text);

/// format % values
Value printf_format(Runtime& runtime, const Value& format, const Value& values);
/// format.format(*args, **keywords)
Value str_format(Runtime& runtime, const Value& format, const Call& call);
/// format(value, spec)
std::string format_value(Runtime& runtime, const Value& value, std::string_view spec);

/// A number in one of the styles e, E, f, F, g, G with `precision` digits, as Python prints it.
std::string format_double(Runtime& runtime, double value, char style, int precision, bool alternate);

struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false, pretty = false;
  std::string indent;
  std::string item_separator = ", ", key_separator = ": ";
};
std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace paro::jinja
