// The tables of filters, tests and global functions. A builtin takes the piped or owning value as `self`.
#pragma once

#include <string_view>

#include "io/chat_template/value.h"

namespace paro::jinja {

/// Null when there is none of that name.
Builtin find_filter(std::string_view name);
Builtin find_test(std::string_view name);
Builtin find_global(std::string_view name, const char** stored_name);
/// A method of the value's type. `forbidden` tells that Python has it and the sandbox hides it.
Builtin find_method(const Value& self, std::string_view name, const char** stored_name, bool* forbidden);

}  // namespace paro::jinja
