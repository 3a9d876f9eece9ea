// Tokens to the tree of ast.h. The grammar is that of jinja2 3.1 with loop controls and the generation tag.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "io/chat_template/ast.h"
#include "io/chat_template/lexer.h"

namespace paro::jinja {

class Parser {
 public:
  Parser(std::vector<Lexeme> tokens, const std::string& place) : tokens_(std::move(tokens)), place_(place) {}

  std::vector<StmtPtr> parse();

 private:
  /// Bounds the recursion of the parser and, through Expr::height, of everything that walks the tree.
  static constexpr int kMaxNesting = 200;
  struct Nested {
    explicit Nested(Parser& parser) : owner(parser) {
      if (++owner.nesting_ > kMaxNesting) owner.fail("the template is nested too deeply");
    }
    ~Nested() { --owner.nesting_; }
    Parser& owner;
  };

  [[noreturn]] void fail(std::string_view message) const { fail_template(place_, current().line, message); }
  const Lexeme& current() const { return tokens_[at_]; }
  const Lexeme& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Lexeme& advance();
  bool skip_operator(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_operator(std::string_view symbol);
  void expect_name(std::string_view name);
  std::string expect_any_name();
  void expect_block_end();
  std::string describe(const Lexeme& token) const;

  // parser.cpp: statements
  using Names = std::initializer_list<std::string_view>;
  std::vector<StmtPtr> subparse(Names end_tags);
  std::vector<StmtPtr> body(Names end_tags);
  std::vector<StmtPtr> body_until(std::string_view end_tag);
  StmtPtr statement();
  StmtPtr statement_of(const std::string& tag, StmtPtr node);
  void parse_if(Stmt& node);
  void parse_for(Stmt& node);
  void parse_set(Stmt& node);
  void parse_with(Stmt& node);
  void parse_call(Stmt& node);
  void parse_block(Stmt& node);
  void parse_signature(Stmt& node);

  // parser_expr.cpp: expressions
  ExprPtr make(ExprKind kind, int line) const;
  ExprPtr finish(ExprPtr node) const;  // sets and checks the height
  ExprPtr binary(ExprKind kind, ExprPtr left, ExprPtr right, int line) const;
  ExprPtr expression(bool with_condition = true);
  ExprPtr condition();
  ExprPtr logic_or();
  ExprPtr logic_and();
  ExprPtr logic_not();
  ExprPtr compare();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter);
  ExprPtr primary(bool with_namespace = false);
  ExprPtr literal_string();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr node);
  ExprPtr filters(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr call(ExprPtr node);
  ExprPtr filter(ExprPtr node, bool start_inline);
  ExprPtr test(ExprPtr node);
  Arguments arguments();
  struct TupleRules {
    bool simplified = false, with_condition = true, parentheses = false, with_namespace = false;
    std::string_view end_name = {};
  };
  ExprPtr tuple(TupleRules rules);
  ExprPtr plain_tuple() { return tuple(TupleRules{}); }
  ExprPtr assign_target(bool with_namespace, std::string_view end_name = {});
  ExprPtr name_target();
  void mark_store(Expr& node) const;

  const std::vector<Lexeme> tokens_;
  const std::string& place_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace paro::jinja
