// Comparison, iteration and access with Python's meaning.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/loop.h"
#include "io/chat_template/runtime.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

int compare_numbers(const Value& a, const Value& b, bool* unordered) {
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer();
  long double x = a.is_integer() ? static_cast<long double>(a.integer()) : a.number();
  long double y = b.is_integer() ? static_cast<long double>(b.integer()) : b.number();
  if (std::isnan(x) || std::isnan(y)) *unordered = true;
  return x < y ? -1 : x > y;
}

Value range_item(const RangeObject& range, int64_t index) { return Value(range.start + index * range.step); }

}  // namespace

bool Runtime::equals(const Value& a, const Value& b) {
  charge();
  if (a.is_string() && b.is_string()) {
    charge_bytes(std::min(a.text().size(), b.text().size()));
    return a.text() == b.text();
  }
  if (a.is_sequence() && a.type() == b.type()) {
    if (a.object() == b.object()) return true;
    const auto &x = a.items(), &y = b.items();
    if (x.size() != y.size()) return false;
    for (size_t i = 0; i < x.size(); ++i) {
      if (!equals(x[i], y[i])) return false;
    }
    return true;
  }
  if (a.is_dict() && b.is_dict()) {
    if (a.object() == b.object()) return true;
    if (a.dict().entries.size() != b.dict().entries.size()) return false;
    for (const auto& [key, value] : a.dict().entries) {
      charge();
      const Value* other = b.dict().find(key);
      if (other == nullptr || !equals(value, *other)) return false;
    }
    return true;
  }
  if (a.is_number() && b.is_number()) {
    bool unordered = false;
    return compare_numbers(a, b, &unordered) == 0 && !unordered;
  }
  return same_key(a, b);
}

bool Runtime::less(const Value& a, const Value& b, const char* symbol) {
  charge();
  if (a.is_number() && b.is_number()) {
    bool unordered = false;
    return compare_numbers(a, b, &unordered) < 0 && !unordered;
  }
  if (a.is_string() && b.is_string()) {
    charge_bytes(std::min(a.text().size(), b.text().size()));
    return a.text() < b.text();
  }
  if (a.is_sequence() && a.type() == b.type()) {
    const auto &x = a.items(), &y = b.items();
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equals(x[i], y[i])) return less(x[i], y[i], symbol);
    }
    return x.size() < y.size();
  }
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  fail(fmt::format("'{}' not supported between instances of '{}' and '{}'", symbol, type_name(a), type_name(b)));
}

bool Runtime::compare(Compare op, const Value& a, const Value& b) {
  switch (op) {
    case Compare::kEqual: return equals(a, b);
    case Compare::kNotEqual: return !equals(a, b);
    case Compare::kLess: return less(a, b);
    case Compare::kGreater: return less(b, a, ">");
    case Compare::kLessEqual:
    case Compare::kGreaterEqual: {
      const Value &low = op == Compare::kLessEqual ? a : b, &high = op == Compare::kLessEqual ? b : a;
      const char* symbol = op == Compare::kLessEqual ? "<=" : ">=";
      return less(low, high, symbol) || equals(low, high);
    }
    case Compare::kIn: return contains(b, a);
    case Compare::kNotIn: return !contains(b, a);
  }
  return false;
}

bool Runtime::contains(const Value& container, const Value& item) {
  switch (container.type()) {
    case Type::kString:
      if (!item.is_string())
        fail(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      charge_bytes(container.text().size());
      return container.text().find(item.text()) != std::string_view::npos;
    case Type::kDict:
      if (!hashable(item)) fail(fmt::format("unhashable type: '{}'", type_name(item)));
      return container.dict().find(item) != nullptr;
    case Type::kList:
    case Type::kTuple:
    case Type::kRange:
    case Type::kView:
    case Type::kGenerator:
    case Type::kUndefined: {
      Iterator iterator(*this, container);
      for (Value value; iterator.next(value);) {
        if (equals(value, item)) return true;
      }
      return false;
    }
    default: fail(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
}

bool Runtime::has_length(const Value& value) const {
  switch (value.type()) {
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kRange:
    case Type::kView:
    case Type::kUndefined:
    case Type::kLoop: return true;
    default: return false;
  }
}

int64_t Runtime::length(const Value& value) {
  switch (value.type()) {
    case Type::kString: {
      StringObject& string = value.string();
      if (string.points < 0) {
        charge_bytes(string.text.size());
        string.points = count_chars(string.text);
      }
      return string.points;
    }
    case Type::kList:
    case Type::kTuple: return static_cast<int64_t>(value.items().size());
    case Type::kDict: return static_cast<int64_t>(value.dict().entries.size());
    case Type::kRange: return value.as<RangeObject>().length;
    case Type::kView: return length(value.as<ViewObject>().dict);
    case Type::kUndefined: return 0;
    case Type::kLoop: return loop_length(value.as<LoopObject>());
    default: fail(fmt::format("object of type '{}' has no len()", type_name(value)));
  }
}

Iterator::Iterator(Runtime& runtime, Value source) : runtime_(runtime), source_(std::move(source)) {
  switch (source_.type()) {
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kRange:
    case Type::kView:
    case Type::kGenerator:
    case Type::kLoop:
    case Type::kUndefined: return;
    default: runtime_.fail(fmt::format("'{}' object is not iterable", type_name(source_)));
  }
}

bool Iterator::next(Value& out) {
  runtime_.charge();
  switch (source_.type()) {
    case Type::kString: {
      std::string_view text = source_.text();
      if (at_ >= text.size()) return false;
      size_t begin = at_;
      next_char(text, at_);
      out = runtime_.string(std::string(text.substr(begin, at_ - begin)), source_.markup());
      return true;
    }
    case Type::kList:
    case Type::kTuple:
      if (at_ >= source_.items().size()) return false;
      out = source_.items()[at_++];
      return true;
    case Type::kDict:
      if (at_ >= source_.dict().entries.size()) return false;
      out = source_.dict().entries[at_++].first;
      return true;
    case Type::kRange:
      if (static_cast<int64_t>(at_) >= source_.as<RangeObject>().length) return false;
      out = range_item(source_.as<RangeObject>(), static_cast<int64_t>(at_++));
      return true;
    case Type::kView: {
      const auto& view = source_.as<ViewObject>();
      const auto& entries = view.dict.dict().entries;
      if (at_ >= entries.size()) return false;
      const auto& [key, value] = entries[at_++];
      if (view.kind == ViewKind::kItems) {
        out = runtime_.tuple({key, value});
      } else {
        out = view.kind == ViewKind::kKeys ? key : value;
      }
      return true;
    }
    case Type::kGenerator: {
      auto& generator = source_.as<GeneratorObject>();
      if (generator.next < generator.items.size()) {
        out = generator.items[generator.next++];
        return true;
      }
      if (!generator.error.empty()) throw Error(ErrorKind::kInput, std::exchange(generator.error, {}));
      return false;
    }
    case Type::kLoop: {
      Value item;
      if (!runtime_.loop_next(source_.as<LoopObject>(), item)) return false;
      out = runtime_.tuple({item, source_});
      return true;
    }
    default: return false;
  }
}

std::vector<Value> Runtime::collect(const Value& iterable) {
  if (iterable.is_sequence()) {
    charge(1 + static_cast<int64_t>(iterable.items().size()) / 16);
    return iterable.items();
  }
  std::vector<Value> out;
  Iterator iterator(*this, iterable);
  for (Value value; iterator.next(value);) {
    out.push_back(std::move(value));
    if (out.size() % 1024 == 0) check_size(static_cast<double>(out.size()) * sizeof(Value));
  }
  return out;
}

Value Runtime::attribute(const Value& object, const std::string& name) {
  charge();
  if (object.is_undefined()) {
    if (name != "__class__") fail_undefined(object);
    return undefined(name, &object, true);
  }
  if (object.is(Type::kNamespace)) {
    const Value* value = object.as<NamespaceObject>().attributes.dict().find(name);
    return value != nullptr ? *value : undefined(name, &object);
  }
  if (object.is(Type::kLoop)) return loop_attribute(object, name);
  const char* stored = nullptr;
  bool forbidden = name.starts_with("__") && name.ends_with("__");
  if (Builtin method = forbidden ? nullptr : find_method(object, name, &stored, &forbidden)) {
    return function(stored, method, object);
  }
  if (forbidden) return undefined(name, &object, true);
  if (object.is_dict()) {
    if (const Value* value = object.dict().find(name)) return *value;
  }
  if (object.is(Type::kCycler) && name == "current") {
    const auto& cycler = object.as<CyclerObject>();
    return cycler.items[cycler.position];
  }
  return undefined(name, &object);
}

Value Runtime::item(const Value& object, const Value& key) {
  charge();
  switch (object.type()) {
    case Type::kUndefined: fail_undefined(object);
    case Type::kDict:
      if (hashable(key)) {
        if (const Value* value = object.dict().find(key)) return *value;
      }
      break;
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kRange:
      if (key.is_integer()) {
        int64_t size = length(object), index = key.integer() + (key.integer() < 0 ? size : 0);
        if (index < 0 || index >= size) break;
        if (object.is(Type::kRange)) return range_item(object.as<RangeObject>(), index);
        if (object.is_sequence()) return object.items()[static_cast<size_t>(index)];
        std::string_view text = object.text();
        if (size != static_cast<int64_t>(text.size())) charge_bytes(text.size());
        size_t begin =
            size == static_cast<int64_t>(text.size()) ? static_cast<size_t>(index) : char_offset(text, index);
        size_t end = begin;
        next_char(text, end);
        return string(std::string(text.substr(begin, end - begin)), object.markup());
      }
      break;
    default: break;
  }
  if (key.is_string() && !object.is_dict()) return attribute(object, std::string(key.text()));
  if (key.is_string()) {
    const char* stored = nullptr;
    bool forbidden = false;
    std::string name(key.text());
    if (Builtin method = find_method(object, name, &stored, &forbidden)) return function(stored, method, object);
    return undefined(name, &object, forbidden);
  }
  return undefined(key.is_integer() ? std::to_string(key.integer()) : type_name(key), &object);
}

Value Runtime::slice(const Value& object, const Value& start, const Value& stop, const Value& step) {
  charge();
  if (object.is_undefined()) fail_undefined(object);
  if (!object.is_string() && !object.is_sequence() && !object.is(Type::kRange)) {
    fail(fmt::format("'{}' object cannot be sliced", type_name(object)));
  }
  auto part = [&](const Value& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    if (!value.is_integer()) fail("slice indices must be integers or None");
    return value.integer();
  };
  int64_t size = length(object), stride = part(step, 1);
  if (stride == 0) fail("slice step cannot be zero");
  stride = std::clamp(stride, -size - 1, size + 1);
  auto bound = [&](const Value& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    int64_t index = part(value, 0);
    if (index < 0) index = index < -size ? -1 : index + size;
    return stride > 0 ? std::clamp<int64_t>(index, 0, size) : std::clamp<int64_t>(index, -1, size - 1);
  };
  int64_t begin = bound(start, stride > 0 ? 0 : size - 1), end = bound(stop, stride > 0 ? size : -1);
  if (object.is_string()) {
    std::string_view text = object.text();
    charge_bytes(text.size());
    bool ascii = size == static_cast<int64_t>(text.size());
    if (stride == 1) {
      if (begin >= end) return string("", object.markup());
      size_t from = ascii ? static_cast<size_t>(begin) : char_offset(text, begin);
      size_t length = ascii ? static_cast<size_t>(end - begin) : char_offset(text.substr(from), end - begin);
      return string(std::string(text.substr(from, length)), object.markup());
    }
    std::vector<size_t> offsets;
    check_size(static_cast<double>(size) * sizeof(size_t));
    charge(size / 16);
    for (size_t at = 0; at < text.size(); next_char(text, at)) offsets.push_back(at);
    offsets.push_back(text.size());
    std::string out;
    for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) {
      auto at = static_cast<size_t>(i);
      out += text.substr(offsets[at], offsets[at + 1] - offsets[at]);
    }
    return string(std::move(out), object.markup());
  }
  if (object.is(Type::kRange)) {
    const auto& range = object.as<RangeObject>();
    return this->range(range.start + begin * range.step, range.start + end * range.step, range.step * stride);
  }
  std::vector<Value> out;
  charge(1 + size / 16);
  for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) {
    out.push_back(object.items()[static_cast<size_t>(i)]);
  }
  return object.is(Type::kList) ? list(std::move(out)) : tuple(std::move(out));
}

}  // namespace paro::jinja
