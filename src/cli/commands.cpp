#include "cli/command.h"

namespace paro::cli {

HubOptions CommonFlags::hub() const {
  HubOptions options = HubOptions::from_environment();
  options.offline = options.offline || offline;
  return options;
}

// A new command is a file, a declaration in command.h, and a line here.
std::vector<Command> all_commands() {
  return {
      quantize_command(), chat_command(),  generate_command(), eval_command(),   inspect_command(), tokenize_command(),
      logits_command(),   bench_command(), report_command(),   export_command(), pull_command(),
  };
}

}  // namespace paro::cli
