// Visiting the names of a tree in the order in which jinja2 visits them, which decides what some names mean.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "io/chat_template/ast.h"

namespace paro::jinja {

/// Calls `visit` for every direct part of `expr` that is not null.
template <typename Visit>
void for_each_part(const Expr& expr, Visit&& visit) {
  for (const ExprPtr& item : expr.items) {
    if (item) visit(*item);
  }
  for (const ExprPtr& item : expr.arguments.positional) visit(*item);
  for (const auto& [name, item] : expr.arguments.keywords) visit(*item);
  if (expr.arguments.star) visit(*expr.arguments.star);
  if (expr.arguments.double_star) visit(*expr.arguments.double_star);
}

/// Which of `names` the statements read before they set them.
std::set<std::string> find_undeclared(const std::vector<StmtPtr>& body, std::set<std::string> names);
/// Whether a statement or target of the loop stores into the variable `name`.
bool stores_name(const Stmt& stmt, const std::string& name);
ExprPtr clone_target(const Expr& target);

}  // namespace paro::jinja
