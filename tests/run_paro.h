// Runs the built program as a user would: arguments, standard streams, exit code.
#pragma once

#include <string>
#include <vector>

namespace paro {

struct Outcome {
  int exit_code = -1;  // 128 + signal when one ended it
  std::string out;
  std::string err;
};

struct RunOptions {
  std::string input;        // on standard input
  std::string stdout_path;  // "": captured; "-": closed
  bool stdin_closed = false;
  int signal_after_output = 0;           // sent once the program has written something to stdout
  int close_stdout_after = 0;            // closes our end of the pipe after so many bytes (0: never)
  std::vector<std::string> environment;  // NAME=VALUE on top of ours
};

/// The program that was built (PARO_BINARY); killed after 60 seconds.
Outcome run_paro(const std::vector<std::string>& arguments, const RunOptions& options = {});

/// Runs it on a pseudo-terminal: waits for each `expect` in what it shows (after the one before, up to 60 seconds) and
/// then types `type`. A step that never came is named in `err`.
struct TerminalStep {
  std::string expect;
  std::string type;
};
Outcome run_paro_on_terminal(const std::vector<std::string>& arguments, const std::vector<TerminalStep>& steps,
                             const std::vector<std::string>& environment = {});

}  // namespace paro
