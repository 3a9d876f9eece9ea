// One rendering: its limits, the values it makes, the meaning of Python's operations, and the evaluation of the tree.
#pragma once

#include <fmt/core.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "io/chat_template/ast.h"
#include "io/chat_template/chat_template.h"
#include "io/chat_template/value.h"

namespace paro::jinja {

/// The arguments of a call.
struct Call {
  std::vector<Value> args;
  std::vector<std::pair<std::string, Value>> keywords;
};

/// The variables of one call of a function of the template.
struct Activation {
  std::vector<Value> slots;
  std::shared_ptr<Activation> parent;
};

struct MacroObject : Object {
  const Stmt* node = nullptr;
  std::shared_ptr<Activation> closure;
};

class Runtime;

/// Walks over what Python can iterate: one value at a time, without copying the container.
class Iterator {
 public:
  Iterator(Runtime& runtime, Value source);
  bool next(Value& out);
  /// Lets the container go; next() finds nothing any more.
  void finish() { source_ = Value(Type::kUndefined, nullptr); }

 private:
  Runtime& runtime_;
  Value source_;
  size_t at_ = 0;
};

enum class Flow : uint8_t { kNormal, kBreak, kContinue };

class Runtime {
 public:
  Runtime(const Json& context, const RenderLimits& limits, const std::string& place);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  std::string render(const Template& tree);

  // Errors and limits (runtime.cpp)
  [[noreturn]] void fail(std::string_view message) const;
  [[noreturn]] void fail_limit(std::string_view message);
  void charge(int64_t steps = 1) {
    if ((steps_left_ -= steps) < 0) fail_limit("the template takes too many steps");
  }
  /// Work over so many bytes.
  void charge_bytes(size_t bytes) { charge(1 + static_cast<int64_t>(bytes >> 10)); }
  /// Before something of so many bytes is built: it must be within the limit.
  void check_size(double bytes);
  /// Errors of limits must not be put off.
  bool exhausted() const { return exhausted_; }
  const RenderLimits& limits() const { return limits_; }

  // Values (runtime.cpp)
  Value string(std::string text, bool markup = false);
  Value text_view(std::string_view text);  // of the context, which outlives the rendering
  Value character(std::string_view text) { return string(std::string(text)); }
  Value list(std::vector<Value> items) { return sequence(Type::kList, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(Type::kTuple, std::move(items)); }
  Value dict();
  void dict_set(const Value& dict, Value key, Value value);
  Value generator(std::vector<Value> items, std::string error = {});
  Value range(int64_t start, int64_t stop, int64_t step);
  Value view(ViewKind kind, Value dict);
  Value name_space(Value attributes);
  Value function(const char* name, Builtin builtin, Value self);
  Value cycler(std::vector<Value> items);
  Value joiner(Value separator);
  Value undefined(std::string name, const Value* owner = nullptr, bool forbidden = false);
  Value undefined_message(const char* message);
  Value from_json(const Json& json, int depth);
  [[noreturn]] void fail_undefined(const Value& value);

  // Python's operations (operations.cpp, arithmetic.cpp)
  bool equals(const Value& a, const Value& b);
  bool less(const Value& a, const Value& b, const char* symbol = "<");
  bool compare(Compare op, const Value& a, const Value& b);
  bool contains(const Value& container, const Value& item);
  int64_t length(const Value& value);
  bool has_length(const Value& value) const;
  Value add(const Value& a, const Value& b);
  Value arithmetic(ExprKind op, const Value& a, const Value& b);
  Value negate(const Value& value, bool minus);
  Value slice(const Value& object, const Value& start, const Value& stop, const Value& step);
  /// environment.getattr and environment.getitem of the sandbox.
  Value attribute(const Value& object, const std::string& name);
  Value item(const Value& object, const Value& key);
  std::vector<Value> collect(const Value& iterable);

  // Text of values (repr.cpp)
  std::string str(const Value& value);
  std::string repr(const Value& value);
  void append_str(std::string& out, const Value& value);
  void append_repr(std::string& out, const Value& value, int depth = 0);

  /// Calls what a template can call.
  Value call(const Value& callee, Call& call);

 private:
  static constexpr int64_t kLiveFactor = 4;  // live values may take this many times the output limit
  friend class Iterator;
  friend struct LoopObject;
  struct DepthGuard;

  /// Counts an object and `bytes` that it holds; frees it when that is too much.
  template <typename T>
  T* account(T* object, size_t bytes) {
    object->account = &account_;
    object->bytes = static_cast<int64_t>(sizeof(T) + bytes);
    account_.used += object->bytes;
    if (account_.used > kLiveFactor * limits_.output_bytes) {
      delete object;
      fail_limit("the template holds too much memory");
    }
    return object;
  }
  Value sequence(Type type, std::vector<Value> items);

  // Expressions (eval.cpp)
  Value eval(const Expr& expr);
  Value eval_name(const Expr& expr);
  Value eval_compare(const Expr& expr);
  Value eval_concat(const Expr& expr);
  Value eval_call(const Expr& expr, const Value* caller);
  Value eval_filter(const Expr& expr, const Value& piped);
  Value eval_container(const Expr& expr);
  void eval_arguments(const Arguments& arguments, Call& call);

  // Statements (exec.cpp, loops.cpp)
  Flow exec(const Stmt& stmt);
  Flow exec_body(const std::vector<StmtPtr>& body);
  Flow exec_captured(const std::vector<StmtPtr>& body, std::string& text);
  void enter(const Scope& scope);
  void assign(const Expr& target, Value value);
  void check_namespaces(const Expr& target);
  Flow exec_for(const Stmt& stmt);
  Flow run_loop(const Stmt& stmt, const Value& iterable, int64_t depth);
  Value call_loop(LoopObject& loop, Call& call);
  Value loop_attribute(const Value& loop, const std::string& name);
  bool loop_next(LoopObject& loop, Value& out);
  bool loop_peek(LoopObject& loop);
  int64_t loop_length(LoopObject& loop);
  static Value loop_cycle(Runtime& runtime, const Value& self, Call& call);
  static Value loop_changed(Runtime& runtime, const Value& self, Call& call);
  Value make_macro(const Stmt& stmt);
  Value call_macro(const MacroObject& macro, Call& call);
  void write(std::string_view text);

  Value& at(Slot slot) {
    Activation* activation = activation_.get();
    for (int hops = slot.hops; hops > 0; --hops) activation = activation->parent.get();
    return activation->slots[static_cast<size_t>(slot.index)];
  }
  Value resolve(const std::string& name);
  std::shared_ptr<Activation> push_activation(const Function& function, std::shared_ptr<Activation> parent);
  void pop_activation(std::shared_ptr<Activation> before);

  Account account_;  // first: outlives all values
  const RenderLimits limits_;
  const std::string& place_;
  int64_t steps_left_;
  int line_ = 1;
  int64_t calls_ = 0;  // nested macros and recursive loops
  const char* stack_base_ = nullptr;
  bool exhausted_ = false;
  Value variables_;
  std::map<std::string, Value, std::less<>> globals_;
  std::shared_ptr<Activation> activation_;
  std::vector<std::shared_ptr<Activation>> live_;      // the calls that are running
  std::vector<std::shared_ptr<Activation>> captured_;  // by macros that may outlive their call; emptied at the end
  std::vector<Value> namespaces_;                      // may hold one another; emptied at the end
  std::string* out_ = nullptr;
};

}  // namespace paro::jinja
