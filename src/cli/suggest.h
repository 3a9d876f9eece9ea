// "did you mean": names near a mistyped one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace paro::cli {

/// The names within a few edits of `word` (or that it begins), nearest first, at most three.
std::vector<std::string> near_names(std::string_view word, const std::vector<std::string>& names);
/// "; did you mean 'a' or 'b'?", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& names);

}  // namespace paro::cli
