// json.dumps as transformers' tojson filter calls it.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/chat_template/format.h"
#include "io/chat_template/text.h"

namespace paro::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  std::string run(const Value& value) {
    write(value, 0);
    return std::move(out_);
  }

 private:
  void text(std::string_view text) {
    runtime_.charge_bytes(text.size() * 4);
    runtime_.check_size(static_cast<double>(out_.size()) + static_cast<double>(text.size()));
    out_ += '"';
    for (size_t at = 0; at < text.size();) {
      unsigned char c = static_cast<unsigned char>(text[at]);
      if (c >= 0x80) {
        size_t begin = at;
        char32_t point = next_char(text, at);
        if (!style_.ensure_ascii) {
          out_ += text.substr(begin, at - begin);
        } else if (point >= 0x10000) {
          out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((static_cast<uint32_t>(point) - 0x10000) >> 10),
                              0xDC00 + (static_cast<uint32_t>(point) & 0x3FF));
        } else {
          out_ += fmt::format("\\u{:04x}", static_cast<uint32_t>(point));
        }
        continue;
      }
      ++at;
      switch (c) {
        case '"': out_ += "\\\""; break;
        case '\\': out_ += "\\\\"; break;
        case '\n': out_ += "\\n"; break;
        case '\r': out_ += "\\r"; break;
        case '\t': out_ += "\\t"; break;
        case '\f': out_ += "\\f"; break;
        case '\b': out_ += "\\b"; break;
        default:
          if (c < 0x20 || (c == 0x7F && style_.ensure_ascii)) {
            out_ += fmt::format("\\u{:04x}", c);
          } else {
            out_ += static_cast<char>(c);
          }
      }
    }
    out_ += '"';
  }

  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  void key(const Value& key) {
    switch (key.type()) {
      case Type::kString: return text(key.text());
      case Type::kInt: return text(std::to_string(key.integer()));
      case Type::kFloat: return text(number(key.number()));
      case Type::kBool: return text(key.boolean() ? "true" : "false");
      case Type::kNone: return text("null");
      default: runtime_.fail(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
    }
  }

  void line(int depth) {
    runtime_.check_size(static_cast<double>(out_.size()) +
                        static_cast<double>(style_.indent.size()) * static_cast<double>(depth));
    out_ += '\n';
    for (int i = 0; i < depth; ++i) out_ += style_.indent;
    runtime_.charge_bytes(style_.indent.size() * static_cast<size_t>(depth));
  }

  void write(const Value& value, int depth) {
    runtime_.charge();
    runtime_.check_size(static_cast<double>(out_.size()));
    switch (value.type()) {
      case Type::kNone: out_ += "null"; break;
      case Type::kBool: out_ += value.boolean() ? "true" : "false"; break;
      case Type::kInt: out_ += std::to_string(value.integer()); break;
      case Type::kFloat: out_ += number(value.number()); break;
      case Type::kString: text(value.text()); break;
      case Type::kList:
      case Type::kTuple:
        container('[', ']', value.items().size(), depth, [&](size_t i) { write(value.items()[i], depth + 1); });
        break;
      case Type::kDict: {
        std::vector<const std::pair<Value, Value>*> entries;
        for (const auto& entry : value.dict().entries) entries.push_back(&entry);
        if (style_.sort_keys) {
          std::stable_sort(entries.begin(), entries.end(),
                           [&](const auto* a, const auto* b) { return runtime_.less(a->first, b->first); });
        }
        container('{', '}', entries.size(), depth, [&](size_t i) {
          key(entries[i]->first);
          out_ += style_.key_separator;
          write(entries[i]->second, depth + 1);
        });
        break;
      }
      default: runtime_.fail(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
  }

  template <typename WriteItem>
  void container(char open, char close, size_t count, int depth, WriteItem&& write_item) {
    out_ += open;
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) out_ += style_.item_separator;
      if (style_.pretty) line(depth + 1);
      write_item(i);
    }
    if (style_.pretty && count > 0) line(depth);
    out_ += close;
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  return JsonWriter(runtime, style).run(value);
}

}  // namespace paro::jinja
