#include "io/chat_template/access.h"

#include <algorithm>

#include "base/error.h"
#include "io/chat_template/split.h"
#include "io/chat_template/text.h"

namespace paro::jinja {

AttributePath::AttributePath(Runtime& runtime, const Value& attribute) {
  if (attribute.is_missing() || attribute.is_none()) return;
  if (!attribute.is_string()) {
    parts_.push_back(attribute);
    return;
  }
  for (std::string_view part : split_by(attribute.text(), ".", -1, false)) {
    bool number = !part.empty() && part.size() < 18 &&
                  std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    parts_.push_back(number ? Value(int64_t{std::stoll(std::string(part))}) : runtime.string(std::string(part)));
  }
}

Value AttributePath::get(Runtime& runtime, const Value& item, const Value& fallback) const {
  Value out = item;
  for (const Value& part : parts_) {
    out = runtime.item(out, part);
    if (out.is_undefined() && !fallback.is_missing() && !fallback.is_none()) out = fallback;
  }
  return out;
}

Value ignore_case(Runtime& runtime, const Value& value) {
  if (!value.is_string()) return value;
  runtime.charge_bytes(value.text().size() * 8);
  return runtime.string(to_lower(value.text()), value.markup());
}

Value join_values(Runtime& runtime, const Value& iterable, const Value& separator, const Value& attribute) {
  std::string between = separator.is_missing() ? std::string() : runtime.str(separator);
  AttributePath path(runtime, attribute);
  std::string out;
  bool first = true;
  Iterator iterator(runtime, iterable);
  for (Value item; iterator.next(item);) {
    if (!std::exchange(first, false)) out += between;
    runtime.append_str(out, path.get(runtime, item));
    runtime.check_size(static_cast<double>(out.size()));
  }
  runtime.charge_bytes(out.size());
  return runtime.string(std::move(out));
}

Value lazily(Runtime& runtime, const Value& iterable,
             const std::function<void(const Value&, std::vector<Value>&)>& step) {
  std::vector<Value> out;
  std::string error;
  try {
    if (truthy(iterable)) {
      Iterator iterator(runtime, iterable);
      for (Value item; iterator.next(item);) {
        step(item, out);
        runtime.check_size(static_cast<double>(out.size()) * sizeof(Value));
      }
    }
  } catch (const Error& failure) {
    if (runtime.exhausted()) throw;
    error = failure.what();
  }
  return runtime.generator(std::move(out), std::move(error));
}

}  // namespace paro::jinja
