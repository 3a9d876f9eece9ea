// What the filters on sequences share: attribute paths and filters or tests by name.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/chat_template/runtime.h"

namespace paro::jinja {

/// jinja2's make_attrgetter: "a.b.0" or an integer; None leaves the value as it is.
class AttributePath {
 public:
  AttributePath(Runtime& runtime, const Value& attribute);
  /// `fallback` (unless missing or None) stands for what is undefined.
  Value get(Runtime& runtime, const Value& item, const Value& fallback = Value::missing()) const;

 private:
  std::vector<Value> parts_;
};

/// Strings in lower case, everything else unchanged.
Value ignore_case(Runtime& runtime, const Value& value);
/// Equal to `separator`.join(str(item) for item in iterable), of an attribute when there is one.
Value join_values(Runtime& runtime, const Value& iterable, const Value& separator, const Value& attribute);
/// A generator of what `step` adds for each item; an error waits until the generator reaches it.
Value lazily(Runtime& runtime, const Value& iterable,
             const std::function<void(const Value& item, std::vector<Value>& out)>& step);

}  // namespace paro::jinja
