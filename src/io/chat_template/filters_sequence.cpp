// Filters over sequences, item by item.
#include <algorithm>

#include "io/chat_template/access.h"
#include "io/chat_template/bind.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/methods.h"
#include "io/chat_template/split.h"

namespace paro::jinja {
namespace {

Value length(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "length", call, {});
  return Value(runtime.length(self));
}

Value list(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "list", call, {});
  return runtime.list(runtime.collect(self));
}

Value items(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "items", call, {});
  if (!self.is_undefined() && !self.is_dict()) {
    return runtime.generator({}, "Can only get item pairs from a mapping.");
  }
  std::vector<Value> out;
  if (self.is_dict()) out = runtime.collect(runtime.view(ViewKind::kItems, self));
  return runtime.generator(std::move(out));
}

Value first(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "first", call, {});
  Iterator iterator(runtime, self);
  Value out;
  return iterator.next(out) ? out : runtime.undefined_message("No first item, sequence was empty.");
}

std::vector<Value> reversed(Runtime& runtime, const Value& self) {
  if (self.is(Type::kGenerator)) runtime.fail("'generator' object is not reversible");
  std::vector<Value> out = runtime.collect(self);
  std::reverse(out.begin(), out.end());
  return out;
}

Value last(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "last", call, {});
  if (self.is_sequence() && !self.items().empty()) return self.items().back();
  if (self.is_string() && !self.text().empty()) return runtime.item(self, Value(int64_t{-1}));
  std::vector<Value> out = reversed(runtime, self);
  return out.empty() ? runtime.undefined_message("No last item, sequence was empty.") : out[0];
}

Value reverse(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "reverse", call, {});
  if (self.is_string()) return runtime.slice(self, Value(), Value(), Value(int64_t{-1}));
  if (self.is(Type::kGenerator)) {
    std::vector<Value> out = runtime.collect(self);
    std::reverse(out.begin(), out.end());
    return runtime.list(std::move(out));
  }
  return runtime.generator(reversed(runtime, self));
}

Value map(Runtime& runtime, const Value& self, Call& call) {
  if (call.args.empty() && !call.keywords.empty()) {
    Value attribute = Value::missing(), fallback = Value::missing();
    for (auto& [name, value] : call.keywords) {
      if (name == "attribute") {
        attribute = value;
      } else if (name == "default") {
        fallback = value;
      } else {
        runtime.fail(fmt::format("map: unexpected keyword argument '{}'", name));
      }
    }
    if (attribute.is_missing()) runtime.fail("map requires a filter argument");
    AttributePath path(runtime, attribute);
    return lazily(runtime, self, [&](const Value& item, std::vector<Value>& out) {
      out.push_back(path.get(runtime, item, fallback));
    });
  }
  return lazily(runtime, self, [&](const Value& item, std::vector<Value>& out) {
    if (call.args.empty()) runtime.fail("map requires a filter argument");
    Builtin filter = call.args[0].is_string() ? find_filter(call.args[0].text()) : nullptr;
    if (filter == nullptr) runtime.fail(fmt::format("no filter named '{}'", runtime.str(call.args[0])));
    Call inner;
    inner.args.assign(call.args.begin() + 1, call.args.end());
    inner.keywords = call.keywords;
    out.push_back(filter(runtime, item, inner));
  });
}

Value choose(Runtime& runtime, const Value& self, Call& call, bool wanted, bool by_attribute) {
  return lazily(runtime, self, [&](const Value& item, std::vector<Value>& out) {
    size_t at = by_attribute ? 1 : 0;
    if (call.args.size() < at) runtime.fail("missing parameter for attribute name");
    Value subject = by_attribute ? AttributePath(runtime, call.args[0]).get(runtime, item) : item;
    bool passes;
    if (call.args.size() > at) {
      Builtin test = call.args[at].is_string() ? find_test(call.args[at].text()) : nullptr;
      if (test == nullptr) runtime.fail(fmt::format("no test named '{}'", runtime.str(call.args[at])));
      Call inner;
      inner.args.assign(call.args.begin() + static_cast<ptrdiff_t>(at) + 1, call.args.end());
      inner.keywords = call.keywords;
      passes = truthy(test(runtime, subject, inner));
    } else {
      passes = truthy(subject);
    }
    if (passes == wanted) out.push_back(item);
  });
}

template <bool Wanted, bool ByAttribute>
Value choose_filter(Runtime& runtime, const Value& self, Call& call) {
  return choose(runtime, self, call, Wanted, ByAttribute);
}

Value batch(Runtime& runtime, const Value& self, Call& call) {
  auto [count, fill] = bind<2>(runtime, "batch", call, {"linecount", "fill_with"}, 1);
  int64_t size = int_argument(runtime, "batch", count, 0);
  std::vector<Value> rows, row;
  for (Value& item : runtime.collect(self)) {
    if (static_cast<int64_t>(row.size()) == size) rows.push_back(runtime.list(std::exchange(row, {})));
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    if (!fill.is_missing() && !fill.is_none() && size > static_cast<int64_t>(row.size())) {
      runtime.check_size(static_cast<double>(size) * sizeof(Value));
      row.resize(static_cast<size_t>(size), fill);
    }
    rows.push_back(runtime.list(std::move(row)));
  }
  return runtime.generator(std::move(rows));
}

Value slice(Runtime& runtime, const Value& self, Call& call) {
  auto [count, fill] = bind<2>(runtime, "slice", call, {"slices", "fill_with"}, 1);
  std::vector<Value> items = runtime.collect(self), out;
  int64_t slices = int_argument(runtime, "slice", count, 0);
  if (slices == 0) return runtime.generator({}, "integer division or modulo by zero");
  runtime.check_size(static_cast<double>(slices) * sizeof(Value));
  auto size = static_cast<int64_t>(items.size());
  int64_t begin = 0;
  for (int64_t i = 0; i < slices; ++i) {
    runtime.charge();
    bool extra = i < size % slices;
    int64_t end = begin + size / slices + (extra ? 1 : 0);
    std::vector<Value> part(items.begin() + begin, items.begin() + end);
    if (!fill.is_missing() && !fill.is_none() && !extra) part.push_back(fill);
    out.push_back(runtime.list(std::move(part)));
    begin = end;
  }
  return runtime.generator(std::move(out));
}

Value sum(Runtime& runtime, const Value& self, Call& call) {
  auto [attribute, start] = bind<2>(runtime, "sum", call, {"attribute", "start"});
  AttributePath path(runtime, attribute);
  Value total = start.is_missing() ? Value(int64_t{0}) : start;
  if (total.is_string()) runtime.fail("sum() can't sum strings");
  Iterator iterator(runtime, self);
  for (Value item; iterator.next(item);) total = runtime.add(total, path.get(runtime, item));
  return total;
}

constexpr NamedBuiltin kFilters[] = {
    {"length", length},
    {"count", length},
    {"list", list},
    {"items", items},
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"map", map},
    {"select", choose_filter<true, false>},
    {"reject", choose_filter<false, false>},
    {"selectattr", choose_filter<true, true>},
    {"rejectattr", choose_filter<false, true>},
    {"batch", batch},
    {"slice", slice},
    {"sum", sum},
};

}  // namespace

std::span<const NamedBuiltin> sequence_filters() { return kFilters; }

}  // namespace paro::jinja
