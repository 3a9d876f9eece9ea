#include "io/tokenizer/normalizer.h"

#include <utf8proc.h>

#include "base/error.h"
#include "io/tokenizer/byte_alphabet.h"
#include "io/tokenizer/unicode_classes.h"
#include "io/tokenizer/unicode_normalize.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {
namespace {

constexpr int kMaxDepth = 20;

// Letters of Unicode 15.1 to 17 that have a lower case, which utf8proc may not know.
struct LaterCase {
  char32_t first, last, lower_of_first;
};
constexpr LaterCase kLaterCases[] = {{0x1C89, 0x1C89, 0x1C8A},   {0xA7CB, 0xA7CB, 0x264},  {0xA7CC, 0xA7CC, 0xA7CD},
                                     {0xA7CE, 0xA7CE, 0xA7CF},   {0xA7D2, 0xA7D2, 0xA7D3}, {0xA7D4, 0xA7D4, 0xA7D5},
                                     {0xA7DA, 0xA7DA, 0xA7DB},   {0xA7DC, 0xA7DC, 0x19B},  {0x10D50, 0x10D65, 0x10D70},
                                     {0x16EA0, 0x16EB8, 0x16EBB}};

char32_t lower(char32_t c) {
  for (const LaterCase& later : kLaterCases)
    if (c >= later.first && c <= later.last) return c - later.first + later.lower_of_first;
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char *p = text.data(), *end = p + text.size(); p < end;) {
    const char32_t c = next_char(p);
    if (c == 0x130) {
      out += "i\xCC\x87";  // the only character whose lower case has two
    } else {
      append_utf8(lower(c), out);
    }
  }
  return out;
}

std::string strip_accents(std::string_view text) {
  std::string out;
  for (const char *p = text.data(), *end = p + text.size(); p < end;) {
    const char32_t c = next_char(p);
    if (!is_accent(c)) append_utf8(c, out);
  }
  return out;
}

std::string_view strip(std::string_view text, bool left, bool right) {
  const char* first = text.data();
  const char* last = first + text.size();
  while (left && first < last) {
    const char* p = first;
    if (!is_space(next_char(p))) break;
    first = p;
  }
  while (right && last > first) {
    const char* const p = previous_char(last);
    const char* q = p;
    if (!is_space(next_char(q))) break;
    last = p;
  }
  return {first, static_cast<size_t>(last - first)};
}

}  // namespace

std::string type_of(const Json& json, const std::string& place) {
  if (!json.is_object()) fail_input("{}: expected an object with \"type\", found {}", place, json_kind(json));
  return json_string(json, "type", place);
}

const Json& json_array(const Json& object, const char* key, const std::string& place) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end()) fail_input("{}: \"{}\" is missing", place, key);
  if (!found->is_array()) fail_input("{}: \"{}\": expected an array, found {}", place, key, json_kind(*found));
  return *found;
}

std::string json_char(const Json& object, const char* key, const std::string& place) {
  const std::string value = json_string(object, key, place);
  if (value.empty() || !is_valid_utf8(value) ||
      read_utf8(value.data(), value.data() + value.size()).length != value.size())
    fail_input("{}: \"{}\": expected one character, found \"{}\"", place, key, value);
  return value;
}

Pattern Pattern::from_json(const Json& json, const std::string& place) {
  Pattern pattern;
  if (json.is_object() && json.contains("String")) {
    pattern.literal_ = json_string(json, "String", place);
  } else if (json.is_object() && json.contains("Regex")) {
    pattern.source_ = json_string(json, "Regex", place);
    pattern.regex_ = std::make_shared<const Regex>(pattern.source_, place);
  } else if (json.is_string()) {
    pattern.literal_ = json.get<std::string>();
  } else {
    fail_input("{}: \"pattern\": expected an object with \"String\" or \"Regex\", found {}", place, json_kind(json));
  }
  return pattern;
}

std::string Pattern::replace(std::string_view text, std::string_view content) const {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  size_t copied = 0;
  find(text, [&](size_t start, size_t end) {
    out.append(text, copied, start - copied);
    out += content;
    copied = end;
  });
  out.append(text, copied);
  return out;
}

Normalizer Normalizer::from_json(const Json& json, const std::string& place) {
  Normalizer normalizer;
  if (!json.is_null()) normalizer.add(json, place + ": normalizer", 0);
  return normalizer;
}

void Normalizer::add(const Json& json, const std::string& place, int depth) {
  if (depth > kMaxDepth) fail_input("{}: nested deeper than {} levels", place, kMaxDepth);
  const std::string type = type_of(json, place);
  const std::string inside = place + " " + type;
  if (type == "Sequence") {
    for (const Json& part : json_array(json, "normalizers", inside)) add(part, place, depth + 1);
  } else if (type == "NFC") {
    steps_.emplace_back(Unicode{UTF8PROC_COMPOSE});
  } else if (type == "NFD") {
    steps_.emplace_back(Unicode{UTF8PROC_DECOMPOSE});
  } else if (type == "NFKC") {
    steps_.emplace_back(Unicode{UTF8PROC_COMPOSE | UTF8PROC_COMPAT});
  } else if (type == "NFKD") {
    steps_.emplace_back(Unicode{UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT});
  } else if (type == "Lowercase") {
    steps_.emplace_back(Lowercase{});
  } else if (type == "StripAccents") {
    steps_.emplace_back(StripAccents{});
  } else if (type == "ByteLevel") {
    steps_.emplace_back(ByteLevel{});
  } else if (type == "Strip") {
    steps_.emplace_back(
        Strip{json_bool(json, "strip_left", true, inside), json_bool(json, "strip_right", true, inside)});
  } else if (type == "Prepend") {
    steps_.emplace_back(Prepend{json_string(json, "prepend", inside)});
  } else if (type == "Replace") {
    const auto pattern = json.find("pattern");
    if (pattern == json.end()) fail_input("{}: \"pattern\" is missing", inside);
    steps_.emplace_back(Replace{Pattern::from_json(*pattern, inside), json_string(json, "content", inside)});
  } else {
    fail_input("{}: the type \"{}\" is not supported", place, type);
  }
}

std::string Normalizer::run(const Step& step, std::string_view text) {
  if (const auto* unicode = std::get_if<Unicode>(&step)) return normalize_unicode(text, unicode->options);
  if (std::holds_alternative<Lowercase>(step)) return lowercase(text);
  if (std::holds_alternative<StripAccents>(step)) return strip_accents(text);
  if (std::holds_alternative<ByteLevel>(step)) return ByteAlphabet::get().spell(text);
  if (const auto* sides = std::get_if<Strip>(&step)) return std::string(strip(text, sides->left, sides->right));
  if (const auto* prepend = std::get_if<Prepend>(&step)) return text.empty() ? "" : prepend->text + std::string(text);
  const auto& replace = std::get<Replace>(step);
  return replace.pattern.replace(text, replace.content);
}

std::string Normalizer::apply(std::string_view text) const {
  if (steps_.empty()) return std::string(text);
  std::string result = run(steps_.front(), text);
  for (size_t i = 1; i < steps_.size(); ++i) result = run(steps_[i], result);
  return result;
}

}  // namespace paro::tokenizer
