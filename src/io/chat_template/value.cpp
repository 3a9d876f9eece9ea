#include "io/chat_template/value.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace paro::jinja {

const char* type_name(const Value& value) {
  switch (value.type()) {
    case Type::kMissing: return "missing";
    case Type::kUndefined: return "Undefined";
    case Type::kNone: return "None";
    case Type::kBool: return "bool";
    case Type::kInt: return "int";
    case Type::kFloat: return "float";
    case Type::kString: return value.markup() ? "Markup" : "str";
    case Type::kList: return "list";
    case Type::kTuple: return "tuple";
    case Type::kDict: return "dict";
    case Type::kRange: return "range";
    case Type::kView: return "dict view";
    case Type::kGenerator: return "generator";
    case Type::kNamespace: return "Namespace";
    case Type::kFunction: return "function";
    case Type::kMacro: return "Macro";
    case Type::kLoop: return "LoopContext";
    case Type::kCycler: return "Cycler";
    case Type::kJoiner: return "Joiner";
  }
  return "object";
}

bool truthy(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone: return false;
    case Type::kBool:
    case Type::kInt: return value.integer() != 0;
    case Type::kFloat: return value.number() != 0;
    case Type::kString: return !value.text().empty();
    case Type::kList:
    case Type::kTuple: return !value.items().empty();
    case Type::kDict: return !value.dict().entries.empty();
    case Type::kRange: return value.as<RangeObject>().length != 0;
    case Type::kView: return truthy(value.as<ViewObject>().dict);
    default: return true;
  }
}

namespace {

uint64_t hash_text(std::string_view text) { return std::hash<std::string_view>{}(text); }

uint64_t hash_integer(int64_t value) {
  uint64_t x = static_cast<uint64_t>(value) * 0x9E3779B97F4A7C15u;
  return x ^ (x >> 32);
}

}  // namespace

bool hashable(const Value& value) {
  switch (value.type()) {
    case Type::kList:
    case Type::kDict:
    case Type::kView: return false;
    case Type::kTuple: return std::all_of(value.items().begin(), value.items().end(), hashable);
    default: return true;
  }
}

uint64_t hash_key(const Value& value) {
  switch (value.type()) {
    case Type::kBool:
    case Type::kInt: return hash_integer(value.integer());
    case Type::kFloat: {
      double number = value.number();
      if (std::abs(number) < 9e18 && number == std::floor(number)) return hash_integer(static_cast<int64_t>(number));
      return std::hash<double>{}(number);
    }
    case Type::kString: return hash_text(value.text());
    case Type::kTuple: {
      uint64_t hash = 1000003;
      for (const Value& item : value.items()) hash = hash * 1000003 ^ hash_key(item);
      return hash;
    }
    case Type::kNone: return 17;
    case Type::kUndefined: return 19;
    case Type::kRange: return 23;
    default: return std::hash<const void*>{}(value.object());
  }
}

bool same_key(const Value& a, const Value& b) {
  if (a.is_string()) return b.is_string() && a.text() == b.text();
  if (a.is_integer() && b.is_integer()) return a.integer() == b.integer();
  if (a.is_number()) {
    if (!b.is_number()) return false;
    if (a.is_integer() == b.is_integer()) return a.number() == b.number();
    double number = a.is_integer() ? b.number() : a.number();
    int64_t integer = a.is_integer() ? a.integer() : b.integer();
    return std::abs(number) < 9.3e18 && number == std::floor(number) && number < 9223372036854775808.0 &&
           number >= -9223372036854775808.0 && static_cast<int64_t>(number) == integer;
  }
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::kNone:
    case Type::kUndefined: return true;
    case Type::kTuple:
      return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(), same_key);
    case Type::kRange: {
      const auto &x = a.as<RangeObject>(), &y = b.as<RangeObject>();
      return x.length == y.length && (x.length == 0 || (x.start == y.start && (x.length == 1 || x.step == y.step)));
    }
    case Type::kFunction: {
      const auto &x = a.as<FunctionObject>(), &y = b.as<FunctionObject>();
      return &x == &y || (x.function == y.function && x.self.has_object() && x.self.type() == y.self.type() &&
                          x.self.object() == y.self.object());
    }
    default: return a.object() == b.object();
  }
}

int32_t depth_of(const Value& value) {
  switch (value.type()) {
    case Type::kList:
    case Type::kTuple: return value.list().depth;
    case Type::kDict: return value.dict().depth;
    case Type::kView: return depth_of(value.as<ViewObject>().dict) + 1;
    case Type::kGenerator: return value.as<GeneratorObject>().depth;
    case Type::kCycler: return value.as<CyclerObject>().depth;
    case Type::kFunction: return depth_of(value.as<FunctionObject>().self) + 1;
    default: return 0;
  }
}

int64_t DictObject::position(uint64_t hash, const Value* key, std::string_view text) const {
  auto equal = [&](const Value& other) {
    return key != nullptr ? same_key(*key, other) : other.is_string() && other.text() == text;
  };
  if (index.empty()) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (equal(entries[i].first)) return static_cast<int64_t>(i);
    }
    return -1;
  }
  size_t mask = index.size() - 1;
  for (size_t slot = hash & mask; index[slot] >= 0; slot = (slot + 1) & mask) {
    if (equal(entries[static_cast<size_t>(index[slot])].first)) return index[slot];
  }
  return -1;
}

const Value* DictObject::find(std::string_view key) const {
  int64_t at = position(index.empty() ? 0 : hash_text(key), nullptr, key);
  return at < 0 ? nullptr : &entries[static_cast<size_t>(at)].second;
}

const Value* DictObject::find(const Value& key) const {
  int64_t at = position(index.empty() ? 0 : hash_key(key), &key, {});
  return at < 0 ? nullptr : &entries[static_cast<size_t>(at)].second;
}

void DictObject::set(Value key, Value value) {
  uint64_t hash = index.empty() ? 0 : hash_key(key);
  int64_t at = position(hash, &key, {});
  if (at >= 0) {
    entries[static_cast<size_t>(at)].second = std::move(value);
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
  if (entries.size() > 8 && entries.size() * 2 > index.size()) {
    rebuild_index();
  } else if (!index.empty()) {
    size_t mask = index.size() - 1, slot = hash & mask;
    while (index[slot] >= 0) slot = (slot + 1) & mask;
    index[slot] = static_cast<int32_t>(entries.size() - 1);
  }
}

void DictObject::rebuild_index() {
  size_t size = 32;
  while (size < entries.size() * 4) size *= 2;
  index.assign(size, -1);
  for (size_t i = 0; i < entries.size(); ++i) {
    size_t slot = hash_key(entries[i].first) & (size - 1);
    while (index[slot] >= 0) slot = (slot + 1) & (size - 1);
    index[slot] = static_cast<int32_t>(i);
  }
}

}  // namespace paro::jinja
