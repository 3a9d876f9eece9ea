#include "io/tokenizer/regex_translate.h"

#include <cctype>
#include <vector>

#include "base/error.h"

namespace paro::tokenizer {
namespace {

// White_Space without U+180E, which PCRE2 counts as a space, and its complement: both stand inside [].
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e})"
    R"(\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
constexpr std::string_view kHex = "0-9a-fA-F";
constexpr int kMaxClassDepth = 50;

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& place) : in_(pattern), place_(place) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const char* what) const { fail_input("{}: regular expression \"{}\": {}", place_, in_, what); }
  bool next_is(std::string_view text) const { return in_.substr(at_, text.size()) == text; }

  // One element of the pattern outside of classes.
  void step() {
    const char c = in_[at_];
    switch (c) {
      case '\\': return atom(escape(false));
      case '[': {
        const Class parsed = parse_class(0);
        return atom(parsed.text());
      }
      case '(': return open_group();
      case ')': {
        if (groups_.empty()) fail("unmatched )");
        ++at_;
        out_ += ')';
        atom_ = groups_.back();
        groups_.pop_back();
        return;
      }
      case '{': return interval();
      case '*':
      case '+':
      case '?': ++at_; return void(out_ += c);
      default: {
        const size_t start = at_++;
        while (at_ < in_.size() && (in_[at_] & 0xC0) == 0x80) ++at_;  // the rest of a UTF-8 character
        return atom(in_.substr(start, at_ - start));
      }
    }
  }

  void atom(std::string_view text) {
    atom_ = out_.size();
    out_ += text;
  }

  void open_group() {
    groups_.push_back(out_.size());
    if (next_is("(*")) fail("(* is not supported");
    out_ += '(';
    ++at_;
    if (!next_is("?")) return;
    out_ += '?';
    ++at_;
    if (next_is("#")) fail("comments are not supported");
    // Options: in Ruby's syntax m is "dot matches newlines", which is s elsewhere.
    size_t end = at_;
    while (end < in_.size() && (std::isalpha(static_cast<unsigned char>(in_[end])) || in_[end] == '-')) ++end;
    if (end == in_.size() || (in_[end] != ':' && in_[end] != ')') || next_is("P")) return;
    for (; at_ < end; ++at_) {
      if (in_[at_] == 'x') fail("the option x is not supported");
      out_ += in_[at_] == 'm' ? 's' : in_[at_];
    }
  }

  // {n,m}: a following + repeats the interval (possessive elsewhere).
  void interval() {
    size_t end = at_ + 1;
    while (end < in_.size() && (std::isdigit(static_cast<unsigned char>(in_[end])) || in_[end] == ',')) ++end;
    if (end == at_ + 1 || end == in_.size() || in_[end] != '}') {
      ++at_;
      return atom("\\{");
    }
    std::string_view range = in_.substr(at_ + 1, end - at_ - 1);
    out_ += '{';
    if (range.front() == ',') out_ += '0';
    (out_ += range) += '}';
    at_ = end + 1;
    if (next_is("+")) {
      out_.insert(atom_, "(?:");
      out_ += ")";
    }
  }

  // The escape at `at_` as PCRE2 writes it.
  std::string escape(bool in_class) {
    if (at_ + 1 >= in_.size()) fail("ends in a backslash");
    const char c = in_[at_ + 1];
    at_ += 2;
    const auto set = [&](std::string_view items, bool negated) {
      return in_class ? std::string(items) : std::string(negated ? "[^" : "[").append(items).append("]");
    };
    switch (c) {
      case 's': return set(kSpace, false);
      case 'S': return in_class ? std::string(kNotSpace) : set(kSpace, true);
      case 'w': return set(kWord, false);
      case 'W':
        if (in_class) fail("\\W inside [] is not supported");
        return set(kWord, true);
      case 'h': return set(kHex, false);
      case 'H':
        if (in_class) fail("\\H inside [] is not supported");
        return set(kHex, true);
      case 'p':
      case 'P': return property(c);
      case 'u': {
        if (at_ + 4 > in_.size()) fail("\\u needs four hexadecimal digits");
        const std::string digits(in_.substr(at_, 4));
        for (char digit : digits)
          if (!std::isxdigit(static_cast<unsigned char>(digit))) fail("\\u needs four hexadecimal digits");
        at_ += 4;
        return fmt::format("\\x{{{}}}", digits);
      }
      case 'Q':
      case 'E':
      case 'C':
      case 'K':
      case 'N': fail("an escape is not supported");
      default: {
        const size_t start = at_ - 1;
        while (at_ < in_.size() && (in_[at_] & 0xC0) == 0x80) ++at_;
        return fmt::format("\\{}", in_.substr(start, at_ - start));
      }
    }
  }

  // \p{Name}, \p{^Name}: names may have spaces, other letter cases and long forms of the general categories.
  std::string property(char kind) {
    const size_t close = next_is("{") ? in_.find('}', at_) : std::string_view::npos;
    if (close == std::string_view::npos) fail("\\p needs {name}");
    std::string_view name = in_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    std::string result = std::string("\\") + kind + "{";
    if (name.starts_with('^')) {
      result += '^';
      name.remove_prefix(1);
    }
    static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
        {"Letter", "L"}, {"Number", "N"},    {"Punctuation", "P"}, {"Punct", "P"}, {"Symbol", "S"},
        {"Mark", "M"},   {"Separator", "Z"}, {"Other", "C"},       {"Alpha", "L"}, {"Alphabetic", "L"},
        {"Digit", "Nd"}, {"Upper", "Lu"},    {"Lower", "Ll"}};
    for (const auto& [from, to] : kNames)
      if (name == from) name = to;
    return (result += name) += '}';
  }

  // A character class: a union of flat items and nested classes, possibly an intersection of several, or negated.
  struct Class {
    std::string items;                // what stands between [ and ], flat
    std::vector<std::string> others;  // nested classes, each matching one character
    std::vector<std::string> before;  // the operands in front of &&
    bool negated = false;

    std::string text() const {
      std::string one = items.empty() ? "" : "[" + items + "]";
      for (const std::string& other : others) one += (one.empty() ? "" : "|") + other;
      if (one.empty()) one = "(?!)";
      if (!others.empty()) one = "(?:" + one + ")";
      if (before.empty()) return negated ? others.empty() ? "[^" + items + "]" : "(?:(?!" + one + ")(?s:.))" : one;
      std::string all;
      for (const std::string& operand : before) all += "(?=" + operand + ")";
      all += one;
      return negated ? "(?:(?!" + all + ")(?s:.))" : "(?:" + all + ")";
    }
    std::string operand() const {
      Class plain = *this;
      plain.before.clear();
      plain.negated = false;
      return plain.text();
    }
  };

  Class parse_class(int depth) {
    if (depth > kMaxClassDepth) fail("classes are nested too deeply");
    Class result;
    ++at_;
    if (next_is("^")) {
      result.negated = true;
      ++at_;
    }
    bool first = true;
    while (true) {
      if (at_ >= in_.size()) fail("[ without ]");
      const char c = in_[at_];
      if (c == ']' && !first) break;
      first = false;
      if (c == '\\') {
        result.items += escape(true);
      } else if (next_is("[:")) {
        const size_t close = in_.find(":]", at_);
        if (close == std::string_view::npos) fail("[: without :]");
        result.items += in_.substr(at_, close + 2 - at_);
        at_ = close + 2;
      } else if (c == '[') {
        const Class nested = parse_class(depth + 1);
        if (nested.negated || !nested.before.empty() || !nested.others.empty()) {
          result.others.push_back(nested.text());
        } else {
          result.items += nested.items;
        }
      } else if (next_is("&&")) {
        at_ += 2;
        result.before.push_back(result.operand());
        result.items.clear();
        result.others.clear();
      } else {
        if (c == ']' || c == '^') result.items += '\\';
        result.items += c;
        ++at_;
      }
    }
    ++at_;
    if (result.items.empty() && result.others.empty()) fail("empty []");
    return result;
  }

  const std::string_view in_;
  const std::string& place_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where in out_ the last atom begins
  std::vector<size_t> groups_;  // where in out_ the open groups begin
};

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& place) {
  return Translator(pattern, place).run();
}

}  // namespace paro::tokenizer
