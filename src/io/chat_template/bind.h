// Arguments of builtins by name, as Python binds them.
#pragma once

#include <array>

#include "base/error.h"
#include "io/chat_template/runtime.h"

namespace paro::jinja {

/// The values of the parameters `names`; missing ones after the first `required` are kMissing. A name that begins with
/// '/' is positional only.
template <size_t N>
std::array<Value, N> bind(Runtime& runtime, const char* function, Call& call, const std::array<const char*, N>& names,
                          size_t required = 0) {
  std::array<Value, N> out;
  out.fill(Value::missing());
  if (call.args.size() > N) runtime.fail(fmt::format("{}() takes at most {} arguments", function, N));
  for (size_t i = 0; i < call.args.size(); ++i) out[i] = std::move(call.args[i]);
  for (auto& [name, value] : call.keywords) {
    size_t at = 0;
    while (at < N && name != names[at]) ++at;
    if (at == N) runtime.fail(fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
    if (!out[at].is_missing()) runtime.fail(fmt::format("{}() got multiple values for argument '{}'", function, name));
    out[at] = std::move(value);
  }
  for (size_t i = 0; i < required; ++i) {
    if (out[i].is_missing()) runtime.fail(fmt::format("{}() misses argument {}", function, i + 1));
  }
  return out;
}

/// An integer argument; `fallback` when it is absent.
inline int64_t int_argument(Runtime& runtime, const char* function, const Value& value, int64_t fallback) {
  if (value.is_missing()) return fallback;
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (!value.is_integer()) {
    runtime.fail(fmt::format("{}() expects an integer, found '{}'", function, type_name(value)));
  }
  return value.integer();
}

inline bool flag_argument(const Value& value, bool fallback) { return value.is_missing() ? fallback : truthy(value); }

/// A string argument, which must be one.
inline std::string_view text_argument(Runtime& runtime, const char* function, const Value& value) {
  if (value.is_undefined()) runtime.fail_undefined(value);
  if (!value.is_string()) runtime.fail(fmt::format("{}() expects a string, found '{}'", function, type_name(value)));
  return value.text();
}

}  // namespace paro::jinja
