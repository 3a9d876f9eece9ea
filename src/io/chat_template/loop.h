// The variable `loop` of a for statement.
#pragma once

#include <deque>
#include <memory>

#include "io/chat_template/runtime.h"

namespace paro::jinja {

struct LoopObject : Object {
  LoopObject(Runtime& runtime, const Stmt& stmt, Value source, std::shared_ptr<Activation> in, int64_t level)
      : node(stmt), iterable(source), iterator(runtime, std::move(source)), activation(std::move(in)), depth0(level) {}

  const Stmt& node;
  Value iterable;
  Iterator iterator;
  std::shared_ptr<Activation> activation;  // a recursive loop is called in the one where it stands
  int64_t depth0;
  int64_t index0 = -1;
  int64_t length = -1;  // unknown yet
  std::deque<Value> ahead;
  Value current = Value::missing(), before = Value::missing();
  Value last_changed = Value::missing();
};

}  // namespace paro::jinja
