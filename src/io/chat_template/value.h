// The values a template computes with, with Python's meaning: 16 bytes, containers and texts shared by reference count.
// Counts are not atomic: values stay in the rendering that made them; constants of the parsed template are immortal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace paro::jinja {

enum class Type : uint8_t {
  kMissing,  // an unset variable or an absent argument; never seen by a template
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,
  kGenerator,
  kNamespace,
  kFunction,
  kMacro,
  kLoop,
  kCycler,
  kJoiner,
};

/// Bytes of the values that are alive in one rendering.
struct Account {
  int64_t used = 0;
};

struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (account != nullptr) account->used -= bytes;
  }
  Account* account = nullptr;
  int64_t bytes = 0;
  uint32_t refs = 0;
  bool immortal = false;
};

struct StringObject;
struct ListObject;
struct DictObject;
struct RangeObject;
struct ViewObject;
struct GeneratorObject;
struct NamespaceObject;
struct FunctionObject;
struct MacroObject;
struct LoopObject;
struct CyclerObject;
struct JoinerObject;
struct UndefinedObject;

class Value {
 public:
  Value() : type_(Type::kNone) { bits_.integer = 0; }
  explicit Value(bool boolean) : type_(Type::kBool) { bits_.integer = boolean ? 1 : 0; }
  explicit Value(int64_t integer) : type_(Type::kInt) { bits_.integer = integer; }
  explicit Value(double number) : type_(Type::kFloat) { bits_.number = number; }
  /// Takes a share of `object` (null only for kUndefined).
  Value(Type type, Object* object) : type_(type) {
    bits_.object = object;
    retain();
  }
  Value(const Value& other) : type_(other.type_), bits_(other.bits_) { retain(); }
  Value(Value&& other) noexcept : type_(other.type_), bits_(other.bits_) { other.type_ = Type::kNone; }
  Value& operator=(Value other) noexcept {
    std::swap(type_, other.type_);
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~Value() { release(); }

  static Value missing() {
    Value value;
    value.type_ = Type::kMissing;
    return value;
  }

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool is_missing() const { return type_ == Type::kMissing; }
  bool is_none() const { return type_ == Type::kNone; }
  bool is_undefined() const { return type_ == Type::kUndefined; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_integer() const { return type_ == Type::kInt || type_ == Type::kBool; }
  bool is_number() const { return is_integer() || type_ == Type::kFloat; }
  bool is_sequence() const { return type_ == Type::kList || type_ == Type::kTuple; }
  bool is_dict() const { return type_ == Type::kDict; }

  int64_t integer() const { return bits_.integer; }  // kInt, kBool
  double number() const { return type_ == Type::kFloat ? bits_.number : static_cast<double>(bits_.integer); }
  bool boolean() const { return bits_.integer != 0; }
  Object* object() const { return bits_.object; }
  bool has_object() const { return type_ >= Type::kString || type_ == Type::kUndefined; }

  inline StringObject& string() const;
  inline std::string_view text() const;
  inline bool markup() const;
  inline ListObject& list() const;
  inline const std::vector<Value>& items() const;  // kList, kTuple
  inline DictObject& dict() const;
  template <typename T>
  T& as() const {
    return *static_cast<T*>(bits_.object);
  }

 private:
  void retain() {
    if (has_object() && bits_.object != nullptr && !bits_.object->immortal) ++bits_.object->refs;
  }
  void release() {
    if (has_object() && bits_.object != nullptr && !bits_.object->immortal && --bits_.object->refs == 0) {
      delete bits_.object;
    }
  }

  Type type_;
  union Bits {
    int64_t integer;
    double number;
    Object* object;
  } bits_;
};

struct StringObject : Object {
  std::string storage;
  std::string_view text;        // of storage, or of the caller's context
  mutable int64_t points = -1;  // code points, counted on demand
  bool markup = false;          // made by safe or escape: + escapes the other side
};

/// kList and kTuple.
struct ListObject : Object {
  std::vector<Value> items;
  int32_t depth = 1;  // nesting, bounded so that nothing recurses without end
};

struct DictObject : Object {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  std::vector<int32_t> index;                    // open addressing into entries; empty while small
  int32_t depth = 1;

  const Value* find(std::string_view key) const;
  /// Key equality as in Python (1 == 1.0 == True). The key must be hashable.
  const Value* find(const Value& key) const;
  void set(Value key, Value value);

 private:
  int64_t position(uint64_t hash, const Value* key, std::string_view text) const;
  void rebuild_index();
};

struct RangeObject : Object {
  int64_t start = 0, stop = 0, step = 1, length = 0;
};

enum class ViewKind : uint8_t { kKeys, kValues, kItems };
struct ViewObject : Object {
  Value dict;
  ViewKind kind = ViewKind::kKeys;
};

/// What Python's lazy iterators are to a template: consumed once. An error met on the way is raised where it stands.
struct GeneratorObject : Object {
  std::vector<Value> items;
  size_t next = 0;
  std::string error;
  int32_t depth = 1;
};

struct NamespaceObject : Object {
  Value attributes;  // kDict of its own
};

class Runtime;
struct Call;
using Builtin = Value (*)(Runtime&, const Value& self, Call& call);

struct FunctionObject : Object {
  const char* name = "";
  Builtin function = nullptr;
  Value self;
};

struct CyclerObject : Object {
  std::vector<Value> items;
  size_t position = 0;
  int32_t depth = 1;
};

struct JoinerObject : Object {
  Value separator;
  bool used = false;
};

struct UndefinedObject : Object {
  std::string name;               // of the variable, attribute or element
  const char* owner = nullptr;    // type it was looked up in; null: a variable
  const char* message = nullptr;  // instead of the above
  bool forbidden = false;         // the sandbox hides it
};

StringObject& Value::string() const { return as<StringObject>(); }
std::string_view Value::text() const { return as<StringObject>().text; }
bool Value::markup() const { return as<StringObject>().markup; }
ListObject& Value::list() const { return as<ListObject>(); }
const std::vector<Value>& Value::items() const { return as<ListObject>().items; }
DictObject& Value::dict() const { return as<DictObject>(); }

/// Python's name of the type: "str", "dict", ...
const char* type_name(const Value& value);
bool truthy(const Value& value);
/// Equal numbers have equal hashes, equal keys too. Only for hashable values.
uint64_t hash_key(const Value& value);
bool hashable(const Value& value);
/// Python's == for keys: like equals(), without limits, for hashable values only.
bool same_key(const Value& a, const Value& b);
/// Nesting of containers in it.
int32_t depth_of(const Value& value);

}  // namespace paro::jinja
