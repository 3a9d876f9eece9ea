#include "io/chat_template/text.h"

#include <algorithm>

#include "io/chat_template/unicode_tables.h"

namespace paro::jinja {
namespace {

constexpr char32_t kRawByte = 0xDC00;  // an invalid byte b is the character kRawByte + b

bool continuation(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

bool in_runs(std::span<const CharRun> runs, char32_t c) {
  auto after = std::upper_bound(runs.begin(), runs.end(), c, [](char32_t x, const CharRun& r) { return x < r.first; });
  // Runs of stride 2 may interleave with the one before them.
  for (int back = 0; back < 2 && after != runs.begin(); ++back) {
    --after;
    if (c <= after->last && (c - after->first) % after->stride == 0) return true;
  }
  return false;
}

/// False when the table does not have the character.
bool append_mapped(std::string& out, char32_t c, const CaseTable& table) {
  for (const CaseSpecial& special : table.special) {
    if (special.from == c) {
      for (const char32_t* to = special.to; *to != 0; ++to) append_char(out, *to);
      return true;
    }
  }
  auto after = std::upper_bound(table.runs.begin(), table.runs.end(), c,
                                [](char32_t x, const CaseRun& r) { return x < r.first; });
  // Runs overlap (stride 2, other deltas): the ones that can hold c begin shortly before it.
  for (int back = 0; back < 8 && after != table.runs.begin(); ++back) {
    --after;
    if (c <= after->last && (c - after->first) % after->stride == 0) {
      append_char(out, static_cast<char32_t>(static_cast<int64_t>(c) + after->delta));
      return true;
    }
  }
  return false;
}

void append_lower(std::string& out, char32_t c) {
  if (c < 128) {
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  } else if (!append_mapped(out, c, kToLower)) {
    append_char(out, c);
  }
}

void append_upper(std::string& out, char32_t c) {
  if (c < 128) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  } else if (!append_mapped(out, c, kToUpper)) {
    append_char(out, c);
  }
}

void append_title(std::string& out, char32_t c) {
  if (c < 128 || !append_mapped(out, c, kToTitle)) append_upper(out, c);
}

/// Sigma at the end of a word has a form of its own.
bool final_sigma(std::string_view text, size_t begin, size_t end) {
  bool before = false;
  if (begin > 0) {
    size_t at = char_before(text, begin);
    before = is_cased(next_char(text, at));
  }
  bool after = false;
  if (end < text.size()) after = is_cased(next_char(text, end));
  return before && !after;
}

void append_lower_at(std::string& out, std::string_view text, size_t begin, size_t end, char32_t c) {
  if (c == 0x3A3 && final_sigma(text, begin, end)) {
    append_char(out, 0x3C2);
  } else {
    append_lower(out, c);
  }
}

}  // namespace

char32_t next_char(std::string_view text, size_t& position) {
  unsigned char lead = static_cast<unsigned char>(text[position]);
  auto bits = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[position + i]) & 0x3F); };
  if (lead < 0x80) {
    ++position;
    return lead;
  }
  char32_t c = 0;
  if (lead >= 0xC2 && lead < 0xE0 && continuation(text, position + 1)) {
    c = (static_cast<char32_t>(lead & 0x1F) << 6) | bits(1);
    position += 2;
    return c;
  }
  if (lead >= 0xE0 && lead < 0xF0 && continuation(text, position + 1) && continuation(text, position + 2)) {
    c = (static_cast<char32_t>(lead & 0x0F) << 12) | (bits(1) << 6) | bits(2);
    if (c >= 0x800) {
      position += 3;
      return c;
    }
  }
  if (lead >= 0xF0 && lead < 0xF5 && continuation(text, position + 1) && continuation(text, position + 2) &&
      continuation(text, position + 3)) {
    c = (static_cast<char32_t>(lead & 0x07) << 18) | (bits(1) << 12) | (bits(2) << 6) | bits(3);
    if (c >= 0x10000 && c < 0x110000) {
      position += 4;
      return c;
    }
  }
  ++position;
  return kRawByte + lead;
}

void append_char(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c >= kRawByte + 0x80 && c < kRawByte + 0x100) {
    out += static_cast<char>(c - kRawByte);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

int64_t count_chars(std::string_view text) {
  int64_t count = 0;
  size_t at = 0;
  while (at < text.size()) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
    } else {
      next_char(text, at);
    }
    ++count;
  }
  return count;
}

size_t char_offset(std::string_view text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) next_char(text, at);
  return at;
}

size_t char_before(std::string_view text, size_t end) {
  // The longest sequence that reads as one character up to `end`.
  for (size_t length = std::min<size_t>(4, end); length > 1; --length) {
    size_t at = end - length;
    next_char(text.substr(0, end), at);
    if (at == end) return end - length;
  }
  return end - 1;
}

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
bool is_line_break(char32_t c) {
  return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}
bool is_alpha(char32_t c) { return in_runs(kAlpha, c); }
bool is_decimal(char32_t c) { return in_runs(kDecimal, c); }
bool is_digit(char32_t c) { return is_decimal(c) || in_runs(kDigit, c); }
bool is_numeric(char32_t c) { return is_digit(c) || in_runs(kNumeric, c); }
bool is_alnum(char32_t c) { return is_alpha(c) || is_numeric(c); }
bool is_upper(char32_t c) { return in_runs(kUpper, c); }
bool is_lower(char32_t c) { return in_runs(kLower, c); }
bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || in_runs(kTitle, c); }
bool is_printable(char32_t c) { return (c >= 32 && c < 127) || (c >= 128 && !in_runs(kHidden, c)); }

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t c = next_char(text, at);
    append_lower_at(out, text, begin, at, c);
  }
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_upper(out, next_char(text, at));
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t c = next_char(text, at);
    if (in_word) {
      append_lower_at(out, text, begin, at, c);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t c = next_char(text, at);
    if (begin == 0) {
      append_title(out, c);
    } else {
      append_lower_at(out, text, begin, at, c);
    }
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t c = next_char(text, at);
    if (is_upper(c)) {
      append_lower_at(out, text, begin, at, c);
    } else if (is_lower(c)) {
      append_upper(out, c);
    } else {
      append_char(out, c);
    }
  }
  return out;
}

std::string_view strip(std::string_view text, const std::string_view* chars, bool left, bool right) {
  auto removable = [&](size_t begin, size_t end) {
    if (chars == nullptr) {
      size_t at = begin;
      return is_space(next_char(text, at));
    }
    std::string_view c = text.substr(begin, end - begin);
    for (size_t at = 0; at < chars->size();) {
      size_t start = at;
      next_char(*chars, at);
      if (chars->substr(start, at - start) == c) return true;
    }
    return false;
  };
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    size_t after = begin;
    next_char(text, after);
    if (!removable(begin, after)) break;
    begin = after;
  }
  while (right && begin < end) {
    size_t before = char_before(text, end);
    if (before < begin || !removable(before, end)) break;
    end = before;
  }
  return text.substr(begin, end - begin);
}

}  // namespace paro::jinja
