// Filters that compare items: sort, unique, min, max, groupby, dictsort.
#include <algorithm>

#include "io/chat_template/access.h"
#include "io/chat_template/bind.h"
#include "io/chat_template/methods.h"
#include "io/chat_template/split.h"

namespace paro::jinja {
namespace {

using Keyed = std::pair<Value, Value>;  // key, item

Value maybe_ignore_case(Runtime& runtime, const Value& value, bool case_sensitive) {
  return case_sensitive ? value : ignore_case(runtime, value);
}

std::vector<Keyed> keyed(Runtime& runtime, const Value& iterable, const AttributePath& path, bool case_sensitive,
                         const Value& fallback = Value::missing()) {
  std::vector<Keyed> out;
  for (Value& item : runtime.collect(iterable)) {
    Value key = maybe_ignore_case(runtime, path.get(runtime, item, fallback), case_sensitive);
    out.emplace_back(std::move(key), std::move(item));
  }
  return out;
}

void sort_keyed(Runtime& runtime, std::vector<Keyed>& items, bool reverse) {
  // Like Python: stable in both directions.
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    return reverse ? runtime.less(b.first, a.first) : runtime.less(a.first, b.first);
  });
}

std::vector<Value> values_of(std::vector<Keyed>& items) {
  std::vector<Value> out;
  out.reserve(items.size());
  for (Keyed& item : items) out.push_back(std::move(item.second));
  return out;
}

Value sort(Runtime& runtime, const Value& self, Call& call) {
  auto [reverse, sensitive, attribute] = bind<3>(runtime, "sort", call, {"reverse", "case_sensitive", "attribute"});
  bool case_sensitive = flag_argument(sensitive, false);
  std::vector<AttributePath> paths;
  if (!attribute.is_missing() && attribute.is_string()) {
    for (std::string_view part : split_by(attribute.text(), ",", -1, false)) {
      paths.emplace_back(runtime, runtime.string(std::string(part)));
    }
  } else {
    paths.emplace_back(runtime, attribute);
  }
  std::vector<Keyed> items;
  for (Value& item : runtime.collect(self)) {
    std::vector<Value> keys;
    for (const AttributePath& path : paths) {
      keys.push_back(maybe_ignore_case(runtime, path.get(runtime, item), case_sensitive));
    }
    items.emplace_back(runtime.list(std::move(keys)), std::move(item));
  }
  sort_keyed(runtime, items, flag_argument(reverse, false));
  return runtime.list(values_of(items));
}

Value unique(Runtime& runtime, const Value& self, Call& call) {
  auto [sensitive, attribute] = bind<2>(runtime, "unique", call, {"case_sensitive", "attribute"});
  AttributePath path(runtime, attribute);
  bool case_sensitive = flag_argument(sensitive, false);
  Value seen = runtime.dict();
  // Not through lazily(): an empty iterable that is no iterable must fail when it is consumed, too.
  std::vector<Value> out;
  for (auto& [key, item] : keyed(runtime, self, path, case_sensitive)) {
    if (!hashable(key)) return runtime.generator(std::move(out), fmt::format("unhashable type: '{}'", type_name(key)));
    if (seen.dict().find(key) != nullptr) continue;
    runtime.dict_set(seen, key, Value());
    out.push_back(item);
  }
  return runtime.generator(std::move(out));
}

template <bool Largest>
Value extreme(Runtime& runtime, const Value& self, Call& call) {
  auto [sensitive, attribute] = bind<2>(runtime, "min", call, {"case_sensitive", "attribute"});
  AttributePath path(runtime, attribute);
  std::vector<Keyed> items = keyed(runtime, self, path, flag_argument(sensitive, false));
  if (items.empty()) return runtime.undefined_message("No aggregated item, sequence was empty.");
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    bool better = Largest ? runtime.less(items[best].first, items[i].first, ">")
                          : runtime.less(items[i].first, items[best].first);
    if (better) best = i;
  }
  return items[best].second;
}

Value dictsort(Runtime& runtime, const Value& self, Call& call) {
  auto [sensitive, by, reverse] = bind<3>(runtime, "dictsort", call, {"case_sensitive", "by", "reverse"});
  std::string_view which = by.is_missing() ? "key" : text_argument(runtime, "dictsort", by);
  if (which != "key" && which != "value") runtime.fail("you can only sort by either \"key\" or \"value\"");
  if (self.is_undefined()) runtime.fail_undefined(self);
  if (!self.is_dict()) runtime.fail(fmt::format("'{}' object has no attribute 'items'", type_name(self)));
  std::vector<Keyed> items;
  for (const auto& [key, value] : self.dict().entries) {
    Value sort_key = maybe_ignore_case(runtime, which == "key" ? key : value, flag_argument(sensitive, false));
    items.emplace_back(std::move(sort_key), runtime.tuple({key, value}));
  }
  sort_keyed(runtime, items, flag_argument(reverse, false));
  return runtime.list(values_of(items));
}

Value groupby(Runtime& runtime, const Value& self, Call& call) {
  auto [attribute, fallback, sensitive] =
      bind<3>(runtime, "groupby", call, {"attribute", "default", "case_sensitive"}, 1);
  bool case_sensitive = flag_argument(sensitive, false);
  AttributePath path(runtime, attribute);
  std::vector<Keyed> items = keyed(runtime, self, path, case_sensitive, fallback);
  sort_keyed(runtime, items, false);
  std::vector<Value> out;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin;
    std::vector<Value> members;
    while (end < items.size() && runtime.equals(items[begin].first, items[end].first))
      members.push_back(items[end++].second);
    Value key = case_sensitive ? items[begin].first : path.get(runtime, members[0], fallback);
    out.push_back(runtime.tuple({key, runtime.list(std::move(members))}));
    begin = std::max(end, begin + 1);
  }
  return runtime.list(std::move(out));
}

constexpr NamedBuiltin kFilters[] = {
    {"sort", sort},         {"unique", unique},     {"min", extreme<false>},
    {"max", extreme<true>}, {"dictsort", dictsort}, {"groupby", groupby},
};

}  // namespace

std::span<const NamedBuiltin> order_filters() { return kFilters; }

}  // namespace paro::jinja
