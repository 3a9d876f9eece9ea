// Gives every name of a parsed template its slot, with the scoping of jinja2's compiler (idtracking.py): a name that a
// scope stores anywhere belongs to that scope, loops and blocks see outer values but do not change them, and names that
// nobody stores come from the context when their scope is entered.
#pragma once

#include <string>

#include "io/chat_template/ast.h"

namespace paro::jinja {

/// Throws Error{kInput} for what jinja2 refuses when it compiles: unknown filters and tests outside of conditions,
/// break outside of loops, assignments to the loop variable.
void resolve_names(Template& tree, const std::string& place);

}  // namespace paro::jinja
