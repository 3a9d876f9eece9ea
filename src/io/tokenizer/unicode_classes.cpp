#include "io/tokenizer/unicode_classes.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace paro::tokenizer {
namespace {

struct LaterRange {
  char32_t first, last;
  int category;
};
struct CharRange {
  char32_t first, last;
};

#include "io/tokenizer/unicode_tables.inc"

constexpr CharRange kSpaces[] = {{0x9, 0xD},       {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                 {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                 {0x205F, 0x205F}, {0x3000, 0x3000}};
// Numbers of Unicode 17, which the peer's Digits (Rust's is_numeric) knows but its regular expressions do not.
constexpr CharRange kNewNumerics[] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};
// Circled and squared letters: symbols that are alphabetic.
constexpr CharRange kAlphabeticSymbols[] = {
    {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};

template <typename Range, size_t size>
const Range* find_range(const Range (&ranges)[size], char32_t c) {
  const Range* at = std::lower_bound(ranges, ranges + size, c, [](const Range& r, char32_t v) { return r.last < v; });
  return at != ranges + size && at->first <= c ? at : nullptr;
}

int category_of(char32_t c) {
  const LaterRange* later = find_range(kLater, c);
  return later != nullptr ? later->category : utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

uint8_t classes_of_category(int category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return kNumber | kNumeric;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return kSymbol;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return kMark;
    default: return 0;
  }
}

}  // namespace

CharClasses::CharClasses() {
  // Private use and unassigned planes (4 to 13, 15, 16) have no class and share block 0.
  constexpr char32_t kAssigned[][2] = {{0, 0x40000}, {0xE0000, 0xE1000}};
  size_t count = 1;
  for (const auto& [first, end] : kAssigned)
    for (char32_t c = first; c < end; c += 256) block_[c >> 8] = static_cast<uint16_t>(count++);
  blocks_ = std::make_unique<Block[]>(count);
  for (const auto& [first, end] : kAssigned)
    for (char32_t c = first; c < end; ++c)
      set(c, classes_of_category(utf8proc_category(static_cast<utf8proc_int32_t>(c))));
  for (const LaterRange& r : kLater)
    for (char32_t c = r.first; c <= r.last; ++c) {
      blocks_[block_[c >> 8]][c & 0xFF] = 0;
      set(c, classes_of_category(r.category) | kLate);
    }
  for (const CharRange& r : kSpaces)
    for (char32_t c = r.first; c <= r.last; ++c) set(c, kSpace);
  for (const CharRange& r : kNewNumerics)
    for (char32_t c = r.first; c <= r.last; ++c) {
      blocks_[block_[c >> 8]][c & 0xFF] = 0;
      set(c, kNumeric);
    }
}

void CharClasses::set(char32_t c, uint8_t classes) { blocks_[block_[c >> 8]][c & 0xFF] |= classes; }

const CharClasses& CharClasses::get() {
  static const CharClasses classes;
  return classes;
}

char32_t older_like(char32_t c) {
  const LaterRange* later = find_range(kLater, c);
  if (later == nullptr) return c;
  const bool wide = c > 0xFFFF;
  switch (later->category) {
    case UTF8PROC_CATEGORY_LU: return wide ? 0x10400 : 0x1E00;
    case UTF8PROC_CATEGORY_LL: return wide ? 0x10428 : 0x1E01;
    case UTF8PROC_CATEGORY_LM: return wide ? 0x16B40 : 0x1D2C;
    case UTF8PROC_CATEGORY_LO: return c >= 0x20000 ? 0x20000 : wide ? 0x10000 : 0x0F00;
    case UTF8PROC_CATEGORY_MC: return wide ? 0x11000 : 0x0F3E;
    case UTF8PROC_CATEGORY_MN: return wide ? 0x10A01 : 0x0F71;
    case UTF8PROC_CATEGORY_ND: return wide ? 0x104A0 : 0x0F20;
    case UTF8PROC_CATEGORY_NO: return wide ? 0x10107 : 0x0F2A;
    case UTF8PROC_CATEGORY_PD: return wide ? 0x10EAD : 0x2010;
    case UTF8PROC_CATEGORY_PO: return wide ? 0x10100 : 0x0F04;
    case UTF8PROC_CATEGORY_SM: return wide ? 0x1D6C1 : 0x2200;
    default: return wide ? 0x10137 : 0x0F01;
  }
}

bool normalizes_to_itself(char32_t c) { return c >= 0x300 && find_range(kInert, c) != nullptr; }

bool is_accent(char32_t c) { return CharClasses::get().is(c, kMark) != (find_range(kOtherAccents, c) != nullptr); }

bool is_word_char(char32_t c) {
  const int category = category_of(c);
  return CharClasses::get().is(c, kLetter | kMark) || category == UTF8PROC_CATEGORY_ND ||
         category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D ||
         find_range(kAlphabeticSymbols, c) != nullptr;
}

}  // namespace paro::tokenizer
