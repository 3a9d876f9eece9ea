// str methods that make text.
#include <algorithm>

#include "io/chat_template/bind.h"
#include "io/chat_template/format.h"
#include "io/chat_template/methods.h"
#include "io/chat_template/split.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

/// Text that goes into `self` (markup escapes what is none).
std::string piece(const Value& self, std::string_view text, bool markup) {
  return self.markup() && !markup ? escape_html(text) : std::string(text);
}

template <std::string (*Convert)(std::string_view)>
Value convert(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "str method", call, {});
  runtime.charge_bytes(self.text().size() * 8);
  return runtime.string(Convert(self.text()), self.markup());
}

Value strip_side(Runtime& runtime, const Value& self, Call& call, bool left, bool right) {
  auto [chars] = bind<1>(runtime, "strip", call, {"/chars"});
  runtime.charge_bytes(self.text().size());
  bool any = chars.is_missing() || chars.is_none();
  std::string_view set = any ? std::string_view() : text_argument(runtime, "strip", chars);
  if (set.size() > 16) runtime.charge_bytes(self.text().size() * set.size() / 4);
  std::string_view text = strip(self.text(), any ? nullptr : &set, left, right);
  if (text.size() == self.text().size()) return self;
  return runtime.string(std::string(text), self.markup());
}

Value lstrip(Runtime& runtime, const Value& self, Call& call) { return strip_side(runtime, self, call, true, false); }
Value rstrip(Runtime& runtime, const Value& self, Call& call) { return strip_side(runtime, self, call, false, true); }

Value pieces(Runtime& runtime, const Value& self, const std::vector<std::string_view>& parts) {
  runtime.charge(1 + static_cast<int64_t>(parts.size()));
  runtime.check_size(static_cast<double>(parts.size()) * sizeof(Value));
  std::vector<Value> out;
  out.reserve(parts.size());
  for (std::string_view part : parts) out.push_back(runtime.string(std::string(part), self.markup()));
  return runtime.list(std::move(out));
}

Value split_side(Runtime& runtime, const Value& self, Call& call, bool reverse) {
  auto [separator, maximum] = bind<2>(runtime, "split", call, {"sep", "maxsplit"});
  int64_t limit = int_argument(runtime, "split", maximum, -1);
  std::string_view text = self.text();
  runtime.charge_bytes(text.size() * 4);
  runtime.check_size(static_cast<double>(text.size()));
  if (separator.is_missing() || separator.is_none()) return pieces(runtime, self, split_space(text, limit, reverse));
  std::string_view by = text_argument(runtime, "split", separator);
  if (by.empty()) runtime.fail("empty separator");
  return pieces(runtime, self, split_by(text, by, limit, reverse));
}

Value split(Runtime& runtime, const Value& self, Call& call) { return split_side(runtime, self, call, false); }
Value rsplit(Runtime& runtime, const Value& self, Call& call) { return split_side(runtime, self, call, true); }

Value splitlines(Runtime& runtime, const Value& self, Call& call) {
  auto [keep] = bind<1>(runtime, "splitlines", call, {"keepends"});
  runtime.charge_bytes(self.text().size() * 4);
  return pieces(runtime, self, split_lines(self.text(), flag_argument(keep, false)));
}

Value partition_side(Runtime& runtime, const Value& self, Call& call, bool reverse) {
  auto [separator] = bind<1>(runtime, "partition", call, {"/sep"}, 1);
  std::string_view by = text_argument(runtime, "partition", separator), text = self.text();
  if (by.empty()) runtime.fail("empty separator");
  runtime.charge_bytes(text.size());
  size_t at = reverse ? text.rfind(by) : text.find(by);
  auto part = [&](std::string_view value) { return runtime.string(std::string(value), self.markup()); };
  if (at != std::string_view::npos) {
    return runtime.tuple({part(text.substr(0, at)), part(by), part(text.substr(at + by.size()))});
  }
  return reverse ? runtime.tuple({part(""), part(""), self}) : runtime.tuple({self, part(""), part("")});
}

Value partition(Runtime& runtime, const Value& self, Call& call) { return partition_side(runtime, self, call, false); }
Value rpartition(Runtime& runtime, const Value& self, Call& call) { return partition_side(runtime, self, call, true); }

Value replace_method(Runtime& runtime, const Value& self, Call& call) {
  auto [from, to, count] = bind<3>(runtime, "replace", call, {"/old", "/new", "/count"}, 2);
  text_argument(runtime, "replace", from);
  std::string_view with = text_argument(runtime, "replace", to);
  return replace_text(runtime, self, from.text(), piece(self, with, to.markup()),
                      int_argument(runtime, "replace", count, -1));
}

Value remove_affix(Runtime& runtime, const Value& self, Call& call, bool suffix) {
  auto [affix] = bind<1>(runtime, "removeprefix", call, {"/affix"}, 1);
  std::string_view cut = text_argument(runtime, "removeprefix", affix), text = self.text();
  if (suffix ? !text.ends_with(cut) : !text.starts_with(cut)) return self;
  return runtime.string(std::string(suffix ? text.substr(0, text.size() - cut.size()) : text.substr(cut.size())),
                        self.markup());
}

Value removeprefix(Runtime& runtime, const Value& self, Call& call) { return remove_affix(runtime, self, call, false); }
Value removesuffix(Runtime& runtime, const Value& self, Call& call) { return remove_affix(runtime, self, call, true); }

enum class Side { kLeft, kRight, kCenter };

Value justify(Runtime& runtime, const Value& self, Call& call, Side side) {
  auto [width, fill] = bind<2>(runtime, "justify", call, {"/width", "/fillchar"}, 1);
  std::string_view with = fill.is_missing() ? " " : text_argument(runtime, "justify", fill);
  if (count_chars(with) != 1) runtime.fail("the fill character must be exactly one character long");
  int64_t total = int_argument(runtime, "justify", width, 0), size = runtime.length(self);
  if (total <= size) return self;
  int64_t missing = total - size;
  runtime.check_size(static_cast<double>(missing) * static_cast<double>(with.size()) +
                     static_cast<double>(self.text().size()));
  runtime.charge_bytes(static_cast<size_t>(missing));
  int64_t left = side == Side::kLeft ? 0 : side == Side::kRight ? missing : missing / 2 + (missing & total & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += with;
  out += self.text();
  for (int64_t i = left; i < missing; ++i) out += with;
  return runtime.string(std::move(out), self.markup());
}

Value ljust(Runtime& runtime, const Value& self, Call& call) { return justify(runtime, self, call, Side::kLeft); }
Value rjust(Runtime& runtime, const Value& self, Call& call) { return justify(runtime, self, call, Side::kRight); }
Value center(Runtime& runtime, const Value& self, Call& call) { return justify(runtime, self, call, Side::kCenter); }

Value zfill(Runtime& runtime, const Value& self, Call& call) {
  auto [width] = bind<1>(runtime, "zfill", call, {"/width"}, 1);
  int64_t missing = int_argument(runtime, "zfill", width, 0) - runtime.length(self);
  if (missing <= 0) return self;
  runtime.check_size(static_cast<double>(missing));
  std::string_view text = self.text();
  size_t sign = text.starts_with("-") || text.starts_with("+") ? 1 : 0;
  std::string out(text.substr(0, sign));
  out.append(static_cast<size_t>(missing), '0');
  return runtime.string(out.append(text.substr(sign)), self.markup());
}

Value expandtabs(Runtime& runtime, const Value& self, Call& call) {
  auto [size] = bind<1>(runtime, "expandtabs", call, {"tabsize"});
  int64_t width = int_argument(runtime, "expandtabs", size, 8), column = 0;
  std::string out;
  std::string_view text = self.text();
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t c = next_char(text, at);
    if (c == '\t') {
      int64_t spaces = width > 0 ? width - column % width : 0;
      runtime.check_size(static_cast<double>(out.size()) + static_cast<double>(spaces));
      runtime.charge_bytes(static_cast<size_t>(spaces));
      out.append(static_cast<size_t>(spaces), ' ');
      column += spaces;
    } else {
      out += text.substr(begin, at - begin);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return runtime.string(std::move(out), self.markup());
}

Value format_method(Runtime& runtime, const Value& self, Call& call) { return str_format(runtime, self, call); }

Value format_map(Runtime& runtime, const Value& self, Call& call) {
  auto [mapping] = bind<1>(runtime, "format_map", call, {"/mapping"}, 1);
  if (!mapping.is_dict()) runtime.fail("format_map() expects a mapping");
  Call named;
  for (const auto& [key, value] : mapping.dict().entries) {
    if (key.is_string()) named.keywords.emplace_back(std::string(key.text()), value);
  }
  return str_format(runtime, self, named);
}

Value unsupported(Runtime& runtime, const Value&, Call&) { runtime.fail("this method of str is not supported"); }

constexpr NamedBuiltin kMethods[] = {
    {"strip", method_strip},
    {"lstrip", lstrip},
    {"rstrip", rstrip},
    {"split", split},
    {"rsplit", rsplit},
    {"splitlines", splitlines},
    {"partition", partition},
    {"rpartition", rpartition},
    {"replace", replace_method},
    {"join", method_join},
    {"format", format_method},
    {"format_map", format_map},
    {"upper", convert<to_upper>},
    {"lower", convert<to_lower>},
    {"casefold", convert<to_lower>},
    {"title", convert<to_title>},
    {"capitalize", convert<capitalize>},
    {"swapcase", convert<swap_case>},
    {"removeprefix", removeprefix},
    {"removesuffix", removesuffix},
    {"ljust", ljust},
    {"rjust", rjust},
    {"center", center},
    {"zfill", zfill},
    {"expandtabs", expandtabs},
    {"encode", unsupported},
    {"translate", unsupported},
    {"maketrans", unsupported},
};

}  // namespace

Value method_strip(Runtime& runtime, const Value& self, Call& call) {
  return strip_side(runtime, self, call, true, true);
}

Value method_join(Runtime& runtime, const Value& self, Call& call) {
  auto [iterable] = bind<1>(runtime, "join", call, {"/iterable"}, 1);
  std::string out;
  bool first = true;
  Iterator iterator(runtime, iterable);
  for (Value item; iterator.next(item);) {
    if (!item.is_string()) runtime.fail(fmt::format("sequence item: expected str instance, {} found", type_name(item)));
    if (!std::exchange(first, false)) out += self.text();
    out += piece(self, item.text(), item.markup());
    runtime.check_size(static_cast<double>(out.size()));
  }
  runtime.charge_bytes(out.size());
  return runtime.string(std::move(out), self.markup());
}

Value replace_text(Runtime& runtime, const Value& self, std::string_view from, std::string_view to, int64_t limit) {
  runtime.charge_bytes(self.text().size() * 4);
  if (!from.empty() && self.text().find(from) == std::string_view::npos) return self;
  double size = replaced_size(self.text(), from, to, limit);
  runtime.check_size(size);
  runtime.charge_bytes(static_cast<size_t>(size));
  return runtime.string(replace(self.text(), from, to, limit), self.markup());
}

std::span<const NamedBuiltin> string_methods() { return kMethods; }

}  // namespace paro::jinja
