#include <algorithm>

#include "base/error.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/parser.h"

namespace paro::jinja {

ExprPtr Parser::make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

ExprPtr Parser::finish(ExprPtr node) const {
  int height = 0;
  auto measure = [&](const ExprPtr& item) {
    if (item) height = std::max(height, item->height);
  };
  for (const ExprPtr& item : node->items) measure(item);
  for (const ExprPtr& item : node->arguments.positional) measure(item);
  for (const auto& [name, item] : node->arguments.keywords) measure(item);
  measure(node->arguments.star);
  measure(node->arguments.double_star);
  node->height = height + 1;
  if (node->height > kMaxNesting) fail("an expression is nested too deeply");
  return node;
}

ExprPtr Parser::binary(ExprKind kind, ExprPtr left, ExprPtr right, int line) const {
  ExprPtr node = make(kind, line);
  node->items.push_back(std::move(left));
  node->items.push_back(std::move(right));
  return finish(std::move(node));
}

ExprPtr Parser::expression(bool with_condition) {
  Nested nested(*this);
  return with_condition ? condition() : logic_or();
}

ExprPtr Parser::condition() {
  int line = current().line;
  ExprPtr first = logic_or();
  while (skip_name("if")) {
    ExprPtr node = make(ExprKind::kCondition, line);
    node->items.push_back(logic_or());
    node->items.push_back(std::move(first));
    node->items.push_back(skip_name("else") ? expression() : nullptr);
    first = finish(std::move(node));
    line = current().line;
  }
  return first;
}

ExprPtr Parser::logic_or() {
  int line = current().line;
  ExprPtr left = logic_and();
  while (skip_name("or")) left = binary(ExprKind::kOr, std::move(left), logic_and(), line);
  return left;
}

ExprPtr Parser::logic_and() {
  int line = current().line;
  ExprPtr left = logic_not();
  while (skip_name("and")) left = binary(ExprKind::kAnd, std::move(left), logic_not(), line);
  return left;
}

ExprPtr Parser::logic_not() {
  if (!current().is_name("not")) return compare();
  Nested nested(*this);
  ExprPtr node = make(ExprKind::kNot, advance().line);
  node->items.push_back(logic_not());
  return finish(std::move(node));
}

ExprPtr Parser::compare() {
  int line = current().line;
  ExprPtr first = sum();
  ExprPtr node;
  for (;;) {
    static constexpr std::pair<std::string_view, Compare> kOperators[] = {
        {"==", Compare::kEqual},     {"!=", Compare::kNotEqual}, {"<", Compare::kLess},
        {"<=", Compare::kLessEqual}, {">", Compare::kGreater},   {">=", Compare::kGreaterEqual}};
    auto found = std::find_if(std::begin(kOperators), std::end(kOperators),
                              [&](const auto& entry) { return current().is_operator(entry.first); });
    Compare op;
    if (found != std::end(kOperators)) {
      op = found->second;
      advance();
    } else if (skip_name("in")) {
      op = Compare::kIn;
    } else if (current().is_name("not") && ahead().is_name("in")) {
      op = Compare::kNotIn;
      advance();
      advance();
    } else {
      break;
    }
    if (!node) {
      node = make(ExprKind::kCompare, line);
      node->items.push_back(std::move(first));
    }
    node->operators.push_back(op);
    node->items.push_back(sum());
  }
  return node ? finish(std::move(node)) : std::move(first);
}

ExprPtr Parser::sum() {
  int line = current().line;
  ExprPtr left = concat();
  while (current().is_operator("+") || current().is_operator("-")) {
    ExprKind kind = advance().text == "+" ? ExprKind::kAdd : ExprKind::kSubtract;
    left = binary(kind, std::move(left), concat(), line);
  }
  return left;
}

ExprPtr Parser::concat() {
  int line = current().line;
  ExprPtr first = product();
  if (!current().is_operator("~")) return first;
  ExprPtr node = make(ExprKind::kConcat, line);
  node->items.push_back(std::move(first));
  while (skip_operator("~")) node->items.push_back(product());
  return finish(std::move(node));
}

ExprPtr Parser::product() {
  int line = current().line;
  ExprPtr left = power();
  for (;;) {
    ExprKind kind;
    if (current().is_operator("*")) {
      kind = ExprKind::kMultiply;
    } else if (current().is_operator("/")) {
      kind = ExprKind::kDivide;
    } else if (current().is_operator("//")) {
      kind = ExprKind::kFloorDivide;
    } else if (current().is_operator("%")) {
      kind = ExprKind::kModulo;
    } else {
      return left;
    }
    advance();
    left = binary(kind, std::move(left), power(), line);
  }
}

ExprPtr Parser::power() {
  int line = current().line;
  ExprPtr left = unary(true);
  while (skip_operator("**")) left = binary(ExprKind::kPower, std::move(left), unary(true), line);
  return left;
}

ExprPtr Parser::unary(bool with_filter) {
  Nested nested(*this);
  ExprPtr node;
  if (current().is_operator("-") || current().is_operator("+")) {
    const Lexeme& token = advance();
    node = make(token.text == "-" ? ExprKind::kNegate : ExprKind::kPlus, token.line);
    node->items.push_back(unary(false));
    node = finish(std::move(node));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filter ? filters(std::move(node)) : std::move(node);
}

ExprPtr Parser::postfix(ExprPtr node) {
  for (;;) {
    if (current().is_operator(".") || current().is_operator("[")) {
      node = subscript(std::move(node));
    } else if (current().is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::filters(ExprPtr node) {
  for (;;) {
    if (current().is_operator("|")) {
      node = filter(std::move(node), false);
    } else if (current().is_name("is")) {
      node = test(std::move(node));
    } else if (current().is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::subscript(ExprPtr node) {
  int line = current().line;
  if (skip_operator(".")) {
    const Lexeme& name = advance();
    if (name.type == Token::kName) {
      ExprPtr attribute = make(ExprKind::kAttribute, line);
      attribute->text = name.text;
      attribute->items.push_back(std::move(node));
      return finish(std::move(attribute));
    }
    if (name.type != Token::kInteger) fail("expected a name or a number after '.'");
    ExprPtr index = make(ExprKind::kConst, line);
    index->constant = Value(name.integer);
    return binary(ExprKind::kItem, std::move(node), std::move(index), line);
  }
  expect_operator("[");
  ExprPtr first;
  bool slice = false;
  std::vector<ExprPtr> parts;
  if (current().is_operator("]")) fail("expected an expression in '[]'");
  if (!current().is_operator(":")) first = expression();
  if (skip_operator(":")) {
    slice = true;
    bool end = current().is_operator(":") || current().is_operator("]") || current().is_operator(",");
    parts.push_back(end ? nullptr : expression());
    ExprPtr step;
    if (skip_operator(":") && !current().is_operator("]")) step = expression();
    parts.push_back(std::move(step));
  }
  if (current().is_operator(",")) {
    if (slice) fail("a slice cannot be part of a tuple");
    ExprPtr several = make(ExprKind::kTuple, line);
    several->items.push_back(std::move(first));
    while (skip_operator(",")) several->items.push_back(expression());
    first = finish(std::move(several));
  }
  expect_operator("]");
  ExprPtr out = make(slice ? ExprKind::kSlice : ExprKind::kItem, line);
  out->items.push_back(std::move(node));
  out->items.push_back(std::move(first));
  for (ExprPtr& part : parts) out->items.push_back(std::move(part));
  return finish(std::move(out));
}

ExprPtr Parser::call(ExprPtr node) {
  ExprPtr out = make(ExprKind::kCall, current().line);
  out->items.push_back(std::move(node));
  out->arguments = arguments();
  return finish(std::move(out));
}

Arguments Parser::arguments() {
  Arguments out;
  expect_operator("(");
  bool comma = false;
  auto ensure = [&](bool valid) {
    if (!valid) fail("invalid order of arguments in a call");
  };
  while (!current().is_operator(")")) {
    if (comma) {
      expect_operator(",");
      if (current().is_operator(")")) break;
    }
    comma = true;
    if (skip_operator("*")) {
      ensure(!out.star && !out.double_star);
      out.star = expression();
    } else if (skip_operator("**")) {
      ensure(!out.double_star);
      out.double_star = expression();
    } else if (current().type == Token::kName && ahead().is_operator("=")) {
      ensure(!out.double_star);
      std::string name = advance().text;
      advance();
      for (const auto& [other, value] : out.keywords) {
        if (other == name) fail(fmt::format("keyword argument repeated: {}", name));
      }
      out.keywords.emplace_back(name, expression());
    } else {
      ensure(!out.star && !out.double_star && out.keywords.empty());
      out.positional.push_back(expression());
    }
  }
  expect_operator(")");
  return out;
}

ExprPtr Parser::filter(ExprPtr node, bool start_inline) {
  while (current().is_operator("|") || start_inline) {
    if (!start_inline) advance();
    start_inline = false;
    ExprPtr out = make(ExprKind::kFilter, current().line);
    out->text = expect_any_name();
    while (skip_operator(".")) out->text.append(1, '.').append(expect_any_name());
    out->builtin = find_filter(out->text);
    out->items.push_back(std::move(node));
    if (current().is_operator("(")) out->arguments = arguments();
    node = finish(std::move(out));
  }
  return node;
}

ExprPtr Parser::test(ExprPtr node) {
  int line = advance().line;
  bool negated = skip_name("not");
  ExprPtr out = make(ExprKind::kTest, line);
  out->text = expect_any_name();
  while (skip_operator(".")) out->text.append(1, '.').append(expect_any_name());
  out->builtin = find_test(out->text);
  out->items.push_back(std::move(node));
  Token type = current().type;
  bool operand = type == Token::kName || type == Token::kString || type == Token::kInteger || type == Token::kFloat ||
                 current().is_operator("[") || current().is_operator("{");
  if (current().is_operator("(")) {
    out->arguments = arguments();
  } else if (operand && !current().is_name("else") && !current().is_name("or") && !current().is_name("and")) {
    if (current().is_name("is")) fail("tests cannot be chained with 'is'");
    out->arguments.positional.push_back(postfix(primary()));
  }
  out = finish(std::move(out));
  if (!negated) return out;
  ExprPtr inverse = make(ExprKind::kNot, line);
  inverse->items.push_back(std::move(out));
  return finish(std::move(inverse));
}

}  // namespace paro::jinja
