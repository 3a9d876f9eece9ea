// The interactive chat: reads messages and /commands, streams answers. Knows terminals; the conversation itself is
// runtime/chat.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/history.h"
#include "cli/line_editor.h"
#include "runtime/chat.h"

namespace paro::cli {

/// Settings that /set changes.
struct ChatSettings {
  SamplingParams sampling;
  int64_t max_tokens = -1;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

/// Generates one answer and writes it to stdout as it comes; on a terminal with thinking dimmed, else without it.
GenerateResult stream_answer(const Engine& engine, Chat& chat, const ChatSettings& settings);

class ChatLoop {
 public:
  ChatLoop(const Engine& engine, Chat& chat, ChatSettings settings);
  /// Until /exit, Ctrl-D or Ctrl-C twice; the exit code.
  int run();

 private:
  std::optional<std::string> read_message();
  void answer();
  /// True when the chat ends.
  bool command(const std::string& line);
  void set(const std::string& arguments);
  void note(const std::string& text) const;

  const Engine& engine_;
  Chat& chat_;
  ChatSettings settings_;
  History history_;
  LineEditor editor_;
  bool style_;
};

/// Reads a conversation written by /save (an object with messages, or a bare list).
Json read_conversation(const std::string& file);

}  // namespace paro::cli
