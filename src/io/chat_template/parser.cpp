#include "io/chat_template/parser.h"

#include <algorithm>

#include "base/error.h"

namespace paro::jinja {

const Lexeme& Parser::advance() {
  const Lexeme& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::skip_operator(std::string_view symbol) {
  if (!current().is_operator(symbol)) return false;
  advance();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  advance();
  return true;
}

std::string Parser::describe(const Lexeme& token) const {
  switch (token.type) {
    case Token::kData: return "template text";
    case Token::kVariableEnd: return "end of print statement";
    case Token::kBlockEnd: return "end of statement block";
    case Token::kVariableBegin: return "begin of print statement";
    case Token::kBlockBegin: return "begin of statement block";
    case Token::kString: return "a string";
    case Token::kInteger:
    case Token::kFloat: return "a number";
    case Token::kEnd: return "end of template";
    default: return fmt::format("'{}'", token.text);
  }
}

void Parser::expect_operator(std::string_view symbol) {
  if (!skip_operator(symbol)) fail(fmt::format("expected '{}', found {}", symbol, describe(current())));
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail(fmt::format("expected '{}', found {}", name, describe(current())));
}

std::string Parser::expect_any_name() {
  if (current().type != Token::kName) fail(fmt::format("expected a name, found {}", describe(current())));
  return advance().text;
}

void Parser::expect_block_end() {
  if (current().type != Token::kBlockEnd) {
    fail(fmt::format("expected end of statement block, found {}", describe(current())));
  }
  advance();
}

std::vector<StmtPtr> Parser::parse() { return subparse({}); }

/// Statements up to one of `end_tags`, which stays the current token.
std::vector<StmtPtr> Parser::subparse(Names end_tags) {
  std::vector<StmtPtr> out;
  while (current().type != Token::kEnd) {
    const Lexeme& token = advance();
    auto node = std::make_unique<Stmt>();
    node->line = token.line;
    if (token.type == Token::kData) {
      node->kind = StmtKind::kText;
      node->text = token.text;
      out.push_back(std::move(node));
    } else if (token.type == Token::kVariableBegin) {
      node->kind = StmtKind::kOutput;
      node->items.push_back(plain_tuple());
      if (current().type != Token::kVariableEnd) {
        fail(fmt::format("expected end of print statement, found {}", describe(current())));
      }
      advance();
      out.push_back(std::move(node));
    } else {
      if (current().type == Token::kName &&
          std::find(end_tags.begin(), end_tags.end(), current().text) != end_tags.end()) {
        return out;
      }
      out.push_back(statement());
      expect_block_end();
    }
  }
  if (end_tags.size() > 0) fail(fmt::format("unexpected end of template, expected '{}'", *(end_tags.end() - 1)));
  return out;
}

std::vector<StmtPtr> Parser::body(Names end_tags) {
  skip_operator(":");
  expect_block_end();
  return subparse(end_tags);
}

std::vector<StmtPtr> Parser::body_until(std::string_view end_tag) {
  std::vector<StmtPtr> out = body({end_tag});
  advance();
  return out;
}

StmtPtr Parser::statement() {
  Nested nested(*this);
  if (current().type != Token::kName) fail("tag name expected");
  auto node = std::make_unique<Stmt>();
  node->line = current().line;
  std::string tag = advance().text;
  return statement_of(tag, std::move(node));
}

StmtPtr Parser::statement_of(const std::string& tag, StmtPtr node) {
  if (tag == "if") {
    parse_if(*node);
  } else if (tag == "for") {
    parse_for(*node);
  } else if (tag == "set") {
    parse_set(*node);
  } else if (tag == "macro") {
    node->kind = StmtKind::kMacro;
    node->target = name_target();
    node->text = node->target->text;
    parse_signature(*node);
    node->body = body_until("endmacro");
  } else if (tag == "call") {
    parse_call(*node);
  } else if (tag == "filter") {
    node->kind = StmtKind::kFilterBlock;
    node->value = filter(nullptr, true);
    node->body = body_until("endfilter");
  } else if (tag == "with") {
    parse_with(*node);
  } else if (tag == "block") {
    parse_block(*node);
  } else if (tag == "generation") {
    node->kind = StmtKind::kScope;
    node->body = body_until("endgeneration");
  } else if (tag == "break" || tag == "continue") {
    node->kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
  } else if (tag == "print") {
    node->kind = StmtKind::kOutput;
    while (current().type != Token::kBlockEnd) {
      if (!node->items.empty()) expect_operator(",");
      node->items.push_back(expression());
    }
  } else if (tag == "include" || tag == "import" || tag == "extends" || tag == "from") {
    node->kind = StmtKind::kUnsupported;
    node->text = tag;
    while (current().type != Token::kBlockEnd && current().type != Token::kEnd) advance();
  } else {
    at_ -= 1;
    fail(fmt::format("unknown tag '{}'", tag));
  }
  return node;
}

void Parser::parse_if(Stmt& node) {
  node.kind = StmtKind::kIf;
  for (;;) {
    Branch& branch = node.branches.emplace_back();
    branch.test = tuple({.with_condition = false});
    branch.body = body({"elif", "else", "endif"});
    std::string tag = advance().text;
    if (tag == "elif") continue;
    if (tag == "else") node.branches.emplace_back().body = body_until("endif");
    return;
  }
}

void Parser::parse_for(Stmt& node) {
  node.kind = StmtKind::kFor;
  node.target = assign_target(false, "in");
  expect_name("in");
  node.value = tuple({.with_condition = false, .end_name = "recursive"});
  if (skip_name("if")) node.test = expression();
  node.recursive = skip_name("recursive");
  node.body = body({"endfor", "else"});
  if (advance().text == "else") node.otherwise = body_until("endfor");
}

void Parser::parse_set(Stmt& node) {
  node.target = assign_target(true);
  if (skip_operator("=")) {
    node.kind = StmtKind::kSet;
    node.value = plain_tuple();
    return;
  }
  node.kind = StmtKind::kSetBlock;
  node.value = filter(nullptr, false);
  node.body = body_until("endset");
}

void Parser::parse_with(Stmt& node) {
  node.kind = StmtKind::kWith;
  while (current().type != Token::kBlockEnd) {
    if (!node.items.empty()) expect_operator(",");
    node.items.push_back(assign_target(false));
    expect_operator("=");
    node.defaults.push_back(expression());
  }
  node.body = body_until("endwith");
}

void Parser::parse_call(Stmt& node) {
  node.kind = StmtKind::kCallBlock;
  if (current().is_operator("(")) parse_signature(node);
  node.value = expression();
  if (node.value->kind != ExprKind::kCall) fail("expected a call after 'call'");
  node.body = body_until("endcall");
}

void Parser::parse_block(Stmt& node) {
  node.kind = StmtKind::kScope;
  node.text = expect_any_name();
  skip_name("scoped");
  skip_name("required");
  node.body = body_until("endblock");
  skip_name(node.text);
}

void Parser::parse_signature(Stmt& node) {
  expect_operator("(");
  while (!current().is_operator(")")) {
    if (!node.names.empty()) expect_operator(",");
    node.names.push_back(name_target()->text);
    if (skip_operator("=")) {
      node.defaults.push_back(expression());
    } else if (!node.defaults.empty()) {
      fail("non-default argument follows default argument");
    }
  }
  expect_operator(")");
}

}  // namespace paro::jinja
