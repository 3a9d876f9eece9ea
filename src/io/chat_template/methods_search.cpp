// str methods that ask about text, and the methods of containers.
#include <algorithm>

#include "io/chat_template/bind.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/methods.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

/// The part [start, end) of `self` in characters, and its byte offset; false when start lies behind the end.
bool window(Runtime& runtime, const Value& self, const Value& start, const Value& end, std::string_view* text,
            int64_t* first) {
  int64_t size = runtime.length(self);
  auto bound = [&](const Value& value, int64_t fallback) {
    if (value.is_missing() || value.is_none()) return fallback;
    int64_t index = int_argument(runtime, "find", value, 0);
    return index < 0 ? std::max<int64_t>(0, index + size) : index;
  };
  int64_t begin = bound(start, 0), stop = std::min(bound(end, size), size);
  if (begin > stop) return false;
  size_t offset = char_offset(self.text(), begin);
  *text = self.text().substr(offset, char_offset(self.text().substr(offset), stop - begin));
  *first = begin;
  return true;
}

int64_t find_in(Runtime& runtime, const Value& self, Call& call, bool reverse) {
  auto [sub, start, end] = bind<3>(runtime, "find", call, {"/sub", "/start", "/end"}, 1);
  std::string_view what = text_argument(runtime, "find", sub), text;
  runtime.charge_bytes(self.text().size() * 2);
  int64_t first = 0;
  if (!window(runtime, self, start, end, &text, &first)) return -1;
  size_t at = reverse ? text.rfind(what) : text.find(what);
  return at == std::string_view::npos ? -1 : first + count_chars(text.substr(0, at));
}

template <bool Reverse, bool MustExist>
Value find(Runtime& runtime, const Value& self, Call& call) {
  int64_t at = find_in(runtime, self, call, Reverse);
  if (MustExist && at < 0) runtime.fail("substring not found");
  return Value(at);
}

Value count(Runtime& runtime, const Value& self, Call& call) {
  auto [sub, start, end] = bind<3>(runtime, "count", call, {"/sub", "/start", "/end"}, 1);
  std::string_view what = text_argument(runtime, "count", sub), text;
  runtime.charge_bytes(self.text().size() * 2);
  int64_t first = 0, out = 0;
  if (!window(runtime, self, start, end, &text, &first)) return Value(int64_t{0});
  if (what.empty()) return Value(count_chars(text) + 1);
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size())) ++out;
  return Value(out);
}

template <bool Suffix>
Value has_affix(Runtime& runtime, const Value& self, Call& call) {
  auto [affix, start, end] = bind<3>(runtime, "startswith", call, {"/prefix", "/start", "/end"}, 1);
  std::string_view text;
  int64_t first = 0;
  bool inside = true;
  if (start.is_missing()) {
    text = self.text();
  } else {
    inside = window(runtime, self, start, end, &text, &first);
  }
  auto matches = [&](const Value& value) {
    std::string_view what = text_argument(runtime, "startswith", value);
    return inside && (Suffix ? text.ends_with(what) : text.starts_with(what));
  };
  if (!affix.is(Type::kTuple)) return Value(matches(affix));
  runtime.charge(static_cast<int64_t>(affix.items().size()));
  return Value(std::any_of(affix.items().begin(), affix.items().end(), matches));
}

template <bool (*Test)(char32_t)>
Value all_chars(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "str method", call, {});
  runtime.charge_bytes(self.text().size() * 4);
  for (size_t at = 0; at < self.text().size();) {
    if (!Test(next_char(self.text(), at))) return Value(false);
  }
  return Value(!self.text().empty());
}

/// Cased letters exist and none is of the other kind.
template <bool (*Other)(char32_t)>
Value cased(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "str method", call, {});
  runtime.charge_bytes(self.text().size() * 4);
  bool any = false;
  for (size_t at = 0; at < self.text().size();) {
    char32_t c = next_char(self.text(), at);
    if (!is_cased(c)) continue;
    if (Other(c)) return Value(false);
    any = true;
  }
  return Value(any);
}

bool not_lower(char32_t c) { return !is_lower(c); }
bool not_upper(char32_t c) { return !is_upper(c); }

Value isascii(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "isascii", call, {});
  auto ascii = [](char c) { return static_cast<unsigned char>(c) < 128; };
  return Value(std::all_of(self.text().begin(), self.text().end(), ascii));
}

Value isprintable(Runtime& runtime, const Value& self, Call& call) {
  if (self.text().empty()) return Value(true);
  return all_chars<is_printable>(runtime, self, call);
}

Value istitle(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "istitle", call, {});
  runtime.charge_bytes(self.text().size() * 4);
  bool in_word = false, any = false;
  for (size_t at = 0; at < self.text().size();) {
    char32_t c = next_char(self.text(), at);
    if (is_cased(c)) {
      if (is_lower(c) != in_word) return Value(false);
      any = true;
    }
    in_word = is_cased(c);
  }
  return Value(any);
}

Value isidentifier(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "isidentifier", call, {});
  size_t at = 0;
  if (self.text().empty()) return Value(false);
  char32_t first = next_char(self.text(), at);
  bool valid = first == '_' || is_alpha(first);
  while (valid && at < self.text().size()) {
    char32_t c = next_char(self.text(), at);
    valid = c == '_' || is_alpha(c) || is_decimal(c);
  }
  return Value(valid);
}

constexpr NamedBuiltin kSearch[] = {
    {"startswith", has_affix<false>},
    {"endswith", has_affix<true>},
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"rindex", find<true, true>},
    {"count", count},
    {"isdigit", all_chars<is_digit>},
    {"isdecimal", all_chars<is_decimal>},
    {"isnumeric", all_chars<is_numeric>},
    {"isalpha", all_chars<is_alpha>},
    {"isalnum", all_chars<is_alnum>},
    {"isspace", all_chars<is_space>},
    {"islower", cased<not_lower>},
    {"isupper", cased<not_upper>},
    {"istitle", istitle},
    {"isascii", isascii},
    {"isprintable", isprintable},
    {"isidentifier", isidentifier},
};

template <ViewKind Kind>
Value dict_view(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "dict view", call, {});
  return runtime.view(Kind, self);
}

Value dict_get(Runtime& runtime, const Value& self, Call& call) {
  auto [key, fallback] = bind<2>(runtime, "get", call, {"/key", "/default"}, 1);
  if (!hashable(key)) runtime.fail(fmt::format("unhashable type: '{}'", type_name(key)));
  const Value* found = self.dict().find(key);
  if (found != nullptr) return *found;
  return fallback.is_missing() ? Value() : fallback;
}

Value dict_copy(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "copy", call, {});
  Value out = runtime.dict();
  for (const auto& [key, value] : self.dict().entries) {
    runtime.charge();
    runtime.dict_set(out, key, value);
  }
  return out;
}

Value list_copy(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "copy", call, {});
  return runtime.list(runtime.collect(self));
}

Value list_index(Runtime& runtime, const Value& self, Call& call) {
  auto [value, start, stop] = bind<3>(runtime, "index", call, {"/value", "/start", "/stop"}, 1);
  auto size = static_cast<int64_t>(self.items().size());
  auto bound = [&](const Value& at, int64_t fallback) {
    int64_t index = int_argument(runtime, "index", at, fallback);
    return std::clamp<int64_t>(index < 0 ? index + size : index, 0, size);
  };
  for (int64_t i = bound(start, 0), end = bound(stop, size); i < end; ++i) {
    if (runtime.equals(self.items()[static_cast<size_t>(i)], value)) return Value(i);
  }
  runtime.fail("the value is not in the list");
}

Value list_count(Runtime& runtime, const Value& self, Call& call) {
  auto [value] = bind<1>(runtime, "count", call, {"/value"}, 1);
  int64_t out = 0;
  for (const Value& item : self.items()) out += runtime.equals(item, value) ? 1 : 0;
  return Value(out);
}

Value cycler_next(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "next", call, {});
  auto& cycler = self.as<CyclerObject>();
  Value out = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return out;
}

Value cycler_reset(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "reset", call, {});
  self.as<CyclerObject>().position = 0;
  return Value();
}

constexpr NamedBuiltin kDict[] = {{"items", dict_view<ViewKind::kItems>},
                                  {"keys", dict_view<ViewKind::kKeys>},
                                  {"values", dict_view<ViewKind::kValues>},
                                  {"get", dict_get},
                                  {"copy", dict_copy}};
constexpr NamedBuiltin kList[] = {{"index", list_index}, {"count", list_count}, {"copy", list_copy}};
constexpr NamedBuiltin kCycler[] = {{"next", cycler_next}, {"reset", cycler_reset}};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update", "fromkeys"};
constexpr std::string_view kListChanges[] = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"};

}  // namespace

std::span<const NamedBuiltin> string_search_methods() { return kSearch; }

Builtin find_method(const Value& self, std::string_view name, const char** stored, bool* forbidden) {
  auto hidden = [&](std::span<const std::string_view> names) {
    if (std::find(names.begin(), names.end(), name) != names.end()) *forbidden = true;
    return static_cast<Builtin>(nullptr);
  };
  switch (self.type()) {
    case Type::kString:
      if (Builtin method = find_named(string_methods(), name, stored)) return method;
      return find_named(kSearch, name, stored);
    case Type::kDict:
      if (Builtin method = find_named(kDict, name, stored)) return method;
      return hidden(kDictChanges);
    case Type::kList:
      if (Builtin method = find_named(kList, name, stored)) return method;
      return hidden(kListChanges);
    case Type::kTuple: return name == "copy" ? nullptr : find_named(kList, name, stored);
    case Type::kCycler: return find_named(kCycler, name, stored);
    default: return nullptr;
  }
}

}  // namespace paro::jinja
