// Tests: what stands behind "is".
#include "io/chat_template/bind.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/methods.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

template <bool (*Test)(const Value&)>
Value plain(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "test", call, {});
  return Value(Test(self));
}

bool defined(const Value& v) { return !v.is_undefined(); }
bool undefined(const Value& v) { return v.is_undefined(); }
bool none(const Value& v) { return v.is_none(); }
bool boolean(const Value& v) { return v.is(Type::kBool); }
bool is_true(const Value& v) { return v.is(Type::kBool) && v.boolean(); }
bool is_false(const Value& v) { return v.is(Type::kBool) && !v.boolean(); }
bool integer(const Value& v) { return v.is(Type::kInt); }
bool is_float(const Value& v) { return v.is(Type::kFloat); }
bool number(const Value& v) { return v.is_number(); }
bool string(const Value& v) { return v.is_string(); }
bool mapping(const Value& v) { return v.is_dict(); }
bool sequence(const Value& v) {
  return v.is_string() || v.is_sequence() || v.is_dict() || v.is(Type::kRange) || v.is_undefined();
}
bool iterable(const Value& v) {
  return sequence(v) || v.is(Type::kView) || v.is(Type::kGenerator) || v.is(Type::kLoop);
}
bool callable(const Value& v) {
  return v.is(Type::kFunction) || v.is(Type::kMacro) || v.is(Type::kLoop) || v.is(Type::kJoiner) || v.is_undefined();
}
bool escaped(const Value& v) { return v.is_string() && v.markup(); }

template <Compare Op>
Value comparison(Runtime& runtime, const Value& self, Call& call) {
  auto [other] = bind<1>(runtime, "test", call, {"/other"}, 1);
  return Value(runtime.compare(Op, self, other));
}

template <int64_t Rest>
Value parity(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "test", call, {});
  return Value(runtime.equals(runtime.arithmetic(ExprKind::kModulo, self, Value(int64_t{2})), Value(Rest)));
}

Value divisibleby(Runtime& runtime, const Value& self, Call& call) {
  auto [divisor] = bind<1>(runtime, "divisibleby", call, {"num"}, 1);
  return Value(runtime.equals(runtime.arithmetic(ExprKind::kModulo, self, divisor), Value(int64_t{0})));
}

Value sameas(Runtime& runtime, const Value& self, Call& call) {
  auto [other] = bind<1>(runtime, "sameas", call, {"other"}, 1);
  if (self.type() != other.type()) return Value(false);
  if (self.has_object()) {
    bool equal_text = self.is_string() && self.text() == other.text();
    return Value(self.object() == other.object() || equal_text);
  }
  return Value(runtime.equals(self, other));
}

template <bool Upper>
Value cased(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "test", call, {});
  Value text = runtime.string(runtime.str(self));
  return find_named(string_search_methods(), Upper ? "isupper" : "islower", nullptr)(runtime, text, call);
}

Value is_filter(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "filter", call, {});
  return Value(self.is_string() && find_filter(self.text()) != nullptr);
}

Value is_test(Runtime& runtime, const Value& self, Call& call) {
  bind<0>(runtime, "test", call, {});
  return Value(self.is_string() && find_test(self.text()) != nullptr);
}

Value in(Runtime& runtime, const Value& self, Call& call) {
  auto [container] = bind<1>(runtime, "in", call, {"seq"}, 1);
  return Value(runtime.contains(container, self));
}

constexpr NamedBuiltin kTests[] = {
    {"defined", plain<defined>},
    {"undefined", plain<undefined>},
    {"none", plain<none>},
    {"boolean", plain<boolean>},
    {"true", plain<is_true>},
    {"false", plain<is_false>},
    {"integer", plain<integer>},
    {"float", plain<is_float>},
    {"number", plain<number>},
    {"string", plain<string>},
    {"mapping", plain<mapping>},
    {"sequence", plain<sequence>},
    {"iterable", plain<iterable>},
    {"callable", plain<callable>},
    {"escaped", plain<escaped>},
    {"==", comparison<Compare::kEqual>},
    {"eq", comparison<Compare::kEqual>},
    {"equalto", comparison<Compare::kEqual>},
    {"!=", comparison<Compare::kNotEqual>},
    {"ne", comparison<Compare::kNotEqual>},
    {"<", comparison<Compare::kLess>},
    {"lt", comparison<Compare::kLess>},
    {"lessthan", comparison<Compare::kLess>},
    {"<=", comparison<Compare::kLessEqual>},
    {"le", comparison<Compare::kLessEqual>},
    {">", comparison<Compare::kGreater>},
    {"gt", comparison<Compare::kGreater>},
    {"greaterthan", comparison<Compare::kGreater>},
    {">=", comparison<Compare::kGreaterEqual>},
    {"ge", comparison<Compare::kGreaterEqual>},
    {"odd", parity<1>},
    {"even", parity<0>},
    {"divisibleby", divisibleby},
    {"sameas", sameas},
    {"lower", cased<false>},
    {"upper", cased<true>},
    {"filter", is_filter},
    {"test", is_test},
    {"in", in},
};

}  // namespace

Builtin find_test(std::string_view name) { return find_named(kTests, name, nullptr); }

}  // namespace paro::jinja
