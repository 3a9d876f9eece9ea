// + - * / // % ** with Python's meaning on numbers, strings and lists. Integers have 64 bits; beyond is an error.
#include <cmath>

#include "base/error.h"
#include "io/chat_template/format.h"
#include "io/chat_template/runtime.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

const char* symbol_of(ExprKind op) {
  switch (op) {
    case ExprKind::kAdd: return "+";
    case ExprKind::kSubtract: return "-";
    case ExprKind::kMultiply: return "*";
    case ExprKind::kDivide: return "/";
    case ExprKind::kFloorDivide: return "//";
    case ExprKind::kModulo: return "%";
    default: return "**";
  }
}

Value integer_operation(Runtime& runtime, ExprKind op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflow = false;
  switch (op) {
    case ExprKind::kAdd: overflow = __builtin_add_overflow(a, b, &out); break;
    case ExprKind::kSubtract: overflow = __builtin_sub_overflow(a, b, &out); break;
    case ExprKind::kMultiply: overflow = __builtin_mul_overflow(a, b, &out); break;
    case ExprKind::kDivide:
      if (b == 0) runtime.fail("division by zero");
      return Value(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
    case ExprKind::kFloorDivide:
    case ExprKind::kModulo: {
      if (b == 0) runtime.fail("integer division or modulo by zero");
      if (b == -1) {
        if (op == ExprKind::kModulo) return Value(int64_t{0});
        overflow = __builtin_sub_overflow(int64_t{0}, a, &out);
        break;
      }
      int64_t quotient = a / b, rest = a % b;
      if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        --quotient;
      }
      out = op == ExprKind::kModulo ? rest : quotient;
      break;
    }
    default: {
      if (b < 0) {
        if (a == 0) runtime.fail("0.0 cannot be raised to a negative power");
        return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      out = 1;
      int64_t base = a;
      for (int64_t n = b; n > 0 && !overflow; n >>= 1) {
        if (n & 1) overflow = __builtin_mul_overflow(out, base, &out);
        if (n > 1 && !overflow) overflow = __builtin_mul_overflow(base, base, &base);
      }
    }
  }
  if (overflow) runtime.fail("an integer does not fit into 64 bits");
  return Value(out);
}

Value float_operation(Runtime& runtime, ExprKind op, double a, double b) {
  switch (op) {
    case ExprKind::kAdd: return Value(a + b);
    case ExprKind::kSubtract: return Value(a - b);
    case ExprKind::kMultiply: return Value(a * b);
    case ExprKind::kDivide:
      if (b == 0) runtime.fail("float division by zero");
      return Value(a / b);
    case ExprKind::kFloorDivide:
    case ExprKind::kModulo: {
      if (b == 0) runtime.fail("float floor division or modulo by zero");
      double rest = std::fmod(a, b), quotient = (a - rest) / b;
      if (rest != 0) {
        if ((b < 0) != (rest < 0)) {
          rest += b;
          quotient -= 1;
        }
      } else {
        rest = std::copysign(0.0, b);
      }
      if (op == ExprKind::kModulo) return Value(rest);
      if (quotient == 0) return Value(std::copysign(0.0, a / b));
      double floor = std::floor(quotient);
      return Value(quotient - floor > 0.5 ? floor + 1 : floor);
    }
    default: {
      if (a == 0 && b < 0) runtime.fail("0.0 cannot be raised to a negative power");
      double out = std::pow(a, b);
      if (std::isnan(out) && !std::isnan(a) && !std::isnan(b)) runtime.fail("complex numbers are not supported");
      if (std::isinf(out) && !std::isinf(a) && !std::isinf(b)) runtime.fail("numerical result out of range");
      return Value(out);
    }
  }
}

Value repeat(Runtime& runtime, const Value& value, int64_t times) {
  if (times < 0) times = 0;
  if (value.is_string()) {
    runtime.check_size(static_cast<double>(value.text().size()) * static_cast<double>(times));
    runtime.charge_bytes(value.text().size() * static_cast<size_t>(times));
    std::string out;
    out.reserve(value.text().size() * static_cast<size_t>(times));
    if (!value.text().empty()) {
      for (int64_t i = 0; i < times; ++i) out += value.text();
    }
    return runtime.string(std::move(out), value.markup());
  }
  const auto& items = value.items();
  runtime.check_size(static_cast<double>(items.size()) * static_cast<double>(times) * sizeof(Value));
  runtime.charge(1 + static_cast<int64_t>(items.size()) * times / 16);
  std::vector<Value> out;
  out.reserve(items.size() * static_cast<size_t>(times));
  if (!items.empty()) {
    for (int64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  }
  return value.is(Type::kList) ? runtime.list(std::move(out)) : runtime.tuple(std::move(out));
}

}  // namespace

Value Runtime::add(const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    check_size(static_cast<double>(a.text().size()) + static_cast<double>(b.text().size()));
    charge_bytes(a.text().size() + b.text().size());
    bool markup = a.markup() || b.markup();
    std::string out;
    out.reserve(a.text().size() + b.text().size());
    for (const Value* side : {&a, &b}) {
      if (markup && !side->markup()) {
        out += escape_html(side->text());
      } else {
        out += side->text();
      }
    }
    return string(std::move(out), markup);
  }
  if (a.is_sequence() && a.type() == b.type()) {
    check_size(static_cast<double>(a.items().size() + b.items().size()) * sizeof(Value));
    charge(1 + static_cast<int64_t>(a.items().size() + b.items().size()) / 16);
    std::vector<Value> out;
    out.reserve(a.items().size() + b.items().size());
    out.insert(out.end(), a.items().begin(), a.items().end());
    out.insert(out.end(), b.items().begin(), b.items().end());
    return a.is(Type::kList) ? list(std::move(out)) : tuple(std::move(out));
  }
  return arithmetic(ExprKind::kAdd, a, b);
}

Value Runtime::arithmetic(ExprKind op, const Value& a, const Value& b) {
  charge();
  if (op == ExprKind::kModulo && a.is_string()) return printf_format(*this, a, b);
  if (a.is_integer() && b.is_integer()) return integer_operation(*this, op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return float_operation(*this, op, a.number(), b.number());
  if (op == ExprKind::kMultiply) {
    if ((a.is_string() || a.is_sequence()) && b.is_integer()) return repeat(*this, a, b.integer());
    if ((b.is_string() || b.is_sequence()) && a.is_integer()) return repeat(*this, b, a.integer());
  }
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  fail(fmt::format("unsupported operand types for {}: '{}' and '{}'", symbol_of(op), type_name(a), type_name(b)));
}

Value Runtime::negate(const Value& value, bool minus) {
  charge();
  if (value.is_undefined()) fail_undefined(value);
  if (value.is(Type::kFloat)) return minus ? Value(-value.number()) : value;
  if (!value.is_integer()) fail(fmt::format("bad operand type for unary operator: '{}'", type_name(value)));
  if (!minus) return Value(value.integer());
  return integer_operation(*this, ExprKind::kSubtract, 0, value.integer());
}

}  // namespace paro::jinja
