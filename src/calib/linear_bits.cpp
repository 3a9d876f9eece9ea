#include "calib/linear_bits.h"

#include <algorithm>

#include "base/error.h"

namespace paro::calib {
namespace {

constexpr size_t kExamples = 7;  // the linears of a layer

std::regex parse(const char* flag, const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    fail_usage("{} '{}': not a regular expression: {}", flag, pattern, error.what());
  }
}

}  // namespace

LinearBits::LinearBits(const QuantizeOptions& options) : bits_(options.bits) {
  for (const BitsRule& rule : options.bits_for)
    rules_.push_back({rule.pattern, parse("--bits-for", rule.pattern), rule.bits});
  for (const std::string& pattern : options.skip) rules_.push_back({"", parse("--skip", pattern), kUnquantizedBits});
}

const LinearBits::Rule* LinearBits::rule_of(const std::string& name) const {
  const auto found = std::find_if(rules_.rbegin(), rules_.rend(),
                                  [&](const Rule& rule) { return std::regex_search(name, rule.expression); });
  return found == rules_.rend() ? nullptr : &*found;
}

int64_t LinearBits::operator()(const std::string& name) const {
  if (const Rule* rule = rule_of(name)) return rule->bits;
  const auto found = allocated_.find(name);
  return found == allocated_.end() ? bits_ : found->second;
}

bool LinearBits::is_free(const std::string& name) const { return rule_of(name) == nullptr; }

void LinearBits::check_rules(const std::vector<std::string>& linears) const {
  for (const Rule& rule : rules_) {
    const auto matches = [&](const std::string& name) { return std::regex_search(name, rule.expression); };
    // --skip may name what only some models have.
    if (rule.pattern.empty() || std::any_of(linears.begin(), linears.end(), matches)) continue;
    std::string examples;
    for (size_t i = 0; i < std::min(kExamples, linears.size()); ++i)
      examples += fmt::format("{}{}", i == 0 ? "" : ", ", linears[i]);
    fail_usage("--bits-for '{}': found in none of the {} linears, which are called {}, ...", rule.pattern,
               linears.size(), examples);
  }
}

}  // namespace paro::calib
