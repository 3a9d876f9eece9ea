#include "io/chat_template/runtime.h"

#include "base/error.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/lexer.h"

namespace paro::jinja {
namespace {

constexpr int32_t kMaxValueDepth = 300;
constexpr int kMaxContextDepth = 250;

}  // namespace

Runtime::Runtime(const Json& context, const RenderLimits& limits, const std::string& place)
    : limits_(limits), place_(place), steps_left_(limits.steps) {
  if (!context.is_object()) fail("the context must be an object");
  variables_ = from_json(context, 0);
}

Runtime::~Runtime() {
  for (const auto& activation : live_) activation->slots.clear();
  for (const auto& activation : captured_) activation->slots.clear();
  for (const Value& value : namespaces_) value.as<NamespaceObject>().attributes = Value();
}

void Runtime::fail(std::string_view message) const { fail_template(place_, line_, message); }

void Runtime::fail_limit(std::string_view message) {
  exhausted_ = true;
  fail(message);
}

void Runtime::check_size(double bytes) {
  if (bytes > static_cast<double>(limits_.output_bytes)) fail_limit("the template builds a value that is too large");
}

Value Runtime::string(std::string text, bool markup) {
  check_size(static_cast<double>(text.size()));
  auto* object = new StringObject;
  object->storage = std::move(text);
  object->text = object->storage;
  object->markup = markup;
  return {Type::kString, account(object, object->storage.size())};
}

Value Runtime::text_view(std::string_view text) {
  auto* object = new StringObject;
  object->text = text;
  return {Type::kString, object};
}

Value Runtime::sequence(Type type, std::vector<Value> items) {
  check_size(static_cast<double>(items.size()) * sizeof(Value));
  int32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  if (depth >= kMaxValueDepth) fail_limit("lists are nested too deeply");
  auto* object = new ListObject;
  object->items = std::move(items);
  object->depth = depth + 1;
  return {type, account(object, object->items.size() * sizeof(Value))};
}

Value Runtime::dict() { return {Type::kDict, account(new DictObject, 0)}; }

void Runtime::dict_set(const Value& dict, Value key, Value value) {
  if (!hashable(key)) fail(fmt::format("unhashable type: '{}'", type_name(key)));
  DictObject& object = dict.dict();
  object.depth = std::max(object.depth, std::max(depth_of(key), depth_of(value)) + 1);
  if (object.depth > kMaxValueDepth) fail_limit("dicts are nested too deeply");
  constexpr int64_t kEntry = 48;
  object.bytes += kEntry;
  object.account->used += kEntry;
  check_size(static_cast<double>(object.bytes));
  if (account_.used > kLiveFactor * limits_.output_bytes) fail_limit("the template holds too much memory");
  object.set(std::move(key), std::move(value));
}

Value Runtime::generator(std::vector<Value> items, std::string error) {
  auto* object = new GeneratorObject;
  for (const Value& item : items) object->depth = std::max(object->depth, depth_of(item) + 1);
  object->items = std::move(items);
  object->error = std::move(error);
  Value value(Type::kGenerator, account(object, object->items.size() * sizeof(Value)));
  if (object->depth > kMaxValueDepth) fail_limit("iterators are nested too deeply");
  return value;
}

Value Runtime::range(int64_t start, int64_t stop, int64_t step) {
  constexpr __int128 kMaxRange = 100000;  // the sandbox's
  if (step == 0) fail("range() arg 3 must not be zero");
  __int128 distance = static_cast<__int128>(stop) - start, count = 0;
  if (step > 0 && distance > 0) count = (distance + step - 1) / step;
  if (step < 0 && distance < 0) count = (distance + step + 1) / step;
  if (count > kMaxRange) fail("range too big: the sandbox blocks ranges of more than 100000 items");
  auto* object = new RangeObject;
  object->start = start;
  object->stop = stop;
  object->step = step;
  object->length = static_cast<int64_t>(count);
  return {Type::kRange, account(object, 0)};
}

Value Runtime::view(ViewKind kind, Value dict) {
  auto* object = new ViewObject;
  object->kind = kind;
  object->dict = std::move(dict);
  return {Type::kView, account(object, 0)};
}

Value Runtime::name_space(Value attributes) {
  auto* object = new NamespaceObject;
  object->attributes = std::move(attributes);
  Value value(Type::kNamespace, account(object, 0));
  namespaces_.push_back(value);
  return value;
}

Value Runtime::function(const char* name, Builtin builtin, Value self) {
  auto* object = new FunctionObject;
  object->name = name;
  object->function = builtin;
  object->self = std::move(self);
  Value value(Type::kFunction, account(object, 0));
  if (depth_of(value) > kMaxValueDepth) fail_limit("methods are nested too deeply");
  return value;
}

Value Runtime::cycler(std::vector<Value> items) {
  auto* object = new CyclerObject;
  for (const Value& item : items) object->depth = std::max(object->depth, depth_of(item) + 1);
  object->items = std::move(items);
  Value value(Type::kCycler, account(object, object->items.size() * sizeof(Value)));
  if (object->depth > kMaxValueDepth) fail_limit("cyclers are nested too deeply");
  return value;
}

Value Runtime::joiner(Value separator) {
  if (!separator.is_string()) fail("a joiner expects a string");
  auto* object = new JoinerObject;
  object->separator = std::move(separator);
  return {Type::kJoiner, account(object, 0)};
}

Value Runtime::undefined(std::string name, const Value* owner, bool forbidden) {
  auto* object = new UndefinedObject;
  object->name = std::move(name);
  if (owner != nullptr) object->owner = type_name(*owner);
  object->forbidden = forbidden;
  return {Type::kUndefined, account(object, 0)};
}

Value Runtime::undefined_message(const char* message) {
  auto* object = new UndefinedObject;
  object->message = message;
  return {Type::kUndefined, account(object, 0)};
}

void Runtime::fail_undefined(const Value& value) {
  const auto& object = value.as<UndefinedObject>();
  if (object.message != nullptr) fail(object.message);
  if (object.forbidden)
    fail(fmt::format("access to attribute '{}' of '{}' object is unsafe", object.name, object.owner));
  if (object.owner == nullptr) fail(fmt::format("'{}' is undefined", object.name));
  fail(fmt::format("'{} object' has no attribute '{}'", object.owner, object.name));
}

Value Runtime::from_json(const Json& json, int depth) {
  if (depth > kMaxContextDepth) fail("the context is nested too deeply");
  switch (json.type()) {
    case Json::value_t::boolean: return Value(json.get<bool>());
    case Json::value_t::number_integer: return Value(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      uint64_t number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX)) fail("an integer of the context does not fit into 64 bits");
      return Value(static_cast<int64_t>(number));
    }
    case Json::value_t::number_float: return Value(json.get<double>());
    case Json::value_t::string: return text_view(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      auto* object = new ListObject;
      Value value(Type::kList, object);
      object->items.reserve(json.size());
      for (const Json& item : json) {
        object->items.push_back(from_json(item, depth + 1));
        object->depth = std::max(object->depth, depth_of(object->items.back()) + 1);
      }
      return value;
    }
    case Json::value_t::object: {
      auto* object = new DictObject;
      Value value(Type::kDict, object);
      object->entries.reserve(json.size());
      for (const auto& [key, item] : json.get_ref<const Json::object_t&>()) {
        object->set(text_view(key), from_json(item, depth + 1));
        object->depth = std::max(object->depth, depth_of(object->entries.back().second) + 1);
      }
      return value;
    }
    default: return Value();
  }
}

Value Runtime::resolve(const std::string& name) {
  if (const Value* value = variables_.dict().find(name)) return *value;
  if (auto found = globals_.find(name); found != globals_.end()) return found->second;
  const char* stored = nullptr;
  Builtin builtin = find_global(name, &stored);
  if (builtin == nullptr) return Value::missing();
  return globals_[name] = function(stored, builtin, Value());
}

std::shared_ptr<Activation> Runtime::push_activation(const Function& function, std::shared_ptr<Activation> parent) {
  charge(1 + function.slots / 16);
  auto activation = std::make_shared<Activation>();
  activation->slots.assign(static_cast<size_t>(function.slots), Value::missing());
  activation->parent = std::move(parent);
  live_.push_back(activation);
  std::swap(activation, activation_);
  return activation;
}

void Runtime::pop_activation(std::shared_ptr<Activation> before) {
  live_.pop_back();
  if (activation_.use_count() > 1) {
    account_.used += static_cast<int64_t>(sizeof(Activation) + activation_->slots.size() * sizeof(Value));
    captured_.push_back(activation_);
  }
  activation_ = std::move(before);
}

}  // namespace paro::jinja
