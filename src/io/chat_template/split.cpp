#include "io/chat_template/split.h"

#include <algorithm>

#include "io/chat_template/text.h"

namespace paro::jinja {

std::vector<std::string_view> split_by(std::string_view text, std::string_view separator, int64_t limit, bool reverse) {
  std::vector<std::string_view> out;
  while (limit != 0) {
    size_t at = reverse ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    if (reverse) {
      out.push_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    } else {
      out.push_back(text.substr(0, at));
      text = text.substr(at + separator.size());
    }
    --limit;
  }
  out.push_back(text);
  if (reverse) std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_space(std::string_view text, int64_t limit, bool reverse) {
  std::vector<std::string_view> out;
  auto space_at = [&](size_t begin, size_t& end) {
    end = begin;
    return is_space(next_char(text, end));
  };
  for (;;) {
    text = strip(text, nullptr, !reverse, reverse);
    if (text.empty()) break;
    if (limit == 0) {
      out.push_back(text);
      break;
    }
    --limit;
    if (!reverse) {
      size_t at = 0, after = 0;
      while (at < text.size() && !space_at(at, after)) at = after;
      out.push_back(text.substr(0, at));
      text = text.substr(at);
    } else {
      size_t at = text.size(), after = 0;
      while (at > 0) {
        size_t before = char_before(text, at);
        if (space_at(before, after)) break;
        at = before;
      }
      out.push_back(text.substr(at));
      text = text.substr(0, at);
    }
  }
  if (reverse) std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    size_t before = at;
    char32_t c = next_char(text, at);
    if (!is_line_break(c)) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    out.push_back(text.substr(begin, (keep_ends ? at : before) - begin));
    begin = at;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

double replaced_size(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  double count = 0;
  if (from.empty()) {
    count = static_cast<double>(count_chars(text) + 1);
    if (limit >= 0) count = std::min(count, static_cast<double>(limit));
  } else {
    for (size_t at = text.find(from); at != std::string_view::npos && limit != 0;
         at = text.find(from, at + from.size())) {
      ++count;
      --limit;
    }
  }
  return static_cast<double>(text.size()) + count * (static_cast<double>(to.size()) - static_cast<double>(from.size()));
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  std::string out;
  size_t at = 0;
  if (from.empty()) {
    for (; limit != 0; --limit) {
      out += to;
      if (at >= text.size()) return out;
      size_t begin = at;
      next_char(text, at);
      out += text.substr(begin, at - begin);
    }
    return out.append(text.substr(at));
  }
  for (; limit != 0; --limit) {
    size_t found = text.find(from, at);
    if (found == std::string_view::npos) break;
    out += text.substr(at, found - at);
    out += to;
    at = found + from.size();
  }
  return out.append(text.substr(at));
}

}  // namespace paro::jinja
