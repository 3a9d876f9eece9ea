// The case files in tests/cli: what a command line must print and return. See tests/cli/README.md for their form.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace paro {

struct CliCase {
  std::string file;
  int line = 0;
  std::string name;
  std::vector<std::string> arguments;
  std::string input;
  std::string stdout_path;
  bool stdin_closed = false;
  int exit_code = 0;
  std::vector<std::string> out_has;
  std::vector<std::string> err_has;
  std::vector<std::string> out_is;  // none or one
};

/// Every case of every *.cases file; `replace` pairs ($MODEL, path) are put into arguments and expectations.
std::vector<CliCase> read_cli_cases(const std::filesystem::path& folder,
                                    const std::vector<std::pair<std::string, std::string>>& replace);

}  // namespace paro
