// Ctrl-C: the first one asks whatever runs to stop cleanly, one more ends the program at once.
#pragma once

#include <atomic>
#include <string>

namespace paro::cli {

/// Handles SIGINT and SIGTERM from now on. The signal number `force_after` (counted since the last clear_interrupt)
/// ends the program at once.
void handle_interrupts(int force_after = 2);
/// True from the first signal on: long loops of the libraries take it as their cancel flag.
const std::atomic<bool>& interrupt_flag();
/// Forgets a signal (chat: the answer was stopped, the program goes on).
void clear_interrupt();

/// Thrown by a command that stopped because of a signal; main prints `hint` ("run again with --resume") and ends with
/// interrupt_exit_code(). `hint` may be empty.
struct Interrupted {
  std::string hint;
};
/// 128 + the signal's number.
int interrupt_exit_code();

}  // namespace paro::cli
