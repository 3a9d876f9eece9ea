// Splitting and replacing as Python's str methods do it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace paro::jinja {

/// Pieces between `separator`, at most `limit` splits (negative: all). From the right when `reverse`.
std::vector<std::string_view> split_by(std::string_view text, std::string_view separator, int64_t limit, bool reverse);
/// Pieces between runs of white space.
std::vector<std::string_view> split_space(std::string_view text, int64_t limit, bool reverse);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);
/// How many bytes replace() would return.
double replaced_size(std::string_view text, std::string_view from, std::string_view to, int64_t limit);
std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit);

}  // namespace paro::jinja
