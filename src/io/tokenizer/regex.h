// A regular expression of a tokenizer file: PCRE2 with JIT, over valid UTF-8. Bounded: a pattern that backtracks
// without end is an error, not a hang.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace paro::tokenizer {

class Regex {
 public:
  /// `pattern` is in the dialect of tokenizer files. Throws Error{kInput} naming `place` when it is malformed.
  Regex(std::string_view pattern, const std::string& place);
  ~Regex();
  Regex(Regex&&) noexcept;

  /// Goes through the matches of one text from left to right, without overlaps.
  class Matches {
   public:
    Matches(const Regex& regex, std::string_view text);
    ~Matches();
    /// The next match, [start, end) in bytes; false when there is none. Throws Error{kInput} when matching takes more
    /// than a few seconds.
    bool next(size_t* start, size_t* end);

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace paro::tokenizer
