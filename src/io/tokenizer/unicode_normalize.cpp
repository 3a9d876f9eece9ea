#include "io/tokenizer/unicode_normalize.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "base/error.h"
#include "io/tokenizer/unicode_classes.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {
namespace {

constexpr char32_t kEnd = 0x30000;  // the last decomposing or combining character lies below, but for U+E0001..

// One bit a character: it may change in, or combine with its neighbours in, some normalization form.
class Suspicious {
 public:
  static const Suspicious& get() {
    static const Suspicious table;
    return table;
  }
  bool has(char32_t c) const { return c < kEnd && bits_[c]; }

 private:
  Suspicious() : bits_(kEnd) {
    for (char32_t c = 0xA0; c < kEnd; ++c) {
      if ((c >= 0xD800 && c < 0xE000) || normalizes_to_itself(c)) continue;
      const auto code = static_cast<utf8proc_int32_t>(c);
      utf8proc_int32_t parts[32];
      int boundary = 0;
      constexpr auto kOptions = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
      const utf8proc_ssize_t count = utf8proc_decompose_char(code, parts, 32, kOptions, &boundary);
      if (count != 1 || parts[0] != code) {
        bits_[c] = true;
        if (c >= 0xAC00 && c <= 0xD7A3) continue;
        // Everything behind the first part may be the second half of a composition.
        for (utf8proc_ssize_t i = 1; i < count && i < 32; ++i)
          if (parts[i] >= 0xA0 && parts[i] < static_cast<int>(kEnd)) bits_[static_cast<size_t>(parts[i])] = true;
      }
      if (utf8proc_get_property(code)->combining_class != 0) bits_[c] = true;
    }
    for (char32_t c = 0x1161; c <= 0x11C2; ++c) bits_[c] = true;  // Hangul vowels and final consonants
  }
  std::vector<bool> bits_;
};

void append_normalized(std::string_view text, int options, std::string& out) {
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &result, static_cast<utf8proc_option_t>(options | UTF8PROC_STABLE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(result, &std::free);
  if (size < 0) fail_input("text cannot be normalized: {}", utf8proc_errmsg(size));
  out.append(reinterpret_cast<const char*>(result), static_cast<size_t>(size));
}

}  // namespace

std::string normalize_unicode(std::string_view text, int options) {
  const Suspicious& suspicious = Suspicious::get();
  std::string out;
  const char* const end = text.data() + text.size();
  const char* copied = text.data();
  const char* previous = nullptr;  // the character in front of p, when it may combine with the one at p
  for (const char* p = text.data(); p < end;) {
    if (static_cast<signed char>(*p) >= 0) {
      previous = p++;
      continue;
    }
    const char* const start = p;
    const char32_t c = next_char(p);
    if (!suspicious.has(c)) {
      previous = normalizes_to_itself(c) ? nullptr : start;
      continue;
    }
    const char* stop = p;
    while (stop < end) {
      const char* next = stop;
      if (!suspicious.has(next_char(next))) break;
      stop = next;
    }
    const char* const from = previous != nullptr && previous >= copied ? previous : start;
    if (out.empty()) out.reserve(text.size() + 16);
    out.append(copied, from);
    append_normalized({from, static_cast<size_t>(stop - from)}, options, out);
    copied = p = stop;
    previous = nullptr;
  }
  out.append(copied, end);
  return out;
}

}  // namespace paro::tokenizer
