// Names, literals, tuples and targets of assignments.
#include "base/error.h"
#include "io/chat_template/parser.h"

namespace paro::jinja {

ExprPtr Parser::primary(bool with_namespace) {
  const Lexeme& token = current();
  switch (token.type) {
    case Token::kName: {
      advance();
      const std::string& name = token.text;
      bool boolean = name == "true" || name == "True" || name == "false" || name == "False";
      if (boolean || name == "none" || name == "None") {
        ExprPtr node = make(ExprKind::kConst, token.line);
        if (boolean) node->constant = Value(name == "true" || name == "True");
        return node;
      }
      ExprPtr node = make(ExprKind::kName, token.line);
      node->text = name;
      if (with_namespace && skip_operator(".")) {
        ExprPtr reference = make(ExprKind::kNamespaceRef, token.line);
        reference->text = expect_any_name();
        reference->items.push_back(std::move(node));
        return finish(std::move(reference));
      }
      return node;
    }
    case Token::kString: return literal_string();
    case Token::kInteger:
    case Token::kFloat: {
      ExprPtr node = make(ExprKind::kConst, token.line);
      node->constant = token.type == Token::kInteger ? Value(token.integer) : Value(token.number);
      advance();
      return node;
    }
    case Token::kOperator:
      if (token.text == "(") {
        advance();
        ExprPtr node = tuple({.parentheses = true});
        expect_operator(")");
        return node;
      }
      if (token.text == "[") return list();
      if (token.text == "{") return dict();
      break;
    default: break;
  }
  fail(fmt::format("unexpected {}", describe(token)));
}

/// Strings that follow one another are one.
ExprPtr Parser::literal_string() {
  ExprPtr node = make(ExprKind::kConst, current().line);
  node->text_owner = std::make_unique<StringObject>();
  node->text_owner->immortal = true;
  while (current().type == Token::kString) node->text_owner->storage += advance().text;
  node->text_owner->text = node->text_owner->storage;
  node->constant = Value(Type::kString, node->text_owner.get());
  return node;
}

ExprPtr Parser::list() {
  ExprPtr node = make(ExprKind::kList, current().line);
  expect_operator("[");
  while (!current().is_operator("]")) {
    if (!node->items.empty()) expect_operator(",");
    if (current().is_operator("]")) break;
    node->items.push_back(expression());
  }
  expect_operator("]");
  return finish(std::move(node));
}

ExprPtr Parser::dict() {
  ExprPtr node = make(ExprKind::kDict, current().line);
  expect_operator("{");
  while (!current().is_operator("}")) {
    if (!node->items.empty()) expect_operator(",");
    if (current().is_operator("}")) break;
    node->items.push_back(expression());
    expect_operator(":");
    node->items.push_back(expression());
  }
  expect_operator("}");
  return finish(std::move(node));
}

ExprPtr Parser::tuple(TupleRules rules) {
  ExprPtr node = make(ExprKind::kTuple, current().line);
  bool is_tuple = false;
  for (;;) {
    if (!node->items.empty()) expect_operator(",");
    bool end = current().type == Token::kVariableEnd || current().type == Token::kBlockEnd ||
               current().is_operator(")") || (!rules.end_name.empty() && current().is_name(rules.end_name));
    if (end) break;
    node->items.push_back(rules.simplified ? primary(rules.with_namespace) : expression(rules.with_condition));
    if (!current().is_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!node->items.empty()) return std::move(node->items[0]);
    if (!rules.parentheses) fail(fmt::format("expected an expression, found {}", describe(current())));
  }
  return finish(std::move(node));
}

ExprPtr Parser::assign_target(bool with_namespace, std::string_view end_name) {
  Nested nested(*this);
  ExprPtr target = tuple({.simplified = true, .with_namespace = with_namespace, .end_name = end_name});
  mark_store(*target);
  return target;
}

ExprPtr Parser::name_target() {
  ExprPtr node = make(ExprKind::kName, current().line);
  node->text = expect_any_name();
  mark_store(*node);
  return node;
}

void Parser::mark_store(Expr& node) const {
  if (node.kind == ExprKind::kTuple) {
    for (ExprPtr& item : node.items) mark_store(*item);
  } else if (node.kind == ExprKind::kName) {
    node.store = true;
    for (std::string_view word : {"true", "false", "none", "True", "False", "None"}) {
      if (node.text == word) fail(fmt::format("can't assign to '{}'", word));
    }
  } else if (node.kind != ExprKind::kNamespaceRef) {
    fail("can't assign to this expression");
  }
}

}  // namespace paro::jinja
