// Tables of builtins: a sorted-by-nothing list of names, searched when a template is parsed or a method is called.
#pragma once

#include <cstring>
#include <span>
#include <string_view>

#include "io/chat_template/value.h"

namespace paro::jinja {

struct NamedBuiltin {
  const char* name;
  Builtin function;
};

inline Builtin find_named(std::span<const NamedBuiltin> table, std::string_view name, const char** stored) {
  for (const NamedBuiltin& entry : table) {
    if (name == entry.name) {
      if (stored != nullptr) *stored = entry.name;
      return entry.function;
    }
  }
  return nullptr;
}

std::span<const NamedBuiltin> string_methods();
std::span<const NamedBuiltin> string_search_methods();
std::span<const NamedBuiltin> text_filters();
std::span<const NamedBuiltin> sequence_filters();
std::span<const NamedBuiltin> order_filters();
std::span<const NamedBuiltin> value_filters();

/// str methods that filters share.
Value method_strip(Runtime& runtime, const Value& self, Call& call);
Value method_join(Runtime& runtime, const Value& self, Call& call);
/// str.replace with markup rules; `limit` negative: all.
Value replace_text(Runtime& runtime, const Value& self, std::string_view from, std::string_view to, int64_t limit);

}  // namespace paro::jinja
