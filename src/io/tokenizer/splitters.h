// Hand-written forms of the regular expressions that the well-known byte-level tokenizers split text with, an order of
// magnitude faster than a regex engine. Each is recognised by its exact pattern; every other pattern goes to PCRE2.
#pragma once

#include <optional>
#include <string_view>

#include "io/tokenizer/unicode_classes.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {

enum class Splitter {
  kGpt2,         // GPT-2, and ByteLevel's own pattern
  kLlama3,       // Llama 3 and cl100k: up to three digits
  kQwen2,        // Qwen 2 and 3: single digits
  kDeepSeek,     // DeepSeek V3: its last pattern
  kDigitsThree,  // \p{N}{1,3}
  kHanAndKana,   // DeepSeek: runs of Chinese and Japanese
};

inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// The splitter that does exactly what `pattern` does.
std::optional<Splitter> find_splitter(std::string_view pattern);

namespace splitters {

/// Reads characters and their classes.
struct Scanner {
  const CharClasses& classes = CharClasses::get();
  const uint8_t* const low = classes.low();

  /// The classes of the character at `p` and where the next begins.
  struct Char {
    const char* next;
    uint8_t bits;
  };
  [[gnu::always_inline]] Char read(const char* p) const {
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) [[likely]]
      return {p + 1, low[byte]};
    const char32_t c = next_char(p);
    return {p, classes.of(c)};
  }
  /// The end of the run of characters with one of `bits` from `p` on.
  const char* run(const char* p, const char* end, int bits) const {
    while (p < end) {
      const Char c = read(p);
      if (!(c.bits & bits)) break;
      p = c.next;
    }
    return p;
  }
  /// The same with none of `bits`.
  const char* run_without(const char* p, const char* end, int bits) const {
    while (p < end) {
      const Char c = read(p);
      if (c.bits & bits) break;
      p = c.next;
    }
    return p;
  }
};

inline bool is_newline(char c) { return c == '\n' || c == '\r'; }

inline const char* newlines(const char* p, const char* end) {
  while (p < end && is_newline(*p)) ++p;
  return p;
}

/// `\s+(?!\S)|\s+` from `p`, where white space begins.
inline const char* space_run(const Scanner& scan, const char* p, const char* end) {
  const char* const stop = scan.run(p, end, kSpace);
  if (stop == end) return stop;
  const char* const last = previous_char(stop);
  return last > p ? last : stop;
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+` from `p`, where white space begins.
inline const char* space_or_lines(const Scanner& scan, const char* p, const char* end) {
  const char* const stop = scan.run(p, end, kSpace);
  for (const char* q = stop; q > p; --q)
    if (is_newline(q[-1])) return q;
  if (stop == end) return stop;
  const char* const last = previous_char(stop);
  return last > p ? last : stop;
}

/// Length of 's, 't, 're, 've, 'm, 'll, 'd at `p`, where an apostrophe stands; 0 when none.
template <bool any_case>
size_t contraction(const char* p, const char* end) {
  const auto at = [&](int i) {
    const char c = end - p > i ? p[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  switch (at(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd': return 2;
    case 'r':
    case 'v': return at(2) == 'e' ? 3 : 0;
    case 'l': return at(2) == 'l' ? 3 : 0;
    case '\xC5': return any_case && at(2) == '\xBF' ? 3 : 0;  // the long s, which folds to s
    default: return 0;
  }
}

/// All splitters: calls match(start, end) for every match from left to right; the text need not be covered.
template <typename Match>
void gpt2(const char* p, const char* end, Match&& match) {
  const Scanner scan;
  while (p < end) {
    const char* const start = p;
    if (*p == '\'') {
      if (const size_t length = contraction<false>(p, end)) {
        match(start, p += length);
        continue;
      }
    }
    if (*p == ' ' && p + 1 < end) ++p;
    const Scanner::Char c = scan.read(p);
    if (c.bits & kLetter) {
      p = scan.run(c.next, end, kLetter);
    } else if (c.bits & kNumber) {
      p = scan.run(c.next, end, kNumber);
    } else if (!(c.bits & kSpace)) {
      p = scan.run_without(c.next, end, kSpace | kLetter | kNumber);
    } else {
      p = space_run(scan, start, end);
    }
    match(start, p);
  }
}

template <typename Match>
void llama3(const char* p, const char* end, int max_digits, Match&& match) {
  const Scanner scan;
  while (p < end) {
    const char* const start = p;
    const Scanner::Char c = scan.read(p);
    if (c.bits & kLetter) {
      match(start, p = scan.run(c.next, end, kLetter));
      continue;
    }
    if (c.bits & kNumber) {
      p = c.next;
      for (int digits = 1; digits < max_digits && p < end; ++digits) {
        const Scanner::Char digit = scan.read(p);
        if (!(digit.bits & kNumber)) break;
        p = digit.next;
      }
      match(start, p);
      continue;
    }
    if (*p == '\'') {
      if (const size_t length = contraction<true>(p, end)) {
        match(start, p += length);
        continue;
      }
    }
    if (c.next < end && !is_newline(*p)) {
      const Scanner::Char second = scan.read(c.next);
      if (second.bits & kLetter) {
        match(start, p = scan.run(second.next, end, kLetter));
        continue;
      }
      if (*p == ' ' && !(second.bits & (kSpace | kLetter | kNumber))) {
        p = scan.run_without(second.next, end, kSpace | kLetter | kNumber);
        match(start, p = newlines(p, end));
        continue;
      }
    }
    if (c.bits & kSpace) {
      p = space_or_lines(scan, start, end);
    } else {
      p = newlines(scan.run_without(c.next, end, kSpace | kLetter | kNumber), end);
    }
    match(start, p);
  }
}

template <typename Match>
void deepseek(const char* p, const char* end, Match&& match) {
  const Scanner scan;
  const auto is_ascii_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  while (p < end) {
    const char* const start = p;
    const Scanner::Char c = scan.read(p);
    if (static_cast<signed char>(*p) > 0 && (c.bits & (kPunctuation | kSymbol)) && c.next < end &&
        is_ascii_letter(*c.next)) {
      p = c.next;
      while (p < end && is_ascii_letter(*p)) ++p;
      match(start, p);
      continue;
    }
    if (c.bits & (kLetter | kMark)) {
      match(start, p = scan.run(c.next, end, kLetter | kMark));
      continue;
    }
    if (c.next < end) {
      const Scanner::Char second = scan.read(c.next);
      if (!is_newline(*p) && !(c.bits & (kPunctuation | kSymbol)) && (second.bits & (kLetter | kMark))) {
        match(start, p = scan.run(second.next, end, kLetter | kMark));
        continue;
      }
      if (*p == ' ' && (second.bits & (kPunctuation | kSymbol))) {
        p = scan.run(second.next, end, kPunctuation | kSymbol);
        match(start, p = newlines(p, end));
        continue;
      }
    }
    if (c.bits & (kPunctuation | kSymbol)) {
      match(start, p = newlines(scan.run(c.next, end, kPunctuation | kSymbol), end));
    } else if (c.bits & kSpace) {
      match(start, p = space_or_lines(scan, start, end));
    } else {
      p = c.next;
    }
  }
}

template <typename Match>
void three_digits(const char* p, const char* end, Match&& match) {
  const Scanner scan;
  while (p < end) {
    const char* const start = p;
    int digits = 0;
    while (p < end && digits < 3) {
      const Scanner::Char c = scan.read(p);
      if (!(c.bits & kNumber)) break;
      p = c.next;
      ++digits;
    }
    if (digits > 0) {
      match(start, p);
    } else {
      p = scan.run_without(p, end, kNumber);
    }
  }
}

template <typename Match>
void han_and_kana(const char* p, const char* end, Match&& match) {
  const auto inside = [](const char*& q) {
    if (static_cast<signed char>(*q) >= 0) return ++q, false;
    const char32_t c = next_char(q);
    return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
  };
  while (p < end) {
    const char* const start = p;
    if (!inside(p)) continue;
    for (const char* q = p; q < end && inside(q);) p = q;
    match(start, p);
  }
}

}  // namespace splitters

template <typename Match>
void split_with(Splitter splitter, const char* p, const char* end, Match&& match) {
  switch (splitter) {
    case Splitter::kGpt2: return splitters::gpt2(p, end, match);
    case Splitter::kLlama3: return splitters::llama3(p, end, 3, match);
    case Splitter::kQwen2: return splitters::llama3(p, end, 1, match);
    case Splitter::kDeepSeek: return splitters::deepseek(p, end, match);
    case Splitter::kDigitsThree: return splitters::three_digits(p, end, match);
    case Splitter::kHanAndKana: return splitters::han_and_kana(p, end, match);
  }
}

}  // namespace paro::tokenizer
