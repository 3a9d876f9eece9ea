#include "cli/line_editor.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "cli/interrupt.h"

namespace paro::cli {
namespace {

constexpr unsigned char ctrl(char letter) { return static_cast<unsigned char>(letter & 0x1f); }
constexpr unsigned char kEscape = 0x1b;
constexpr unsigned char kDelete = 0x7f;
constexpr std::string_view kPasteEnd = "\033[201~";

/// Raw mode and bracketed paste for the time of one line.
class RawMode {
 public:
  RawMode(int in, int out) : in_(in), out_(out), ok_(::tcgetattr(in, &before_) == 0) {
    if (!ok_) return;
    termios raw = before_;
    raw.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(in_, TCSADRAIN, &raw);
    send("\033[?2004h");
  }
  ~RawMode() {
    if (!ok_) return;
    send("\033[?2004l");
    ::tcsetattr(in_, TCSADRAIN, &before_);
  }
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

 private:
  void send(std::string_view text) const {
    if (::write(out_, text.data(), text.size()) < 0) return;
  }
  int in_;
  int out_;
  termios before_ = {};
  bool ok_;
};

int columns(int fd) {
  winsize size = {};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// One character from the front of `text`: its bytes and columns.
std::pair<size_t, int> character(std::string_view text) {
  utf8proc_int32_t code = 0;
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &code);
  if (length <= 0) return {1, 1};
  if (code == '\t') return {1, 1};  // drawn as a blank
  if (code < 0x20 || code == 0x7f) return {static_cast<size_t>(length), 0};
  return {static_cast<size_t>(length), std::max(0, utf8proc_charwidth(code))};
}

struct Position {
  int row = 0;
  int column = 0;
};

/// Where a terminal `width` columns wide is after it has shown `text`.
void advance(Position& at, std::string_view text, int width) {
  while (!text.empty()) {
    const auto [length, cells] = character(text);
    if (text[0] == '\n') {
      ++at.row;
      at.column = 0;
    } else if (at.column + cells > width) {
      ++at.row;
      at.column = cells;
    } else {
      at.column += cells;
    }
    text.remove_prefix(length);
  }
}

/// The prompt without escape sequences.
std::string visible(std::string_view prompt) {
  std::string text;
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] == '\033') {
      while (i < prompt.size() && !std::isalpha(static_cast<unsigned char>(prompt[i]))) ++i;
    } else {
      text += prompt[i];
    }
  }
  return text;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

}  // namespace

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const auto [length, cells] = character(text);
    width += cells;
    text.remove_prefix(length);
  }
  return width;
}

LineEditor::Result LineEditor::read(std::string_view prompt, std::string& line) {
  const RawMode raw(in_, out_);
  prompt_ = prompt;
  text_.clear();
  new_line_.clear();
  cursor_ = 0;
  drawn_row_ = 0;
  history_at_ = history_.lines().size();
  draw(false);
  Action action = Action::kContinue;
  while (action == Action::kContinue) {
    unsigned char key = 0;
    if (!read_byte(key)) {
      action = Action::kEnd;
      break;
    }
    action = handle(key);
    // Fast typing and pasting: drawn once the input pauses.
    if (action == Action::kContinue && !byte_waits(0)) draw(false);
  }
  draw(true);
  line = text_;
  switch (action) {
    case Action::kInterrupt: return Result::kInterrupted;
    case Action::kEnd: return Result::kEnd;
    default: return Result::kLine;
  }
}

bool LineEditor::read_byte(unsigned char& byte) {
  while (true) {
    const ssize_t count = ::read(in_, &byte, 1);
    if (count == 1) return true;
    if (count < 0 && errno == EINTR && !interrupt_flag()) continue;
    return false;
  }
}

bool LineEditor::byte_waits(int milliseconds) const {
  pollfd descriptor = {in_, POLLIN, 0};
  return ::poll(&descriptor, 1, milliseconds) > 0 && (descriptor.revents & POLLIN) != 0;
}

LineEditor::Action LineEditor::handle(unsigned char key) {
  switch (key) {
    case '\r':
    case '\n': return Action::kAccept;
    case ctrl('c'): return Action::kInterrupt;
    case ctrl('d'):
      if (text_.empty()) return Action::kEnd;
      erase(cursor_, next(cursor_));
      return Action::kContinue;
    case ctrl('h'):
    case kDelete: erase(previous(cursor_), cursor_); return Action::kContinue;
    case ctrl('a'): cursor_ = line_start(); return Action::kContinue;
    case ctrl('e'): cursor_ = line_end(); return Action::kContinue;
    case ctrl('b'): cursor_ = previous(cursor_); return Action::kContinue;
    case ctrl('f'): cursor_ = next(cursor_); return Action::kContinue;
    case ctrl('k'): erase(cursor_, line_end()); return Action::kContinue;
    case ctrl('u'): erase(line_start(), cursor_); return Action::kContinue;
    case ctrl('w'): erase(word_left(cursor_), cursor_); return Action::kContinue;
    case ctrl('p'): move_history(-1); return Action::kContinue;
    case ctrl('n'): move_history(1); return Action::kContinue;
    case ctrl('l'):
      write_all("\033[H\033[2J");
      drawn_row_ = 0;
      return Action::kContinue;
    case kEscape: return escape_sequence();
    default: break;
  }
  if (key < 0x20 && key != '\t') return Action::kContinue;
  std::string typed(1, static_cast<char>(key));
  const int more = key >= 0xf0 ? 3 : key >= 0xe0 ? 2 : key >= 0xc0 ? 1 : 0;
  for (int i = 0; i < more && byte_waits(100) && read_byte(key); ++i) typed += static_cast<char>(key);
  insert(typed);
  return Action::kContinue;
}

LineEditor::Action LineEditor::escape_sequence() {
  unsigned char key = 0;
  if (!byte_waits(50) || !read_byte(key)) return Action::kContinue;
  switch (key) {
    case '\r':
    case '\n': insert("\n"); return Action::kContinue;
    case 'b': cursor_ = word_left(cursor_); return Action::kContinue;
    case 'f': cursor_ = word_right(cursor_); return Action::kContinue;
    case 'd': erase(cursor_, word_right(cursor_)); return Action::kContinue;
    case kDelete: erase(word_left(cursor_), cursor_); return Action::kContinue;
    default: break;
  }
  if (key != '[' && key != 'O') return Action::kContinue;
  std::string parameters;
  while (byte_waits(50) && read_byte(key) && (std::isdigit(key) || key == ';')) parameters += static_cast<char>(key);
  const bool by_word = parameters.ends_with(";5") || parameters.ends_with(";3");
  switch (key) {
    case 'A': move_history(-1); break;
    case 'B': move_history(1); break;
    case 'C': cursor_ = by_word ? word_right(cursor_) : next(cursor_); break;
    case 'D': cursor_ = by_word ? word_left(cursor_) : previous(cursor_); break;
    case 'H': cursor_ = line_start(); break;
    case 'F': cursor_ = line_end(); break;
    case '~':
      if (parameters == "3") erase(cursor_, next(cursor_));
      if (parameters == "1" || parameters == "7") cursor_ = line_start();
      if (parameters == "4" || parameters == "8") cursor_ = line_end();
      if (parameters == "200") paste();
      break;
    default: break;
  }
  return Action::kContinue;
}

/// Takes everything up to the end mark of a bracketed paste.
void LineEditor::paste() {
  std::string pasted;
  unsigned char byte = 0;
  while (read_byte(byte)) {
    pasted += static_cast<char>(byte);
    if (pasted.ends_with(kPasteEnd)) {
      pasted.resize(pasted.size() - kPasteEnd.size());
      break;
    }
  }
  std::string clean;
  for (size_t i = 0; i < pasted.size(); ++i) {
    const char c = pasted[i];
    if (c == '\r') {
      if (i + 1 >= pasted.size() || pasted[i + 1] != '\n') clean += '\n';
    } else if (c == '\n' || c == '\t' || static_cast<unsigned char>(c) >= 0x20) {
      clean += c;
    }
  }
  insert(clean);
}

void LineEditor::insert(std::string_view text) {
  text_.insert(text_.begin() + static_cast<int64_t>(cursor_), text.begin(), text.end());
  cursor_ += text.size();
}

void LineEditor::erase(size_t begin, size_t end) {
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

/// Up and down: first inside a text of several lines, then through the history.
void LineEditor::move_history(int direction) {
  if (direction < 0 && line_start() > 0) {
    const size_t column = cursor_ - line_start();
    cursor_ = line_start() - 1;
    cursor_ = std::min(line_start() + column, cursor_);
  } else if (direction > 0 && line_end() < text_.size()) {
    const size_t column = cursor_ - line_start();
    cursor_ = line_end() + 1;
    cursor_ = std::min(cursor_ + column, line_end());
  } else {
    const std::vector<std::string>& lines = history_.lines();
    if ((direction < 0 && history_at_ == 0) || (direction > 0 && history_at_ >= lines.size())) return;
    if (history_at_ == lines.size()) new_line_ = text_;
    history_at_ = direction < 0 ? history_at_ - 1 : history_at_ + 1;
    text_ = history_at_ == lines.size() ? new_line_ : lines[history_at_];
    cursor_ = text_.size();
  }
  while (cursor_ < text_.size() && is_continuation(text_[cursor_])) ++cursor_;
}

size_t LineEditor::previous(size_t at) const {
  while (at > 0) {
    --at;
    // Combining marks go with the character they stand on.
    if (!is_continuation(text_[at]) && (text_[at] == '\n' || character(std::string_view(text_).substr(at)).second > 0))
      break;
  }
  return at;
}

size_t LineEditor::next(size_t at) const {
  if (at >= text_.size()) return text_.size();
  at += character(std::string_view(text_).substr(at)).first;
  while (at < text_.size() && text_[at] != '\n') {
    const auto [length, cells] = character(std::string_view(text_).substr(at));
    if (cells > 0) break;
    at += length;
  }
  return at;
}

size_t LineEditor::word_left(size_t at) const {
  while (at > 0 && is_blank(text_[at - 1])) --at;
  while (at > 0 && !is_blank(text_[at - 1])) --at;
  return at;
}

size_t LineEditor::word_right(size_t at) const {
  while (at < text_.size() && is_blank(text_[at])) ++at;
  while (at < text_.size() && !is_blank(text_[at])) ++at;
  return at;
}

size_t LineEditor::line_start() const {
  const size_t at = cursor_ == 0 ? std::string::npos : text_.rfind('\n', cursor_ - 1);
  return at == std::string::npos ? 0 : at + 1;
}

size_t LineEditor::line_end() const { return std::min(text_.find('\n', cursor_), text_.size()); }

void LineEditor::draw(bool final) {
  const int width = columns(out_);
  std::string out = "\r";
  if (drawn_row_ > 0) out += fmt::format("\033[{}A", drawn_row_);
  out += "\033[J" + prompt_;
  Position cursor;
  advance(cursor, visible(prompt_), width);
  Position end = cursor;
  advance(cursor, std::string_view(text_).substr(0, cursor_), width);
  advance(end, text_, width);
  for (const char c : text_) {
    if (c == '\n') {
      out += "\r\n";
    } else {
      out += c == '\t' ? ' ' : c;
    }
  }
  // A terminal waits with the line break until the character after a full line: make it happen, so that rows count.
  const auto settle = [&](Position& at) {
    if (at.column < width) return;
    ++at.row;
    at.column = 0;
  };
  if (end.column >= width) out += " \r";
  settle(end);
  settle(cursor);
  if (final) {
    out += "\r\n";
    drawn_row_ = 0;
  } else {
    if (end.row > cursor.row) out += fmt::format("\033[{}A", end.row - cursor.row);
    out += "\r";
    if (cursor.column > 0) out += fmt::format("\033[{}C", cursor.column);
    drawn_row_ = cursor.row;
  }
  write_all(out);
}

void LineEditor::write_all(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t count = ::write(out_, text.data(), text.size());
    if (count < 0 && errno != EINTR) return;
    if (count > 0) text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace paro::cli
