// The normalizers of tokenizer.json: what is done to a text before it is split.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "io/tokenizer/regex.h"

namespace paro::tokenizer {

/// A literal string or a regular expression to look for ({"String": ...} or {"Regex": ...}).
class Pattern {
 public:
  static Pattern from_json(const Json& json, const std::string& place);
  /// Calls match(start, end) for every match from left to right.
  template <typename Match>
  void find(std::string_view text, Match&& match) const {
    if (regex_) {
      Regex::Matches matches(*regex_, text);
      for (size_t start = 0, end = 0; matches.next(&start, &end);) match(start, end);
    } else if (!literal_.empty()) {
      for (size_t at = text.find(literal_); at != text.npos; at = text.find(literal_, at + literal_.size()))
        match(at, at + literal_.size());
    }
  }
  /// `text` with every match replaced.
  std::string replace(std::string_view text, std::string_view content) const;
  /// The regular expression as the file spells it; empty for a literal.
  const std::string& source() const { return source_; }

 private:
  std::string literal_;
  std::string source_;
  std::shared_ptr<const Regex> regex_;
};

class Normalizer {
 public:
  /// `json` is the "normalizer" of tokenizer.json or null. Throws Error{kInput}.
  static Normalizer from_json(const Json& json, const std::string& place);

  bool empty() const { return steps_.empty(); }
  /// `text` must be valid UTF-8.
  std::string apply(std::string_view text) const;

 private:
  struct Unicode {
    int options;  // utf8proc's
  };
  struct Lowercase {};
  struct StripAccents {};
  struct ByteLevel {};
  struct Strip {
    bool left, right;
  };
  struct Prepend {
    std::string text;
  };
  struct Replace {
    Pattern pattern;
    std::string content;
  };
  using Step = std::variant<Unicode, Lowercase, StripAccents, ByteLevel, Strip, Prepend, Replace>;

  void add(const Json& json, const std::string& place, int depth);
  static std::string run(const Step& step, std::string_view text);

  std::vector<Step> steps_;
};

/// The element type of a part of tokenizer.json: its "type". Throws Error{kInput} when it has none.
std::string type_of(const Json& json, const std::string& place);
/// A member that must be an array.
const Json& json_array(const Json& object, const char* key, const std::string& place);
/// A string member that must hold exactly one character.
std::string json_char(const Json& object, const char* key, const std::string& place);

}  // namespace paro::tokenizer
