#include "cli_cases.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace paro {
namespace {

/// Words; '...' keeps blanks.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  bool quoted = false;
  bool begun = false;
  for (const char c : text) {
    if (c == '\'') {
      quoted = !quoted;
      begun = true;
    } else if (c == ' ' && !quoted) {
      if (begun) words.push_back(word);
      word.clear();
      begun = false;
    } else {
      word += c;
      begun = true;
    }
  }
  if (begun) words.push_back(word);
  return words;
}

std::string unescape(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      result += text[i] == 'n' ? '\n' : text[i];
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace

std::vector<CliCase> read_cli_cases(const std::filesystem::path& folder,
                                    const std::vector<std::pair<std::string, std::string>>& replace) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".cases") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<CliCase> cases;
  for (const std::filesystem::path& path : files) {
    std::ifstream stream(path);
    std::string line;
    int number = 0;
    while (std::getline(stream, line)) {
      ++number;
      if (line.empty() || line[0] == '#') continue;
      for (const auto& [from, to] : replace) {
        for (size_t at = line.find(from); at != std::string::npos; at = line.find(from, at + to.size())) {
          line.replace(at, from.size(), to);
        }
      }
      const size_t blank = std::min(line.find(' '), line.size());
      const std::string key = line.substr(0, blank);
      const std::string value = line.substr(std::min(blank + 1, line.size()));
      if (key == "case") {
        cases.push_back({path.filename().string(), number, value, {}, {}, {}, false, 0, {}, {}, {}});
        continue;
      }
      if (cases.empty()) throw std::runtime_error(path.string() + ": a line before the first case");
      CliCase& last = cases.back();
      if (key == "args") {
        last.arguments = split(value);
      } else if (key == "stdin") {
        last.input = unescape(value);
      } else if (key == "stdin-closed") {
        last.stdin_closed = true;
      } else if (key == "stdout-to") {
        last.stdout_path = value;
      } else if (key == "exit") {
        last.exit_code = std::stoi(value);
      } else if (key == "out") {
        last.out_is = {unescape(value)};
      } else if (key == "out-has") {
        last.out_has.push_back(unescape(value));
      } else if (key == "err-has") {
        last.err_has.push_back(unescape(value));
      } else {
        throw std::runtime_error(path.string() + ": unknown key " + key);
      }
    }
  }
  return cases;
}

}  // namespace paro
