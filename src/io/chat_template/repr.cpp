// Python's str() and repr().
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "io/chat_template/format.h"
#include "io/chat_template/text.h"

namespace paro::jinja {

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  std::string text(buffer, end);
  bool negative = text[0] == '-';
  if (negative) text.erase(0, 1);
  size_t mark = text.find('e');
  int exponent = std::atoi(text.c_str() + mark + 1);
  std::string digits = text.substr(0, mark);
  if (digits.size() > 1) digits.erase(1, 1);  // the point
  std::string out = negative ? "-" : "";
  int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (count > 1) out.append(1, '.').append(digits, 1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1) return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  return out + digits.substr(0, static_cast<size_t>(exponent) + 1) + "." +
         digits.substr(static_cast<size_t>(exponent) + 1);
}

namespace {

void append_hex_escape(std::string& out, char32_t c) {
  if (c < 0x100) {
    out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
  } else if (c < 0x10000) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  } else {
    out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
  }
}

}  // namespace

void append_string_repr(std::string& out, std::string_view text) {
  bool single = text.find('\'') != std::string_view::npos, twice = text.find('"') != std::string_view::npos;
  char quote = single && !twice ? '"' : '\'';
  out += quote;
  for (size_t at = 0; at < text.size();) {
    size_t begin = at;
    char32_t c = next_char(text, at);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out += text.substr(begin, at - begin);
    } else {
      append_hex_escape(out, c);
    }
  }
  out += quote;
}

std::string ascii_escaped(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    char32_t c = next_char(text, at);
    if (c < 128) {
      out += static_cast<char>(c);
    } else {
      append_hex_escape(out, c);
    }
  }
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string Runtime::str(const Value& value) {
  std::string out;
  append_str(out, value);
  return out;
}

std::string Runtime::repr(const Value& value) {
  std::string out;
  append_repr(out, value);
  return out;
}

void Runtime::append_str(std::string& out, const Value& value) {
  if (value.is_string()) {
    charge_bytes(value.text().size());
    check_size(static_cast<double>(out.size()) + static_cast<double>(value.text().size()));
    out += value.text();
  } else if (!value.is_undefined()) {
    append_repr(out, value);
  }
}

void Runtime::append_repr(std::string& out, const Value& value, int depth) {
  charge();
  if (depth > 600) fail_limit("a value is nested too deeply");
  auto sequence = [&](const std::vector<Value>& items, const char* open, const char* close) {
    out += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ", ";
      append_repr(out, items[i], depth + 1);
    }
    out += close;
  };
  switch (value.type()) {
    case Type::kUndefined: out += "Undefined"; break;
    case Type::kMissing: out += "missing"; break;
    case Type::kNone: out += "None"; break;
    case Type::kBool: out += value.boolean() ? "True" : "False"; break;
    case Type::kInt: out += std::to_string(value.integer()); break;
    case Type::kFloat: out += float_repr(value.number()); break;
    case Type::kString:
      charge_bytes(value.text().size() * 8);
      check_size(static_cast<double>(out.size()) + static_cast<double>(value.text().size()));
      if (value.markup()) out += "Markup(";
      append_string_repr(out, value.text());
      if (value.markup()) out += ")";
      break;
    case Type::kList: sequence(value.items(), "[", "]"); break;
    case Type::kTuple: sequence(value.items(), "(", value.items().size() == 1 ? ",)" : ")"); break;
    case Type::kDict: {
      out += '{';
      bool first = true;
      for (const auto& [key, item] : value.dict().entries) {
        if (!std::exchange(first, false)) out += ", ";
        append_repr(out, key, depth + 1);
        out += ": ";
        append_repr(out, item, depth + 1);
      }
      out += '}';
      break;
    }
    case Type::kRange: {
      const auto& range = value.as<RangeObject>();
      out += fmt::format("range({}, {}", range.start, range.stop);
      if (range.step != 1) out += fmt::format(", {}", range.step);
      out += ')';
      break;
    }
    case Type::kView: {
      static constexpr const char* kNames[] = {"dict_keys", "dict_values", "dict_items"};
      out += kNames[static_cast<int>(value.as<ViewObject>().kind)];
      sequence(collect(value), "([", "])");
      break;
    }
    case Type::kNamespace:
      out += "<Namespace ";
      append_repr(out, value.as<NamespaceObject>().attributes, depth + 1);
      out += '>';
      break;
    case Type::kMacro: {
      const std::string& name = value.as<MacroObject>().node->text;
      out += name.empty() ? "<Macro anonymous>" : "<Macro '" + name + "'>";
      break;
    }
    default: out += fmt::format("<{} object>", type_name(value));
  }
  check_size(static_cast<double>(out.size()));
}

}  // namespace paro::jinja
