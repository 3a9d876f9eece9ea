// Evaluation of expressions.
#include "base/error.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/guard.h"
#include "io/chat_template/runtime.h"

namespace paro::jinja {

Value Runtime::eval_name(const Expr& expr) {
  const Value& value = at(expr.slot);
  return value.is_missing() ? undefined(expr.text) : value;
}

Value Runtime::eval(const Expr& expr) {
  charge();
  DepthGuard guard(*this);
  line_ = expr.line;
  switch (expr.kind) {
    case ExprKind::kConst: return expr.constant;
    case ExprKind::kName: return eval_name(expr);
    case ExprKind::kNamespaceRef: fail("unexpected target");
    case ExprKind::kTuple:
    case ExprKind::kList:
    case ExprKind::kDict: return eval_container(expr);
    case ExprKind::kNegate:
    case ExprKind::kPlus: return negate(eval(*expr.items[0]), expr.kind == ExprKind::kNegate);
    case ExprKind::kNot: return Value(!truthy(eval(*expr.items[0])));
    case ExprKind::kAdd: {
      Value left = eval(*expr.items[0]);
      return add(left, eval(*expr.items[1]));
    }
    case ExprKind::kSubtract:
    case ExprKind::kMultiply:
    case ExprKind::kDivide:
    case ExprKind::kFloorDivide:
    case ExprKind::kModulo:
    case ExprKind::kPower: {
      Value left = eval(*expr.items[0]);
      return arithmetic(expr.kind, left, eval(*expr.items[1]));
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      Value left = eval(*expr.items[0]);
      return truthy(left) == (expr.kind == ExprKind::kAnd) ? eval(*expr.items[1]) : left;
    }
    case ExprKind::kConcat: return eval_concat(expr);
    case ExprKind::kCompare: return eval_compare(expr);
    case ExprKind::kAttribute: return attribute(eval(*expr.items[0]), expr.text);
    case ExprKind::kItem: {
      Value object = eval(*expr.items[0]);
      return item(object, eval(*expr.items[1]));
    }
    case ExprKind::kSlice: {
      Value object = eval(*expr.items[0]), parts[3];
      for (size_t i = 0; i < 3; ++i) {
        if (expr.items[i + 1]) parts[i] = eval(*expr.items[i + 1]);
      }
      return slice(object, parts[0], parts[1], parts[2]);
    }
    case ExprKind::kCondition:
      if (truthy(eval(*expr.items[0]))) return eval(*expr.items[1]);
      if (expr.items[2]) return eval(*expr.items[2]);
      return undefined_message("the inline if-expression evaluated to false and no else section was defined");
    case ExprKind::kCall: return eval_call(expr, nullptr);
    case ExprKind::kFilter: return eval_filter(expr, eval(*expr.items[0]));
    case ExprKind::kTest: return eval_filter(expr, eval(*expr.items[0]));
  }
  return Value();
}

Value Runtime::eval_container(const Expr& expr) {
  if (expr.kind == ExprKind::kDict) {
    Value out = dict();
    for (size_t i = 0; i < expr.items.size(); i += 2) {
      Value key = eval(*expr.items[i]);
      dict_set(out, std::move(key), eval(*expr.items[i + 1]));
    }
    return out;
  }
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const ExprPtr& part : expr.items) items.push_back(eval(*part));
  return expr.kind == ExprKind::kList ? list(std::move(items)) : tuple(std::move(items));
}

Value Runtime::eval_concat(const Expr& expr) {
  std::string out;
  for (const ExprPtr& part : expr.items) {
    append_str(out, eval(*part));
    check_size(static_cast<double>(out.size()));
  }
  charge_bytes(out.size());
  return string(std::move(out));
}

Value Runtime::eval_compare(const Expr& expr) {
  Value left = eval(*expr.items[0]);
  bool result = true;
  for (size_t i = 0; i < expr.operators.size() && result; ++i) {
    Value right = eval(*expr.items[i + 1]);
    result = compare(expr.operators[i], left, right);
    left = std::move(right);
  }
  return Value(result);
}

void Runtime::eval_arguments(const Arguments& arguments, Call& call) {
  call.args.reserve(arguments.positional.size());
  for (const ExprPtr& argument : arguments.positional) call.args.push_back(eval(*argument));
  for (const auto& [name, argument] : arguments.keywords) call.keywords.emplace_back(name, eval(*argument));
  if (arguments.star) {
    for (Value& value : collect(eval(*arguments.star))) call.args.push_back(std::move(value));
  }
  if (arguments.double_star) {
    Value extra = eval(*arguments.double_star);
    if (!extra.is_dict()) fail("argument after ** must be a mapping");
    for (const auto& [key, value] : extra.dict().entries) {
      charge();
      if (!key.is_string()) fail("keywords must be strings");
      call.keywords.emplace_back(std::string(key.text()), value);
    }
    // Repeated names: short lists are compared directly, long ones cost what they are.
    charge(static_cast<int64_t>(call.keywords.size() * call.keywords.size() / 64));
    for (size_t i = 0; i < call.keywords.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (call.keywords[i].first == call.keywords[j].first) fail("got multiple values for a keyword argument");
      }
    }
  }
}

Value Runtime::eval_call(const Expr& expr, const Value* caller) {
  const Expr& target = *expr.items[0];
  // A method of a value is called without making a bound method first.
  Value self;
  Builtin method = nullptr;
  Value callee = Value::missing();
  if (target.kind == ExprKind::kAttribute) {
    self = eval(*target.items[0]);
    bool plain = self.is_string() || self.is_dict() || self.is_sequence();
    const char* stored = nullptr;
    bool forbidden = false;
    if (plain) method = find_method(self, target.text, &stored, &forbidden);
    if (method == nullptr) callee = attribute(self, target.text);
  } else {
    callee = eval(target);
  }
  Call call_arguments;
  eval_arguments(expr.arguments, call_arguments);
  if (caller != nullptr) call_arguments.keywords.emplace_back("caller", *caller);
  line_ = expr.line;
  charge();
  if (method != nullptr) return method(*this, self, call_arguments);
  return call(callee, call_arguments);
}

Value Runtime::eval_filter(const Expr& expr, const Value& piped) {
  if (expr.builtin == nullptr) {
    fail(fmt::format("no {} named '{}'", expr.kind == ExprKind::kFilter ? "filter" : "test", expr.text));
  }
  Call arguments;
  eval_arguments(expr.arguments, arguments);
  line_ = expr.line;
  return expr.builtin(*this, piped, arguments);
}

}  // namespace paro::jinja
