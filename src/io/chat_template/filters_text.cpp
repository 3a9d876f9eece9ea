// Filters that make or read text.
#include <algorithm>

#include "io/chat_template/access.h"
#include "io/chat_template/bind.h"
#include "io/chat_template/format.h"
#include "io/chat_template/methods.h"
#include "io/chat_template/split.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

/// str(value) unless it is a string already.
Value soft_string(Runtime& runtime, const Value& value) {
  return value.is_string() ? value : runtime.string(runtime.str(value));
}

template <std::string (*Convert)(std::string_view)>
Value convert(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "filter", call, {});
  Value text = soft_string(runtime, self);
  runtime.charge_bytes(text.text().size() * 8);
  return runtime.string(Convert(text.text()), text.markup());
}

/// Words begin after white space and any of -({[<.
std::string title(std::string_view text) {
  std::string out, word;
  auto flush = [&] {
    size_t first = 0;
    if (!word.empty()) next_char(word, first);
    out += to_upper(std::string_view(word).substr(0, first)) + to_lower(std::string_view(word).substr(first));
    word.clear();
  };
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t c = next_char(text, at);
    bool breaks = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(c);
    if (breaks) flush();
    (breaks ? out : word) += text.substr(begin, at - begin);
  }
  flush();
  return out;
}

Value trim(Runtime& runtime, const Value& self, Call& call) {
  auto [chars] = bind<1>(runtime, "trim", call, {"chars"});
  Call inner;
  if (!chars.is_missing()) inner.args.push_back(chars);
  return method_strip(runtime, soft_string(runtime, self), inner);
}

Value string(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "string", call, {});
  return soft_string(runtime, self);
}

Value safe(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "safe", call, {});
  return runtime.string(runtime.str(self), true);
}

Value escape(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "escape", call, {});
  if (self.is_string() && self.markup()) return self;
  return runtime.string(escape_html(runtime.str(self)), true);
}

Value forceescape(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "forceescape", call, {});
  return runtime.string(escape_html(runtime.str(self)), true);
}

Value replace_filter(Runtime& runtime, const Value& self, Call& call) {
  auto [from, to, count] = bind<3>(runtime, "replace", call, {"old", "new", "count"}, 2);
  // str(s): the result is no markup, and the others are taken as they print.
  Value text = self.is_string() && !self.markup() ? self : runtime.string(runtime.str(self));
  std::string old_text = runtime.str(from), new_text = runtime.str(to);
  int64_t limit = count.is_none() ? -1 : int_argument(runtime, "replace", count, -1);
  return replace_text(runtime, text, old_text, new_text, limit);
}

Value center(Runtime& runtime, const Value& self, Call& call) {
  auto [width] = bind<1>(runtime, "center", call, {"width"});
  Value text = soft_string(runtime, self);
  Call inner;
  inner.args.push_back(width.is_missing() ? Value(int64_t{80}) : width);
  return find_named(string_methods(), "center", nullptr)(runtime, text, inner);
}

Value indent(Runtime& runtime, const Value& self, Call& call) {
  auto [width, first, blank] = bind<3>(runtime, "indent", call, {"width", "first", "blank"});
  std::string_view text = text_argument(runtime, "indent", self);
  std::string indention;
  if (!width.is_missing() && width.is_string()) {
    indention = width.text();
  } else {
    int64_t count = std::max<int64_t>(0, int_argument(runtime, "indent", width, 4));
    runtime.check_size(static_cast<double>(count));
    indention.assign(static_cast<size_t>(count), ' ');
  }
  runtime.charge_bytes(text.size() * 4);
  std::string source(text);
  source += '\n';
  bool all = flag_argument(blank, false);
  std::vector<std::string_view> lines = split_lines(source, false);
  runtime.check_size(static_cast<double>(lines.size()) * static_cast<double>(indention.size() + 1) +
                     static_cast<double>(source.size()));
  std::string out = flag_argument(first, false) ? indention : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out += '\n';
      if (all || !lines[i].empty()) out += indention;
    }
    out += lines[i];
  }
  return runtime.string(std::move(out), self.markup());
}

Value truncate(Runtime& runtime, const Value& self, Call& call) {
  auto [size, kill, mark, spare] = bind<4>(runtime, "truncate", call, {"length", "killwords", "end", "leeway"});
  int64_t length = int_argument(runtime, "truncate", size, 255);
  std::string_view end = mark.is_missing() ? "..." : text_argument(runtime, "truncate", mark);
  int64_t leeway = spare.is_missing() || spare.is_none() ? 5 : int_argument(runtime, "truncate", spare, 5);
  std::string_view text = text_argument(runtime, "truncate", self);
  int64_t end_length = count_chars(end);
  if (length < end_length || leeway < 0) runtime.fail("truncate: the length must be at least that of its end");
  if (runtime.length(self) <= length + leeway) return self;
  std::string_view kept = text.substr(0, char_offset(text, length - end_length));
  if (!flag_argument(kill, false)) {
    if (size_t space = kept.rfind(' '); space != std::string_view::npos) kept = kept.substr(0, space);
  }
  return runtime.string(std::string(kept) + std::string(end), self.markup());
}

Value wordcount(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "wordcount", call, {});
  Value text = soft_string(runtime, self);
  runtime.charge_bytes(text.text().size() * 4);
  int64_t count = 0;
  bool in_word = false;
  for (size_t at = 0; at < text.text().size();) {
    char32_t c = next_char(text.text(), at);
    bool word = c == '_' || is_alnum(c);
    if (word && !in_word) ++count;
    in_word = word;
  }
  return Value(count);
}

Value format(Runtime& runtime, const Value& self, Call& call) {
  if (!call.args.empty() && !call.keywords.empty()) {
    runtime.fail("can't handle positional and keyword arguments at the same time");
  }
  Value text = soft_string(runtime, self);
  if (call.keywords.empty()) return printf_format(runtime, text, runtime.tuple(call.args));
  Value values = runtime.dict();
  for (const auto& [name, value] : call.keywords) runtime.dict_set(values, runtime.string(name), value);
  return printf_format(runtime, text, values);
}

Value join(Runtime& runtime, const Value& self, Call& call) {
  auto [separator, attribute] = bind<2>(runtime, "join", call, {"d", "attribute"});
  return join_values(runtime, self, separator, attribute);
}

Value tojson(Runtime& runtime, const Value& self, Call& call) {
  auto [ascii, indent_by, separators, sort] =
      bind<4>(runtime, "tojson", call, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = flag_argument(ascii, false);
  style.sort_keys = flag_argument(sort, false);
  if (!indent_by.is_missing() && !indent_by.is_none()) {
    style.pretty = true;
    style.item_separator.assign(1, ',');
    if (indent_by.is_string()) {
      style.indent = indent_by.text();
    } else {
      int64_t count = std::max<int64_t>(0, int_argument(runtime, "tojson", indent_by, 0));
      runtime.check_size(static_cast<double>(count));
      style.indent.assign(static_cast<size_t>(count), ' ');
    }
  }
  if (!separators.is_missing() && !separators.is_none()) {
    std::vector<Value> pair = runtime.collect(separators);
    if (pair.size() != 2) runtime.fail("tojson: separators must be a pair");
    style.item_separator = text_argument(runtime, "tojson", pair[0]);
    style.key_separator = text_argument(runtime, "tojson", pair[1]);
  }
  return runtime.string(to_json(runtime, self, style));
}

constexpr NamedBuiltin kFilters[] = {
    {"upper", convert<to_upper>},
    {"lower", convert<to_lower>},
    {"capitalize", convert<capitalize>},
    {"title", convert<title>},
    {"trim", trim},
    {"string", string},
    {"safe", safe},
    {"escape", escape},
    {"e", escape},
    {"forceescape", forceescape},
    {"replace", replace_filter},
    {"center", center},
    {"indent", indent},
    {"truncate", truncate},
    {"wordcount", wordcount},
    {"format", format},
    {"join", join},
    {"tojson", tojson},
};

}  // namespace

std::span<const NamedBuiltin> text_filters() { return kFilters; }

}  // namespace paro::jinja
