// The program: finds the command, parses its flags, runs it, and turns errors into one line and an exit code.
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/device.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/suggest.h"

namespace paro::cli {
namespace {

constexpr int kInputWrong = 1;
constexpr int kUsageWrong = 2;
constexpr int kLimitHit = 3;
constexpr int kOurDefect = 70;

void add_common_flags(CLI::App& app, CommonFlags& flags) {
  app.add_option("--device", flags.device, "auto, cpu, cuda or cuda:N")->capture_default_str()->group("Common");
  app.add_option("--threads", flags.threads, "worker threads (0: one per physical core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->group("Common");
  app.add_flag("--quiet", flags.quiet, "no progress and no notes on stderr")->group("Common");
  app.add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->capture_default_str()
      ->group("Common");
  app.add_flag("--offline", flags.offline, "use only what is already in the hub cache")->group("Common");
}

void apply(const CommonFlags& flags) {
  const std::pair<const char*, LogLevel> levels[] = {{"debug", LogLevel::kDebug},
                                                     {"info", LogLevel::kInfo},
                                                     {"warning", LogLevel::kWarning},
                                                     {"error", LogLevel::kError}};
  const auto level = std::find_if(std::begin(levels), std::end(levels),
                                  [&](const auto& entry) { return flags.log_level == entry.first; });
  if (level == std::end(levels)) {
    fail_usage("--log-level: expected debug, info, warning or error, found '{}'", flags.log_level);
  }
  set_log_level(flags.quiet ? std::max(level->second, LogLevel::kWarning) : level->second);
}

std::string overview(const std::vector<Command>& commands) {
  std::string text = "paro " PARO_VERSION
                     ": quantizes language models to 4 bits with scaled pairwise rotations, and runs them\n\n"
                     "usage: paro COMMAND [ARGUMENTS]\n\n";
  for (const Command& command : commands) text += fmt::format("  {:<10} {}\n", command.name, command.summary);
  text +=
      "\n`paro help COMMAND` (or `paro COMMAND --help`) shows a command's flags and an example.\n"
      "MODEL is a checkpoint folder, a .gguf file, or a hub id (org/name[@revision]).\n";
  return text;
}

/// CLI11 says "The following argument was not expected: --promt"; add what may have been meant.
std::string explain(const CLI::ParseError& error, const CLI::App& app) {
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    for (const std::string& extra : app.remaining()) {
      if (extra.starts_with("--")) return fmt::format("unknown flag '{}'{}", extra, did_you_mean(extra, names));
      return fmt::format("unexpected argument '{}'", extra);
    }
  }
  return message;
}

int run_command(const Command& command, std::vector<std::string> arguments) {
  CLI::App app(command.summary, "paro " + command.name);
  app.set_help_flag("-h,--help", "this text");
  app.footer("Example:\n  " + [&] {
    std::string text = command.example;
    for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 3))
      text.replace(at, 1, "\n  ");
    return text;
  }());
  app.get_formatter()->column_width(34);
  CommonFlags flags;
  const std::function<int()> run = command.add(app, flags);
  add_common_flags(app, flags);
  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them last first
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    write_stdout(app.help());
    return 0;
  } catch (const CLI::ParseError& error) {
    fail_usage("{} (see `paro {} --help`)", explain(error, app), command.name);
  }
  apply(flags);
  check_device(flags.device, command);
  handle_interrupts();
  return run();
}

int dispatch(const std::vector<std::string>& arguments) {
  const std::vector<Command> commands = all_commands();
  if (arguments.empty()) {
    std::fputs(overview(commands).c_str(), stderr);
    return kUsageWrong;
  }
  const std::string& first = arguments[0];
  if (first == "--version" || first == "-V" || first == "version") {
    write_stdout("paro " PARO_VERSION "\n");
    return 0;
  }
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  std::string name = first;
  if (first == "help" || first == "--help" || first == "-h") {
    if (rest.empty() || rest[0].starts_with("-")) {
      write_stdout(overview(commands));
      return 0;
    }
    name = rest[0];
    rest = {"--help"};
  }
  for (const Command& command : commands) {
    if (command.name == name) return run_command(command, std::move(rest));
  }
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name);
  if (name.starts_with("-")) fail_usage("expected a command before '{}' (`paro help` lists them)", name);
  fail_usage("unknown command '{}'{} (`paro help` lists them)", name, did_you_mean(name, names));
}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInput: return kInputWrong;
    case ErrorKind::kUsage: return kUsageWrong;
    case ErrorKind::kLimit: return kLimitHit;
    case ErrorKind::kDefect: return kOurDefect;
  }
  return kOurDefect;
}

/// One line, whatever a file put into the message.
int report(int code, std::string message) {
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  std::fprintf(stderr, "paro: error: %s\n", message.c_str());
  return code;
}

int run_program(const std::vector<std::string>& arguments) {
  try {
    return dispatch(arguments);
  } catch (const StdoutClosed&) {
    return 0;
  } catch (const Interrupted& stopped) {
    std::fprintf(stderr, "paro: interrupted%s%s\n", stopped.hint.empty() ? "" : "; ", stopped.hint.c_str());
    return interrupt_exit_code();
  } catch (const Error& error) {
    return report(exit_code(error.kind()), error.what());
  } catch (const std::bad_alloc&) {
    return report(kLimitHit, "out of memory");
  } catch (const std::filesystem::filesystem_error& error) {
    return report(error.code() == std::errc::no_space_on_device ? kLimitHit : kInputWrong,
                  fmt::format("{}: {}", error.path1().string(), error.code().message()));
  } catch (const std::exception& error) {
    return report(kOurDefect, fmt::format("internal error (a defect of paro): {}", error.what()));
  }
}

}  // namespace
}  // namespace paro::cli

int main(int argc, char** argv) {
  paro::cli::guard_standard_streams();
  return paro::cli::run_program({argv + std::min(argc, 1), argv + argc});
}
