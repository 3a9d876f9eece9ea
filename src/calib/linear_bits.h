// How many bits each linear gets: `--bits`, `--bits-for`, `--skip`, and what `--target-bits` has allocated.
#pragma once

#include <cstdint>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "calib/options.h"

namespace paro::calib {

/// Of a linear that is left as it is.
constexpr int64_t kUnquantizedBits = 16;

class LinearBits {
 public:
  /// Error{kUsage} for what is not a regular expression.
  explicit LinearBits(const QuantizeOptions& options);

  /// Of the linear of this name: kUnquantizedBits where --skip is found in it, else by the last --bits-for that is
  /// found in it, else what was allocated, else --bits.
  int64_t operator()(const std::string& name) const;
  bool skipped(const std::string& name) const { return (*this)(name) == kUnquantizedBits; }
  /// True where neither --skip nor --bits-for says anything about it.
  bool is_free(const std::string& name) const;
  /// Widths by name, for linears that are free.
  void allocate(std::map<std::string, int64_t> bits) { allocated_ = std::move(bits); }
  /// Every --bits-for must be found in one of the model's linears: Error{kUsage} with some of their names otherwise.
  void check_rules(const std::vector<std::string>& linears) const;

 private:
  struct Rule {
    std::string pattern;
    std::regex expression;
    int64_t bits;
  };
  const Rule* rule_of(const std::string& name) const;

  int64_t bits_;
  std::vector<Rule> rules_;  // later ones win
  std::map<std::string, int64_t> allocated_;
};

}  // namespace paro::calib
