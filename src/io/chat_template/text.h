// UTF-8 and Unicode for Python's str methods. A byte that is no valid UTF-8 counts as one character and stays itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace paro::jinja {

/// The character at `position`, which moves behind it.
char32_t next_char(std::string_view text, size_t& position);
void append_char(std::string& out, char32_t c);
int64_t count_chars(std::string_view text);
/// Byte offset of the character number `index` (at most the number of characters).
size_t char_offset(std::string_view text, int64_t index);
/// Start of the character that ends at byte `end`.
size_t char_before(std::string_view text, size_t end);

bool is_space(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_alnum(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_cased(char32_t c);
bool is_printable(char32_t c);
/// A line ends behind this character (str.splitlines).
bool is_line_break(char32_t c);

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
/// str.title: the first letter of every run of cased letters.
std::string to_title(std::string_view text);
std::string capitalize(std::string_view text);
std::string swap_case(std::string_view text);

/// Without characters that are white space (`chars` null) or in `chars`, at the chosen ends.
std::string_view strip(std::string_view text, const std::string_view* chars, bool left, bool right);

}  // namespace paro::jinja
