// Execution of statements, and calls.
#include "base/error.h"
#include "io/chat_template/guard.h"
#include "io/chat_template/loop.h"
#include "io/chat_template/runtime.h"

namespace paro::jinja {

std::string Runtime::render(const Template& tree) {
  stack_base_ = static_cast<const char*>(__builtin_frame_address(0));
  std::string text;
  out_ = &text;
  push_activation(tree.function, nullptr);
  enter(tree.scope);
  exec_body(tree.body);
  return text;
}

void Runtime::write(std::string_view text) {
  check_size(static_cast<double>(out_->size()) + static_cast<double>(text.size()));
  charge_bytes(text.size());
  out_->append(text);
}

void Runtime::enter(const Scope& scope) {
  for (const ScopeLoad& load : scope) {
    Value value = Value::missing();
    if (load.kind == ScopeLoad::kResolve) value = resolve(load.name);
    if (load.kind == ScopeLoad::kAlias) value = at(load.from);
    activation_->slots[static_cast<size_t>(load.slot)] = std::move(value);
  }
  charge(1 + static_cast<int64_t>(scope.size()) / 4);
}

Flow Runtime::exec_body(const std::vector<StmtPtr>& body) {
  for (const StmtPtr& stmt : body) {
    if (Flow flow = exec(*stmt); flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

/// The text of `body` instead of writing it.
Flow Runtime::exec_captured(const std::vector<StmtPtr>& body, std::string& text) {
  std::string* before = std::exchange(out_, &text);
  struct Restore {
    std::string*& out;
    std::string* value;
    ~Restore() { out = value; }
  } restore{out_, before};
  return exec_body(body);
}

Flow Runtime::exec(const Stmt& stmt) {
  charge();
  DepthGuard guard(*this);
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::kText: write(stmt.text); break;
    case StmtKind::kOutput:
      for (const ExprPtr& part : stmt.items) {
        Value value = eval(*part);
        if (value.is_string()) {
          write(value.text());
        } else {
          write(str(value));
        }
      }
      break;
    case StmtKind::kIf:
      for (const Branch& branch : stmt.branches) {
        if (!branch.test || truthy(eval(*branch.test))) return exec_body(branch.body);
      }
      break;
    case StmtKind::kFor: return exec_for(stmt);
    case StmtKind::kSet:
      check_namespaces(*stmt.target);
      assign(*stmt.target, eval(*stmt.value));
      break;
    case StmtKind::kSetBlock:
    case StmtKind::kFilterBlock: {
      enter(stmt.scope);
      std::string text;
      if (Flow flow = exec_captured(stmt.body, text); flow != Flow::kNormal) return flow;
      Value value = string(std::move(text));
      // The innermost filter of the chain takes the text.
      std::vector<const Expr*> chain;
      for (const Expr* filter = stmt.value.get(); filter != nullptr; filter = filter->items[0].get()) {
        chain.push_back(filter);
      }
      for (auto filter = chain.rbegin(); filter != chain.rend(); ++filter) value = eval_filter(**filter, value);
      if (stmt.kind == StmtKind::kFilterBlock) {
        write(str(value));
      } else {
        check_namespaces(*stmt.target);
        assign(*stmt.target, std::move(value));
      }
      break;
    }
    case StmtKind::kMacro: {
      Value macro = make_macro(stmt);
      at(stmt.name_slot) = std::move(macro);
      break;
    }
    case StmtKind::kCallBlock: {
      Value caller = make_macro(stmt);
      write(str(eval_call(*stmt.value, &caller)));
      break;
    }
    case StmtKind::kWith: {
      std::vector<Value> values;
      for (const ExprPtr& value : stmt.defaults) values.push_back(eval(*value));
      enter(stmt.scope);
      for (size_t i = 0; i < values.size(); ++i) assign(*stmt.items[i], std::move(values[i]));
      return exec_body(stmt.body);
    }
    case StmtKind::kScope: enter(stmt.scope); return exec_body(stmt.body);
    case StmtKind::kBreak: return Flow::kBreak;
    case StmtKind::kContinue: return Flow::kContinue;
    case StmtKind::kUnsupported: fail(fmt::format("'{}' needs a loader of templates, and there is none", stmt.text));
  }
  return Flow::kNormal;
}

/// Before the value is computed, as jinja2 does.
void Runtime::check_namespaces(const Expr& target) {
  if (target.kind == ExprKind::kNamespaceRef) {
    if (!at(target.items[0]->slot).is(Type::kNamespace)) fail("cannot assign attribute on non-namespace object");
  } else if (target.kind == ExprKind::kTuple) {
    for (const ExprPtr& item : target.items) check_namespaces(*item);
  }
}

void Runtime::assign(const Expr& target, Value value) {
  charge();
  if (target.kind == ExprKind::kName) {
    at(target.slot) = std::move(value);
  } else if (target.kind == ExprKind::kNamespaceRef) {
    if (target.text.starts_with("_")) fail("names of namespace attributes must not begin with an underscore");
    Value name = string(target.text);
    dict_set(at(target.items[0]->slot).as<NamespaceObject>().attributes, std::move(name), std::move(value));
  } else {
    std::vector<Value> items;
    Iterator iterator(*this, value);
    for (Value item; items.size() <= target.items.size() && iterator.next(item);) items.push_back(std::move(item));
    if (items.size() != target.items.size()) {
      fail(fmt::format("cannot unpack: expected {} values, found {}", target.items.size(),
                       items.size() > target.items.size() ? "more" : std::to_string(items.size())));
    }
    for (size_t i = 0; i < items.size(); ++i) assign(*target.items[i], std::move(items[i]));
  }
}

Value Runtime::make_macro(const Stmt& stmt) {
  auto* object = new MacroObject;
  Value value(Type::kMacro, account(object, 0));
  object->node = &stmt;
  object->closure = activation_;
  return value;
}

Value Runtime::call(const Value& callee, Call& arguments) {
  charge();
  DepthGuard guard(*this);
  switch (callee.type()) {
    case Type::kFunction: {
      const auto& function = callee.as<FunctionObject>();
      return function.function(*this, function.self, arguments);
    }
    case Type::kMacro: return call_macro(callee.as<MacroObject>(), arguments);
    case Type::kLoop: return call_loop(callee.as<LoopObject>(), arguments);
    case Type::kJoiner: {
      auto& joiner = callee.as<JoinerObject>();
      if (!arguments.args.empty() || !arguments.keywords.empty()) fail("a joiner takes no arguments");
      return std::exchange(joiner.used, true) ? joiner.separator : string("");
    }
    case Type::kUndefined: fail_undefined(callee);
    default: fail(fmt::format("'{}' object is not callable", type_name(callee)));
  }
}

Value Runtime::call_macro(const MacroObject& macro, Call& arguments) {
  const Stmt& node = *macro.node;
  if (++calls_ > limits_.depth) fail_limit("the template nests calls too deeply");
  std::shared_ptr<Activation> before = push_activation(node.function, macro.closure);
  size_t count = node.names.size(), given = std::min(arguments.args.size(), count);
  auto slot = [&](Slot place) -> Value& { return activation_->slots[static_cast<size_t>(place.index)]; };
  auto take = [&](const std::string& name) {
    for (size_t i = 0; i < arguments.keywords.size(); ++i) {
      if (arguments.keywords[i].first != name) continue;
      Value value = std::move(arguments.keywords[i].second);
      arguments.keywords.erase(arguments.keywords.begin() + static_cast<ptrdiff_t>(i));
      return value;
    }
    return Value::missing();
  };
  bool found_caller = false;
  for (size_t i = 0; i < count; ++i) {
    found_caller = found_caller || node.names[i] == "caller";
    slot(node.parameters[i]) = i < given ? arguments.args[i] : take(node.names[i]);
  }
  if (node.uses_caller && !found_caller) {
    Value caller = take("caller");
    bool absent = caller.is_missing() || caller.is_none();
    slot(node.caller) = absent ? undefined_message("No caller defined") : std::move(caller);
  }
  if (node.uses_kwargs) {
    Value rest = dict();
    for (auto& [name, value] : arguments.keywords) dict_set(rest, string(name), std::move(value));
    slot(node.kwargs) = std::move(rest);
  } else if (!arguments.keywords.empty()) {
    fail(fmt::format("macro '{}' takes no keyword argument '{}'", node.text, arguments.keywords[0].first));
  }
  if (node.uses_varargs) {
    slot(node.varargs) =
        tuple(std::vector<Value>(arguments.args.begin() + static_cast<ptrdiff_t>(given), arguments.args.end()));
  } else if (arguments.args.size() > count) {
    fail(fmt::format("macro '{}' takes not more than {} argument(s)", node.text, count));
  }
  enter(node.scope);
  for (size_t i = 0; i < count; ++i) {
    if (!slot(node.parameters[i]).is_missing()) continue;
    size_t from_end = count - i;
    Value value = from_end <= node.defaults.size() ? eval(*node.defaults[node.defaults.size() - from_end])
                                                   : undefined_message("a parameter of the macro was not provided");
    slot(node.parameters[i]) = std::move(value);
  }
  std::string text;
  exec_captured(node.body, text);
  pop_activation(std::move(before));
  --calls_;
  return string(std::move(text));
}

}  // namespace paro::jinja
