// A line editor for the chat prompt: UTF-8 with wide characters, history, the usual Emacs keys, pasted text taken as
// it is (line breaks included), Alt-Enter or a trailing backslash for another line. Works on file descriptors, so a
// test can drive it through a pseudo-terminal.
#pragma once

#include <string>
#include <string_view>

#include "cli/history.h"

namespace paro::cli {

class LineEditor {
 public:
  enum class Result { kLine, kInterrupted, kEnd };

  LineEditor(int in, int out, History& history) : in_(in), out_(out), history_(history) {}

  /// Reads one line into `line`. kInterrupted: Ctrl-C; kEnd: Ctrl-D on an empty line, or the terminal has gone.
  Result read(std::string_view prompt, std::string& line);

 private:
  enum class Action { kContinue, kAccept, kInterrupt, kEnd };

  Action handle(unsigned char key);
  Action escape_sequence();
  void paste();
  void insert(std::string_view text);
  void erase(size_t begin, size_t end);
  void move_history(int direction);
  size_t previous(size_t at) const;
  size_t next(size_t at) const;
  size_t word_left(size_t at) const;
  size_t word_right(size_t at) const;
  size_t line_start() const;
  size_t line_end() const;
  bool read_byte(unsigned char& byte);
  bool byte_waits(int milliseconds) const;
  void draw(bool final);
  void write_all(std::string_view text) const;

  int in_;
  int out_;
  History& history_;
  std::string prompt_;
  std::string text_;
  size_t cursor_ = 0;      // byte offset into text_, at a character's begin
  size_t history_at_ = 0;  // history line shown; lines().size(): the new one
  std::string new_line_;   // what was typed before moving in the history
  int drawn_row_ = 0;      // terminal row of the cursor, counted from the prompt's
};

/// Terminal columns that a UTF-8 text takes (line breaks and control characters: none).
int display_width(std::string_view text);

}  // namespace paro::cli
