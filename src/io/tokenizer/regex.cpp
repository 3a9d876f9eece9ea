#include "io/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "io/tokenizer/regex_translate.h"
#include "io/tokenizer/unicode_classes.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {
namespace {

constexpr size_t kMaxPattern = 1 << 16;
constexpr uint32_t kMatchLimit = 2'000'000;  // steps for one starting position
constexpr uint32_t kHeapLimitKib = 64 << 10;
constexpr size_t kJitStack = 1 << 20;
// A search looks at this many starting positions before the clock is read.
constexpr size_t kWindow = 512;
constexpr auto kTimeLimit = std::chrono::milliseconds(2500);

template <typename T, void (*free)(T*)>
struct Free {
  void operator()(T* p) const { free(p); }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code, pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data, pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context, pcre2_match_context_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Free<pcre2_compile_context, pcre2_compile_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Free<pcre2_jit_stack, pcre2_jit_stack_free>>;

pcre2_jit_stack* thread_jit_stack(void*) {
  thread_local const JitStack stack(pcre2_jit_stack_create(32 << 10, kJitStack, nullptr));
  return stack.get();
}

// The text with characters that PCRE2 may not know yet replaced by older ones of their kind and length.
bool replace_late_chars(std::string_view text, std::string* out) {
  const CharClasses& classes = CharClasses::get();
  bool changed = false;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    if (static_cast<unsigned char>(*p) < 0xE0) {  // all of them have three or four bytes
      ++p;
      continue;
    }
    const char* const start = p;
    const char32_t c = next_char(p);
    if (!classes.is(c, kLate)) continue;
    if (!changed) out->assign(text);
    changed = true;
    std::string older;
    append_utf8(older_like(c), older);
    if (older.size() == static_cast<size_t>(p - start))
      out->replace(static_cast<size_t>(start - text.data()), older.size(), older);
  }
  return changed;
}

}  // namespace

struct Regex::Impl {
  std::string pattern;
  std::string place;
  Code code;
  MatchContext context;
};

Regex::Regex(std::string_view pattern, const std::string& place) : impl_(std::make_unique<Impl>()) {
  if (pattern.size() > kMaxPattern)
    fail_input("{}: regular expression of {} bytes, expected at most {}", place, pattern.size(), kMaxPattern);
  impl_->pattern = pattern;
  impl_->place = place;
  const std::string translated = translate_regex(pattern, place);
  const CompileContext compile(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(compile.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  impl_->code.reset(pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_USE_OFFSET_LIMIT | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY,
      &error, &offset, compile.get()));
  if (!impl_->code) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof message);
    fail_input("{}: regular expression \"{}\": {}", place, pattern, reinterpret_cast<const char*>(message));
  }
  pcre2_jit_compile(impl_->code.get(), PCRE2_JIT_COMPLETE);  // where JIT is not there, matching interprets
  impl_->context.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(impl_->context.get(), kMatchLimit);
  pcre2_set_heap_limit(impl_->context.get(), kHeapLimitKib);
  pcre2_jit_stack_assign(impl_->context.get(), thread_jit_stack, nullptr);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;

struct Regex::Matches::State {
  const Regex::Impl* regex;
  std::string replaced;
  std::string_view text;
  MatchContext context;  // its own: the offset limit changes from call to call
  MatchData data;
  std::chrono::steady_clock::time_point deadline;
  size_t at = 0;
  size_t last_end = std::string_view::npos;
  unsigned calls = 0;
};

Regex::Matches::Matches(const Regex& regex, std::string_view text) : state_(std::make_unique<State>()) {
  state_->regex = regex.impl_.get();
  state_->text = replace_late_chars(text, &state_->replaced) ? std::string_view(state_->replaced) : text;
  state_->context.reset(pcre2_match_context_copy(regex.impl_->context.get()));
  state_->data.reset(pcre2_match_data_create_from_pattern(regex.impl_->code.get(), nullptr));
  state_->deadline = std::chrono::steady_clock::now() + kTimeLimit + std::chrono::microseconds(text.size());
}

Regex::Matches::~Matches() = default;

bool Regex::Matches::next(size_t* start, size_t* end) {
  State& s = *state_;
  const auto too_long = [&] {
    fail_input("{}: regular expression \"{}\" takes too long on a text of {} bytes", s.regex->place, s.regex->pattern,
               s.text.size());
  };
  while (s.at <= s.text.size()) {
    if (++s.calls % 64 == 0 && std::chrono::steady_clock::now() > s.deadline) too_long();
    const size_t limit = std::min(s.at + kWindow, s.text.size());
    pcre2_set_offset_limit(s.context.get(), limit);
    const auto match = [&](uint32_t options) {
      return pcre2_match(s.regex->code.get(), reinterpret_cast<PCRE2_SPTR>(s.text.data()), s.text.size(), s.at,
                         PCRE2_NO_UTF_CHECK | options, s.data.get(), s.context.get());
    };
    int rc = match(0);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = match(PCRE2_NO_JIT);
    if (rc == PCRE2_ERROR_NOMATCH) {
      if (std::chrono::steady_clock::now() > s.deadline) too_long();
      if (limit == s.text.size()) return false;
      s.at = limit + 1;
      while (s.at < s.text.size() && (s.text[s.at] & 0xC0) == 0x80) ++s.at;
      continue;
    }
    if (rc < 0) too_long();
    const PCRE2_SIZE* const found = pcre2_get_ovector_pointer(s.data.get());
    *start = found[0];
    *end = found[1];
    if (*end < *start || *start < s.at) return false;
    const bool empty = *start == *end;
    s.at = *end;
    if (empty) {
      // Go on behind the next character; an empty match at the end of the last match does not count.
      ++s.at;
      while (s.at < s.text.size() && (s.text[s.at] & 0xC0) == 0x80) ++s.at;
      if (*start == s.last_end) continue;
    }
    s.last_end = *end;
    return true;
  }
  return false;
}

}  // namespace paro::tokenizer
