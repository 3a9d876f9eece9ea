// For statements and their variable `loop`.
#include "base/error.h"
#include "io/chat_template/bind.h"
#include "io/chat_template/guard.h"
#include "io/chat_template/loop.h"
#include "io/chat_template/runtime.h"

namespace paro::jinja {

Flow Runtime::exec_for(const Stmt& stmt) {
  Value iterable = eval(*stmt.value);
  if (!stmt.recursive) return run_loop(stmt, iterable, 0);
  if (++calls_ > limits_.depth) fail_limit("the template nests loops too deeply");
  std::shared_ptr<Activation> before = push_activation(stmt.function, activation_);
  run_loop(stmt, iterable, 0);
  pop_activation(std::move(before));
  --calls_;
  return Flow::kNormal;
}

Value Runtime::call_loop(LoopObject& loop, Call& call) {
  auto [iterable] = bind<1>(*this, "loop", call, {"iterable"}, 1);
  if (!loop.node.recursive) fail("the loop must have the 'recursive' marker to be called recursively");
  if (++calls_ > limits_.depth) fail_limit("the template nests loops too deeply");
  const Stmt& node = loop.node;
  int64_t depth = loop.depth0 + 1;
  std::shared_ptr<Activation> before = push_activation(node.function, loop.activation->parent);
  std::string text;
  std::string* outer = std::exchange(out_, &text);
  run_loop(node, iterable, depth);
  out_ = outer;
  pop_activation(std::move(before));
  --calls_;
  return string(std::move(text));
}

Flow Runtime::run_loop(const Stmt& stmt, const Value& iterable, int64_t depth) {
  auto* loop = new LoopObject(*this, stmt, iterable, activation_, depth);
  Value holder(Type::kLoop, account(loop, 0));
  auto slot = [&](Slot place) -> Value& { return activation_->slots[static_cast<size_t>(place.index)]; };
  // What is left of a loop that a template keeps holds nothing, so that loops cannot hold one another.
  struct Release {
    LoopObject& loop;
    ~Release() {
      loop.ahead.clear();
      loop.iterator.finish();
      loop.iterable = loop.current = loop.before = loop.last_changed = Value::missing();
    }
  } release{*loop};
  bool any = false;
  if (stmt.uses_loop) slot(stmt.name_slot) = holder;
  for (Value item; loop_next(*loop, item);) {
    any = true;
    assign(*stmt.target, std::move(item));
    enter(stmt.scope);
    if (exec_body(stmt.body) == Flow::kBreak) break;
  }
  if (stmt.uses_loop) slot(stmt.name_slot) = Value::missing();
  if (any || stmt.otherwise.empty()) return Flow::kNormal;
  enter(stmt.else_scope);
  return exec_body(stmt.otherwise);
}

/// The next item that passes the loop's own test.
bool Runtime::loop_peek(LoopObject& loop) {
  if (!loop.ahead.empty()) return true;
  for (Value item; loop.iterator.next(item);) {
    if (loop.node.test) {
      std::shared_ptr<Activation> before = std::exchange(activation_, loop.activation);
      assign(*loop.node.test_target, item);
      enter(loop.node.test_scope);
      bool passes = truthy(eval(*loop.node.test));
      activation_ = std::move(before);
      if (!passes) continue;
    }
    loop.ahead.push_back(std::move(item));
    return true;
  }
  return false;
}

bool Runtime::loop_next(LoopObject& loop, Value& out) {
  if (!loop_peek(loop)) return false;
  out = std::move(loop.ahead.front());
  loop.ahead.pop_front();
  ++loop.index0;
  if (loop.node.uses_loop) {
    loop.before = std::move(loop.current);
    loop.current = out;
  }
  return true;
}

int64_t Runtime::loop_length(LoopObject& loop) {
  if (loop.length >= 0) return loop.length;
  if (loop.iterable.is_missing()) return loop.index0 + 1;
  if (!loop.node.test && has_length(loop.iterable) && !loop.iterable.is(Type::kLoop)) {
    return loop.length = length(loop.iterable);
  }
  std::deque<Value> rest;
  while (loop_peek(loop)) {
    rest.push_back(std::move(loop.ahead.front()));
    loop.ahead.pop_front();
    check_size(static_cast<double>(rest.size()) * sizeof(Value));
  }
  loop.ahead = std::move(rest);
  return loop.length = static_cast<int64_t>(loop.ahead.size()) + loop.index0 + 1;
}

Value Runtime::loop_attribute(const Value& value, const std::string& name) {
  auto& loop = value.as<LoopObject>();
  if (name == "index0") return Value(loop.index0);
  if (name == "index") return Value(loop.index0 + 1);
  if (name == "first") return Value(loop.index0 == 0);
  if (name == "last") return Value(!loop_peek(loop));
  if (name == "length") return Value(loop_length(loop));
  if (name == "revindex") return Value(loop_length(loop) - loop.index0);
  if (name == "revindex0") return Value(loop_length(loop) - loop.index0 - 1);
  if (name == "depth0") return Value(loop.depth0);
  if (name == "depth") return Value(loop.depth0 + 1);
  if (name == "previtem") return loop.index0 <= 0 ? undefined_message("there is no previous item") : loop.before;
  if (name == "nextitem") return loop_peek(loop) ? loop.ahead.front() : undefined_message("there is no next item");
  if (name == "cycle") return function("cycle", loop_cycle, value);
  if (name == "changed") return function("changed", loop_changed, value);
  return undefined(name, &value, name.starts_with("_"));
}

Value Runtime::loop_cycle(Runtime& runtime, const Value& self, Call& call) {
  if (call.args.empty() || !call.keywords.empty()) runtime.fail("no items for cycling given");
  return call.args[static_cast<size_t>(self.as<LoopObject>().index0) % call.args.size()];
}

Value Runtime::loop_changed(Runtime& runtime, const Value& self, Call& call) {
  auto& loop = self.as<LoopObject>();
  Value now = runtime.tuple(call.args);
  if (!loop.last_changed.is_missing() && runtime.equals(loop.last_changed, now)) return Value(false);
  if (!loop.iterable.is_missing()) loop.last_changed = std::move(now);
  return Value(true);
}

}  // namespace paro::jinja
