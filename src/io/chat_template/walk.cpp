#include "io/chat_template/walk.h"

namespace paro::jinja {
namespace {

/// Every name in order: (name, stored).
class NameWalk {
 public:
  explicit NameWalk(std::function<void(const std::string&, bool)> visit) : visit_(std::move(visit)) {}

  void expr(const Expr& node) {
    if (node.kind == ExprKind::kName) visit_(node.text, node.store);
    for_each_part(node, [&](const Expr& part) { expr(part); });
  }
  void expr(const ExprPtr& node) {
    if (node) expr(*node);
  }
  void body(const std::vector<StmtPtr>& statements) {
    for (const StmtPtr& statement : statements) stmt(*statement);
  }
  void stmt(const Stmt& node) {
    if (node.kind == StmtKind::kScope && !node.text.empty()) return;  // jinja2 does not look into blocks
    if (node.kind != StmtKind::kMacro) expr(node.target);             // a macro's own name is no Name node
    for (const Branch& branch : node.branches) {
      expr(branch.test);
      body(branch.body);
    }
    if (node.kind == StmtKind::kFilterBlock) body(node.body);
    expr(node.value);
    for (const std::string& name : node.names) visit_(name, true);
    for (const ExprPtr& item : node.items) expr(item);
    for (const ExprPtr& item : node.defaults) expr(item);
    if (node.kind != StmtKind::kFilterBlock) body(node.body);
    body(node.otherwise);
    expr(node.test);
  }

 private:
  std::function<void(const std::string&, bool)> visit_;
};

}  // namespace

std::set<std::string> find_undeclared(const std::vector<StmtPtr>& body, std::set<std::string> names) {
  std::set<std::string> undeclared;
  NameWalk walk([&](const std::string& name, bool stored) {
    if (names.count(name) == 0) return;
    if (stored) {
      names.erase(name);
    } else {
      undeclared.insert(name);
    }
  });
  walk.body(body);
  return undeclared;
}

bool stores_name(const Stmt& stmt, const std::string& name) {
  bool found = false;
  NameWalk walk([&](const std::string& other, bool stored) { found = found || (stored && other == name); });
  walk.stmt(stmt);
  return found;
}

ExprPtr clone_target(const Expr& target) {
  auto out = std::make_unique<Expr>();
  out->kind = target.kind;
  out->line = target.line;
  out->height = target.height;
  out->store = target.store;
  out->text = target.text;
  for (const ExprPtr& item : target.items) out->items.push_back(clone_target(*item));
  return out;
}

}  // namespace paro::jinja
