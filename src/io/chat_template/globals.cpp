// Global functions of a template.
#include <ctime>

#include "io/chat_template/bind.h"
#include "io/chat_template/filters.h"
#include "io/chat_template/methods.h"

namespace paro::jinja {
namespace {

Value range(Runtime& runtime, const Value&, Call& call) {
  auto [first, second, third] = bind<3>(runtime, "range", call, {"/start", "/stop", "/step"}, 1);
  int64_t a = int_argument(runtime, "range", first, 0);
  if (second.is_missing()) return runtime.range(0, a, 1);
  return runtime.range(a, int_argument(runtime, "range", second, 0), int_argument(runtime, "range", third, 1));
}

Value make_dict(Runtime& runtime, Call& call) {
  Value out = runtime.dict();
  if (call.args.size() > 1) runtime.fail("dict expected at most 1 argument");
  if (!call.args.empty()) {
    const Value& source = call.args[0];
    if (source.is_dict()) {
      for (const auto& [key, value] : source.dict().entries) {
        runtime.charge();
        runtime.dict_set(out, key, value);
      }
    } else {
      Iterator iterator(runtime, source);
      for (Value item; iterator.next(item);) {
        std::vector<Value> pair = runtime.collect(item);
        if (pair.size() != 2) runtime.fail("dictionary update sequence elements must have length 2");
        runtime.dict_set(out, pair[0], pair[1]);
      }
    }
  }
  for (auto& [name, value] : call.keywords) runtime.dict_set(out, runtime.string(name), std::move(value));
  return out;
}

Value dict(Runtime& runtime, const Value&, Call& call) { return make_dict(runtime, call); }

Value name_space(Runtime& runtime, const Value&, Call& call) {
  Value attributes = make_dict(runtime, call);
  for (const auto& [key, value] : attributes.dict().entries) {
    if (key.is_string() && key.text().starts_with("_")) {
      runtime.fail("names of namespace attributes must not begin with an underscore");
    }
  }
  return runtime.name_space(std::move(attributes));
}

Value cycler(Runtime& runtime, const Value&, Call& call) {
  if (call.args.empty() || !call.keywords.empty()) runtime.fail("at least one item has to be provided");
  return runtime.cycler(std::move(call.args));
}

Value joiner(Runtime& runtime, const Value&, Call& call) {
  auto [separator] = bind<1>(runtime, "joiner", call, {"sep"});
  return runtime.joiner(separator.is_missing() ? runtime.string(", ") : separator);
}

Value raise_exception(Runtime& runtime, const Value&, Call& call) {
  auto [message] = bind<1>(runtime, "raise_exception", call, {"message"}, 1);
  runtime.fail(runtime.str(message));
}

Value strftime_now(Runtime& runtime, const Value&, Call& call) {
  auto [argument] = bind<1>(runtime, "strftime_now", call, {"format"}, 1);
  std::string_view format = text_argument(runtime, "strftime_now", argument);
  std::time_t now = runtime.limits().now >= 0 ? static_cast<std::time_t>(runtime.limits().now) : std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::string out;
  for (size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%' || at + 1 >= format.size()) {
      out += format[at];
      continue;
    }
    runtime.charge();
    // One directive at a time into a small buffer: flags and widths cannot ask for more.
    size_t end = at + 1;
    while (end + 1 < format.size() &&
           std::string_view("_-0^#EO123456789").find(format[end]) != std::string_view::npos) {
      ++end;
    }
    std::string directive(format.substr(at, end - at + 1));
    char buffer[256];
    if (directive == "%f") {
      out += "000000";
    } else if (directive != "%z" && directive != "%Z") {  // a time without a zone has none
      size_t length = std::strftime(buffer, sizeof(buffer), directive.c_str(), &local);
      out.append(buffer, length);
    }
    at = end;
  }
  runtime.charge_bytes(out.size());
  return runtime.string(std::move(out));
}

constexpr NamedBuiltin kGlobals[] = {
    {"range", range},
    {"dict", dict},
    {"namespace", name_space},
    {"cycler", cycler},
    {"joiner", joiner},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

Builtin find_global(std::string_view name, const char** stored) { return find_named(kGlobals, name, stored); }

}  // namespace paro::jinja
