// Rewrites a pattern from the dialect of tokenizer files (Oniguruma, Ruby syntax) to that of PCRE2.
#pragma once

#include <string>
#include <string_view>

namespace paro::tokenizer {

/// Differences that are bridged: \s \w \h and their complements, (?m) for dot-all, nested character classes and &&,
/// {n,m}+ as a repetition. `place` names the pattern's file in errors; throws Error{kInput} when the pattern cannot be
/// expressed.
std::string translate_regex(std::string_view pattern, const std::string& place);

}  // namespace paro::tokenizer
