// What a command of paro is: a name, help texts, its flags, and what it does. One file per command defines one
// `Command xyz_command()`; commands.cpp holds the list. No command's own logic here.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "io/hub.h"

namespace paro::cli {

/// Flags that every command has; checked and applied (log level) before the command runs.
struct CommonFlags {
  std::string device = "auto";
  int threads = 0;  // 0: physical cores
  bool quiet = false;
  std::string log_level = "info";
  bool offline = false;

  /// The environment's hub settings with --offline.
  HubOptions hub() const;
};

struct Command {
  std::string name;
  std::string summary;  // one line, for `paro help`
  std::string example;  // shown under the flags; one or more lines "paro ..."
  /// Adds flags to `app` and returns what to run after parsing; its result is the exit code. Called once. Flag values
  /// live in the returned function (a shared_ptr it captures). Errors are thrown as paro::Error.
  std::function<std::function<int()>(CLI::App& app, const CommonFlags& common)> add;
  bool on_cuda = false;  // runs on a CUDA device, too
};

/// Every command, in the order `paro help` shows them.
std::vector<Command> all_commands();

// One line for each file.
Command chat_command();
Command generate_command();
Command eval_command();
Command bench_command();
Command inspect_command();
Command logits_command();
Command tokenize_command();
Command pull_command();
Command export_command();
Command report_command();
Command quantize_command();

}  // namespace paro::cli
