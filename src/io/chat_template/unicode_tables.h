// What Python's str methods know about characters: classes and case mappings as sorted runs. Only data; text.h asks it.
#pragma once

#include <cstdint>
#include <span>

namespace paro::jinja {

struct CharRun {
  char32_t first, last;
  uint32_t stride;
};
struct CaseRun {
  char32_t first, last;
  uint32_t stride;
  int32_t delta;
};
struct CaseSpecial {
  char32_t from;
  const char32_t* to;
};
struct CaseTable {
  std::span<const CaseRun> runs;
  std::span<const CaseSpecial> special;  // one character becomes several
};

extern const std::span<const CharRun> kAlpha, kDecimal, kDigit, kNumeric, kUpper, kLower, kTitle;
extern const std::span<const CharRun> kHidden;  // not printable: repr escapes them
extern const CaseTable kToLower, kToUpper;
extern const CaseTable kToTitle;  // only where it differs from kToUpper

}  // namespace paro::jinja
