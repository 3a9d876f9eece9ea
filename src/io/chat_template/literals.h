// Literals of the template language: Python's numbers and string escapes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace paro::jinja {

/// Length of the float (or integer) literal that `text` begins with; 0 when there is none.
size_t float_literal(std::string_view text);
size_t integer_literal(std::string_view text);
double parse_float_literal(std::string_view text);
/// False when it does not fit.
bool parse_integer_literal(std::string_view text, int64_t* value);

/// The text between the quotes with its escapes resolved; `error` says what is wrong with one.
std::string unescape(std::string_view text, std::string* error);

}  // namespace paro::jinja
